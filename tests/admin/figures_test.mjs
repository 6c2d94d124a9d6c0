// node --test figures_test.mjs: what the live page computes.
import assert from "node:assert/strict";
import test from "node:test";
import * as f from "../../runtime/admin/page/figures.mjs";

const empty = () => ({ buckets: [] });
const loop = (more = {}) => ({
  worker: 0, core: "0", live: 1, open: 0, accepted: 0, outgoing: 0, received_bytes: 0, sent_bytes: 0, requests: 0, turns: 1,
  busy_seconds: 0, stalls: 0, queued_tasks: 0, closed: { peer_closed: 0, idle: 0 }, turn_seconds: empty(), lag_seconds: empty(),
  request_seconds: empty(), ...more });
const status = (uptime_seconds, loops, more = {}) => ({
  pid: 7, uptime_seconds, accept: null, buckets_per_octave: 16, offload: { jobs: 0 }, offload_wait_seconds: empty(), loops, ...more });

test("bounds of buckets are the server's: 16 of equal width for each power of two", () => {
  for (const [bucket, bound] of [[0, 0], [31, 31], [32, 32], [33, 34], [47, 62], [48, 64], [49, 68], [16 * 20, 16 * 2 ** 19]])
    assert.equal(f.lowerBound(bucket, 16), bound);
});

test("what came into a histogram between two answers", () => {
  assert.deepEqual([...f.arrived({ buckets: [1, 5, 9, 2] }, { buckets: [1, 7, 4, 1, 9, 2] })], [[1, 2], [4, 1]]);
  assert.deepEqual([...f.arrived(undefined, { buckets: [3, 1] })], [[3, 1]]);
  assert.deepEqual([...f.added([new Map([[1, 2]]), new Map([[1, 3], [5, 1]])])], [[1, 5], [5, 1]]);
});

test("a quantile is the middle of its bucket, and nothing without values", () => {
  const counts = new Map([[200, 1], [100, 98], [150, 1]]);  // in any order
  const middle = b => (f.lowerBound(b, 16) + f.lowerBound(b + 1, 16)) / 2 * 1e-9;
  assert.equal(f.quantile(counts, 0.5, 16), middle(100));
  assert.equal(f.quantile(counts, 0.99, 16), middle(150));
  assert.equal(f.quantile(counts, 1, 16), middle(200));
  assert.equal(f.quantile(new Map(), 0.99, 16), null);
});

test("rates are differences over the time of the server", () => {
  const before = status(10, [loop({ requests: 100, received_bytes: 1000, busy_seconds: 1 })]);
  const now = status(12, [loop({ requests: 300, received_bytes: 5000, busy_seconds: 2, open: 3, turns: 9,
                                 request_seconds: { buckets: [100, 200] }, closed: { peer_closed: 4, idle: 0 } })]);
  const { seconds, loops, total } = f.changes(before, now);
  assert.equal(seconds, 2);
  assert.equal(total.requests, 100);
  assert.equal(total.received, 2000);
  assert.equal(total.busy, 0.5);
  assert.equal(total.open, 3);
  assert.deepEqual(total.ended, { peer_closed: 2, idle: 0 });
  assert.equal(loops[0].stands, false);
  assert.ok(total.p50 > 0 && total.p99 === total.p50);
});

test("another process, and a server that started anew, are no differences", () => {
  const first = status(100, [loop({ requests: 1000 })]);
  assert.equal(f.changes(null, first), null);
  assert.equal(f.changes(first, status(3, [loop()])), null);
  assert.equal(f.changes(first, status(101, [loop()], { pid: 8 })), null);
  assert.equal(f.changes(first, first), null);
});

test("a loop that has had no turn stands; a busy share is of the CPU that two generations share", () => {
  const held = f.changes(status(1, [loop({ turns: 5 })]), status(2, [loop({ turns: 5 })])).loops[0];
  assert.equal(held.stands, true);
  const two = f.changes(status(1, [loop()]), status(2, [loop({ live: 2, busy_seconds: 0.75 })])).loops[0];
  assert.equal(two.busy, 0.75);
  const most = f.changes(status(1, [loop()]), status(2, [loop({ busy_seconds: 3 })])).loops[0];
  assert.equal(most.busy, 1);
  const gone = f.changes(status(1, [loop()]), status(2, [loop({ live: 0 })])).loops[0];
  assert.equal(gone.busy, null);
  assert.equal(gone.stands, false);
  const added = f.changes(status(1, []), status(2, [loop({ requests: 5 })])).loops[0];
  assert.equal(added.requests, 5);
});

test("loops are named by what tells them apart", () => {
  const names = (loops, accept) => f.changes(status(1, loops), status(2, loops, { accept })).loops.map(l => l.name);
  assert.deepEqual(names([loop(), loop({ core: "threads" })], null), ["loop 0", "threads"]);
  assert.deepEqual(names([loop(), loop({ worker: 1 })], "shared"), ["worker 0", "worker 1"]);
  assert.deepEqual(names([loop(), loop({ core: "1" })], "shared"), ["worker 0, loop 0", "worker 0, loop 1"]);
  assert.deepEqual(names([loop({ model: "a" }), loop({ worker: 1, model: "b" })], "shared"), ["worker 0, a", "worker 1, b"]);
});

test("generations, the newest first", () => {
  const w = (generation, state, connections) => ({ generation, state, connections });
  assert.deepEqual(f.generations([w(2, "draining", 5), w(3, "serving", 1), w(3, "starting", 0)]), [
    { generation: 3, connections: 1, starting: 1, serving: 1, draining: 0 },
    { generation: 2, connections: 5, starting: 0, serving: 0, draining: 1 }]);
});

test("lists of several processes are one, and bounded", () => {
  const list = (pid, quiet) => ({ pid, worker: pid, age_seconds: 0, longest: quiet.map(q => ({ peer: "p", quiet_seconds: q })), busiest: [] });
  assert.deepEqual(f.topConnections([list(1, [9, 2]), list(2, [5, 3])], "longest", 3).map(c => [c.pid, c.quiet_seconds]), [[1, 9], [2, 5], [2, 3]]);
});

test("the history forgets, and has a gap where there was no answer", () => {
  const h = new f.History(10);
  for (const t of [0, 1, 2, 20, 21]) h.add(t, { v: t === 21 ? null : t });
  assert.equal(h.points.length, 2);
  const g = new f.History(100);
  for (const t of [0, 1, 20]) g.add(t, { v: t });
  const ys = g.line(p => p.v, 20).map(p => p.y);
  assert.deepEqual(ys, [0, 1, NaN, 20]);
  assert.deepEqual(h.line(p => p.v, 21).map(p => [p.x, p.y]), [[-1, 20], [0, NaN]]);
});

test("every text has its unit", () => {
  const texts = [
    [f.count(0), "0"], [f.count(99_999), "99,999"], [f.count(1_234_567), "1.23 M"], [f.rate(0), "0/s"], [f.rate(0.25), "0.3/s"],
    [f.rate(150_000), "150 k/s"], [f.bytes(0), "0 B"], [f.bytes(999), "999 B"], [f.bytes(16_384), "16.4 kB"],
    [f.byteRate(9.2e9), "9.20 GB/s"], [f.percent(0), "0 %"], [f.percent(0.0001), "< 0.1 %"], [f.percent(0.052), "5.2 %"], [f.percent(1), "100 %"],
    [f.duration(0), "0 s"], [f.duration(5e-8), "50 ns"], [f.duration(1.5e-5), "15.0 µs"], [f.duration(0.25), "250 ms"], [f.duration(59.5), "59.5 s"],
    [f.age(119), "119 s"], [f.age(3600), "60 min"], [f.age(90_000), "25 h 0 min"], [f.age(200_000), "2 d"]];
  for (const [is, wanted] of texts) assert.equal(is, wanted);
  for (const text of [f.count, f.rate, f.bytes, f.byteRate, f.percent, f.duration, f.age])
    for (const nothing of [null, undefined, NaN]) assert.equal(text(nothing), "–");
});

test("a load for each kind of address", () => {
  assert.deepEqual(f.loads("127.0.0.1:7000"), ["wrk -t1 -c64 -d30s http://127.0.0.1:7000/", "yes | nc 127.0.0.1 7000 > /dev/null"]);
  assert.deepEqual(f.loads("*:80")[0], "wrk -t1 -c64 -d30s http://127.0.0.1:80/");
  assert.deepEqual(f.loads("[::]:80"), ["wrk -t1 -c64 -d30s http://[::1]:80/", "yes | nc ::1 80 > /dev/null"]);
  assert.deepEqual(f.loads("tls:0.0.0.0:443"), ["wrk -t1 -c64 -d30s https://127.0.0.1:443/",
                                                "yes | openssl s_client -quiet -connect 127.0.0.1:443 > /dev/null"]);
  assert.deepEqual(f.loads("unix:/run/it's here"), [`yes | nc -U '/run/it'\\''s here' > /dev/null`]);
  assert.deepEqual(f.loads("unix:@name"), ["yes | socat - ABSTRACT-CONNECT:name > /dev/null"]);
  assert.deepEqual(f.loads("proxy:127.0.0.1:80"), []);
});

// What the page computes from the answers of /status, without a page: tests/admin/figures_test.mjs.

// The smallest value of a bucket of a log-linear histogram, in nanoseconds: weir/observe/detail/log_linear.hpp.
export function lowerBound(bucket, perOctave) {
  if (bucket < 2 * perOctave) return bucket;
  return (perOctave + bucket % perOctave) * 2 ** (Math.floor(bucket / perOctave) - 1);
}

// What came into a histogram between two answers: {bucket: count}. Without an earlier one: all.
export function arrived(before, now) {
  const earlier = new Map();
  for (let i = 0; before && i < before.buckets.length; i += 2) earlier.set(before.buckets[i], before.buckets[i + 1]);
  const counts = new Map();
  for (let i = 0; i < now.buckets.length; i += 2) {
    const n = now.buckets[i + 1] - (earlier.get(now.buckets[i]) ?? 0);
    if (n > 0) counts.set(now.buckets[i], n);
  }
  return counts;
}

export function added(all) {
  const sum = new Map();
  for (const counts of all) for (const [bucket, n] of counts) sum.set(bucket, (sum.get(bucket) ?? 0) + n);
  return sum;
}

// Seconds below which the share `q` of the values lies, as the server says it: the middle of a bucket. Null without values.
export function quantile(counts, q, perOctave) {
  let wanted = 0;
  for (const n of counts.values()) wanted += n;
  if (wanted === 0) return null;
  wanted = Math.max(1, Math.ceil(q * wanted));
  for (const bucket of [...counts.keys()].sort((a, b) => a - b)) {
    wanted -= counts.get(bucket);
    if (wanted <= 0) return (lowerBound(bucket, perOctave) + lowerBound(bucket + 1, perOctave)) / 2 * 1e-9;
  }
  return null;
}

// Both answers are of one run of one server.
export const isSameRun = (before, now) =>
  before !== null && before.pid === now.pid && now.uptime_seconds > before.uptime_seconds;

// A pool may have workers of several models, and a worker changes its model at a reload.
const keyOf = loop => `${loop.worker} ${loop.core} ${loop.model ?? ""}`;

// What is enough to tell them apart.
function namesOf({ loops, accept }) {
  const isOneEach = loops.every(loop => loop.core === "0");
  const hasModels = new Set(loops.map(loop => loop.model)).size > 1;
  return loops.map(loop => {
    const core = loop.core === "threads" ? "threads" : `loop ${loop.core}`;
    const words = accept === null ? [core] : isOneEach ? [`worker ${loop.worker}`] : [`worker ${loop.worker}`, core];
    return (hasModels ? [...words, loop.model] : words).join(", ");
  });
}

const totalOf = (loops, of) => loops.reduce((sum, loop) => sum + of(loop), 0);

// The loops of one answer, of which nothing but their levels can be said.
export function loopsOf(now) {
  const names = namesOf(now);
  return now.loops.map((loop, i) => ({
    key: keyOf(loop), name: names[i], worker: loop.worker, core: loop.core, live: loop.live, open: loop.open,
    measures: loop.core !== "threads", queued: loop.queued_tasks, stalls: loop.stalls, busy: null }));
}

// What happened between two answers: rates for each second, quantiles in seconds, shares from 0 to 1. Null where nothing can be
// said. Figures of loops and workers that have ended are in the totals. The busy share is of a CPU, which
// the loops of two generations share.
export function changes(before, now) {
  if (!isSameRun(before, now)) return null;
  const seconds = now.uptime_seconds - before.uptime_seconds;
  const per = now.buckets_per_octave;
  const earlier = new Map(before.loops.map(loop => [keyOf(loop), loop]));
  const loops = loopsOf(now).map((levels, i) => {
    const loop = now.loops[i];
    const was = earlier.get(levels.key) ?? null;
    const rate = of => Math.max(0, of(loop) - (was ? of(was) : 0)) / seconds;
    const measures = levels.measures;
    const requestTimes = arrived(was?.request_seconds, loop.request_seconds);
    const lags = arrived(was?.lag_seconds, loop.lag_seconds);
    const turns = arrived(was?.turn_seconds, loop.turn_seconds);
    return {
      ...levels,
      busy: measures && loop.live > 0 ? Math.min(1, rate(l => l.busy_seconds)) : null,
      requests: rate(l => l.requests), accepted: rate(l => l.accepted),
      received: rate(l => l.received_bytes), sent: rate(l => l.sent_bytes),
      ended: Object.fromEntries(Object.keys(loop.closed).map(cause => [cause, rate(l => l.closed[cause])])),
      stands: measures && loop.live > 0 && was !== null && loop.turns === was.turns,
      requestTimes, lags, turns,
      p50: quantile(requestTimes, 0.5, per), p99: quantile(requestTimes, 0.99, per),
      lag: quantile(lags, 0.99, per), turn: quantile(turns, 0.99, per),
    };
  });
  const times = added(loops.map(l => l.requestTimes));
  const busy = loops.filter(l => l.busy !== null).map(l => l.busy);
  const waits = arrived(before.offload_wait_seconds, now.offload_wait_seconds);
  return {
    seconds, loops,
    total: {
      requests: totalOf(loops, l => l.requests), accepted: totalOf(loops, l => l.accepted),
      received: totalOf(loops, l => l.received), sent: totalOf(loops, l => l.sent), open: totalOf(loops, l => l.open),
      ended: Object.fromEntries(Object.keys(loops[0]?.ended ?? {}).map(c => [c, totalOf(loops, l => l.ended[c])])),
      busy: busy.length ? totalOf(busy, b => b) / busy.length : null, loops: busy.length,
      p50: quantile(times, 0.5, per), p99: quantile(times, 0.99, per),
      lag: quantile(added(loops.map(l => l.lags)), 0.99, per), turn: quantile(added(loops.map(l => l.turns)), 0.99, per),
      jobs: Math.max(0, now.offload.jobs - before.offload.jobs) / seconds, jobWait: quantile(waits, 0.99, per),
    },
  };
}

// Workers by generation, the newest first: [{generation, state: count}].
export function generations(workers) {
  const all = new Map();
  for (const w of workers) {
    if (!all.has(w.generation)) all.set(w.generation, { generation: w.generation, connections: 0, starting: 0, serving: 0, draining: 0 });
    all.get(w.generation)[w.state] += 1;
    all.get(w.generation).connections += w.connections;
  }
  return [...all.values()].sort((a, b) => b.generation - a.generation);
}

// The first ones of the lists of all processes.
export function topConnections(processes, which, most) {
  const by = which === "longest" ? "quiet_seconds" : "bytes_per_second";
  return processes.flatMap(p => p[which].map(c => ({ ...c, worker: p.worker, pid: p.pid, age_seconds: p.age_seconds })))
    .sort((a, b) => b[by] - a[by]).slice(0, most);
}

// Points of the last `span` seconds, the oldest first.
export class History {
  constructor(span) { this.span = span; this.points = []; }
  add(at, values) {
    this.points.push({ at, ...values });
    while (this.points[0].at < at - this.span) this.points.shift();
  }
  // [{x: seconds before `now`, y}] of a line; a gap where there is no value, or there was no answer for a while.
  line(of, now, longestGap = 5) {
    const out = [];
    let last = null;
    for (const point of this.points) {
      if (last !== null && point.at - last > longestGap) out.push({ x: last - now + 0.001, y: NaN });
      out.push({ x: point.at - now, y: of(point) ?? NaN });
      last = point.at;
    }
    return out;
  }
}

const significant = v => v < 9.995 ? v.toFixed(2) : v < 99.95 ? v.toFixed(1) : v.toFixed(0);
const scaled = (v, base, units) => {
  let i = 0;
  while (i + 1 < units.length && v >= 999.5) { v /= base; ++i; }
  return (i === 0 ? (v < 10 && v % 1 !== 0 ? v.toFixed(1) : v.toFixed(0)) : significant(v)) + units[i];
};

// Texts with their unit; "–" where there is no value.
export const none = "–";
const known = (v, text) => v === null || v === undefined || Number.isNaN(v) ? none : text(v);
export const count = n => known(n, v => v < 100_000 ? Math.round(v).toLocaleString("en") : scaled(v, 1000, ["", " k", " M", " G", " T"]));
export const rate = n => known(n, v => (v > 0 && v < 9.95 ? v.toFixed(1) : count(v)) + "/s");
export const bytes = n => known(n, v => scaled(v, 1000, [" B", " kB", " MB", " GB", " TB"]));
export const byteRate = n => known(n, v => bytes(v) + "/s");
export const percent = share => known(share, v => v > 0 && v < 0.0005 ? "< 0.1 %" : (v * 100).toFixed(v > 0 && v < 0.0995 ? 1 : 0) + " %");
export const duration = s => known(s, v => v === 0 ? "0 s" : v < 0.9995e-6 ? (v * 1e9).toFixed(0) + " ns"
  : v < 0.9995e-3 ? significant(v * 1e6) + " µs" : v < 0.9995 ? significant(v * 1e3) + " ms"
  : v < 120 ? significant(v) + " s" : age(v));
export const age = s => known(s, v => v < 120 ? Math.floor(v) + " s" : v < 7200 ? Math.floor(v / 60) + " min"
  : v < 172_800 ? `${Math.floor(v / 3600)} h ${Math.floor(v / 60) % 60} min` : Math.floor(v / 86_400) + " d");

const quoted = text => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

// Commands that put load on an address, as the server names it: one for HTTP, one for any protocol of lines.
export function loads(address) {
  const layers = /^((?:proxy:|tls:)*)(.*)$/.exec(address);
  if (layers[1].includes("proxy:")) return [];  // it takes connections of a balancer alone
  const isTls = layers[1].includes("tls:");
  const sink = "> /dev/null";
  if (layers[2].startsWith("unix:@")) return [`yes | socat - ${quoted("ABSTRACT-CONNECT:" + layers[2].slice(6))} ${sink}`];
  if (layers[2].startsWith("unix:")) return [`yes | nc -U ${quoted(layers[2].slice(5))} ${sink}`];
  const tcp = /^(.*):(\d+)$/.exec(layers[2]);
  if (!tcp) return [];
  const host = { "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]" }[tcp[1]] ?? tcp[1];
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  return [`wrk -t1 -c64 -d30s ${isTls ? "https" : "http"}://${host}:${tcp[2]}/`,
          isTls ? `yes | openssl s_client -quiet -connect ${host}:${tcp[2]} ${sink}` : `yes | nc ${bare} ${tcp[2]} ${sink}`];
}

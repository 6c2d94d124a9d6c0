// The live page: asks for /status every second and shows what has changed. What it computes is in figures.mjs.
import { makeCharts, pointOf } from "./charts.mjs";
import * as figures from "./figures.mjs";
import { age, byteRate, bytes, count, duration, none, percent, rate } from "./figures.mjs";
import { at, fillList, fillTable, make, put } from "./parts.mjs";

const every = 1000;        // milliseconds between questions
const patience = 4000;     // for one answer
const listed = 6;          // connections in a list
const kept = 600;          // seconds of history

const history = new figures.History(kept);
let before = null;         // the last answer
let changed = null;        // between the last two
let failedSince = null;    // the first question without an answer, and how many there are
let failures = 0;
let idleSince = null;      // seconds
let standing = new Map();  // loop: since when it has had no turn
let told = "";             // to a screen reader
let token = sessionStorage.getItem("weir admin_token") ?? "";

const now = () => performance.now() / 1000;
const many = (n, one, more = one + "s") => `${count(n)} ${n === 1 ? one : more}`;

class NeedsToken extends Error {}

async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(patience) });
  if (answer.status === 401) throw new NeedsToken();
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  return answer.json();
}

// The token is a header of each question, never part of an address.
function askForToken() {
  const dialog = at("token-dialog");
  put(at("token-wrong"), token ? "That is not the token." : "");
  for (const link of document.querySelectorAll("footer a:not([href='chart.js'])")) link.removeAttribute("href");
  return new Promise(resolve => {
    at("token-form").onsubmit = event => {
      event.preventDefault();
      token = at("token").value;
      at("token").value = "";
      sessionStorage.setItem("weir admin_token", token);
      dialog.close();
      resolve();
    };
    dialog.oncancel = event => event.preventDefault();
    dialog.showModal();
  });
}

async function poll() {
  const asked = new Date();
  try {
    const status = await ask("status");
    const connections = await ask("connections");
    failures = 0;
    failedSince = null;
    take(status, connections);
  } catch (error) {
    if (error instanceof NeedsToken) {
      await askForToken();
      return poll();
    }
    failedSince ??= asked;
    ++failures;
    if (failures >= 2) showFailure();
  }
  setTimeout(poll, every);
}

function take(status, connections) {
  changed = figures.changes(before, status);
  if (before !== null && changed === null) standing = new Map();
  before = status;
  document.body.classList.remove("stale", "waiting");
  if (changed) {
    history.add(now(), pointOf(changed));
    watchStanding();
    const isIdle = changed.total.requests === 0 && changed.total.received === 0 && changed.total.accepted === 0;
    idleSince = isIdle ? idleSince ?? now() : null;
  }
  showFacts(status);
  showNotice(status);
  showTiles(status);
  showLoops();
  showConnections(connections);
  showEnded(status);
  showMore(status);
  showWorkers(status);
  if (!document.hidden) drawCharts(changed);
}

// A loop writes its turns down twice a second, unless something holds it.
function watchStanding() {
  for (const loop of changed.loops)
    if (!loop.stands) standing.delete(loop.key);
    else if (!standing.has(loop.key)) standing.set(loop.key, now() - changed.seconds);
}
const heldFor = loop => standing.has(loop.key) ? now() - standing.get(loop.key) : 0;
const isHeld = loop => heldFor(loop) > 2;

function showFacts(s) {
  document.title = `${s.program}: weir`;
  put(at("program"), s.program);
  put(at("state"), s.ready ? "ready" : "not ready", `pill ${s.ready ? "good" : "warn"}`);
  const facts = [["model", s.model], ["io", s.io], ["policy", s.policy]];
  if (s.accept !== null) facts.push(["accept", s.accept], ["generation", String(s.generation)]);
  facts.push(["pid", String(s.pid)], ["up", age(s.uptime_seconds)]);
  if (s.listen.length) facts.push(["listens on", s.listen.join(", ")]);
  fillList(at("facts"), facts);
  at("facts").lastChild.classList.toggle("whole", s.listen.length > 0);
}

function notice(text, kind, commands = []) {
  at("notice").className = kind;
  if (told !== kind + text.replace(/[\d.,]+/g, "")) put(at("notice-text"), text);  // not each second for a figure
  else if (at("notice-text").firstChild) at("notice-text").firstChild.data = text;
  told = kind + text.replace(/[\d.,]+/g, "");
  showCommands(commands);
}

function showCommands(commands) {
  const place = at("commands");
  if (place.dataset.shown === commands.join("\n")) return;
  place.dataset.shown = commands.join("\n");
  place.replaceChildren();
  for (const command of commands) {
    const row = make("div", place, { kind: "command" });
    make("code", row, { text: command, tabindex: "0" });
    const button = make("button", row, { text: "Copy", type: "button", "aria-label": `Copy: ${command}` });
    button.onclick = async () => {
      try {
        await navigator.clipboard.writeText(command);
        put(button, "Copied");
      } catch {  // without a secure context
        getSelection().selectAllChildren(row.firstChild);
        put(button, "Ctrl+C");
      }
      setTimeout(() => put(button, "Copy"), 2000);
    };
  }
}

function showNotice(s) {
  const held = changed ? changed.loops.filter(isHeld) : [];
  const all = figures.generations(s.workers);
  const old = all.filter(g => g.generation !== s.generation && g.starting + g.serving + g.draining > 0);
  if (held.length)
    return notice(`${held.map(l => `${l.name} has had no turn for ${age(heldFor(l))}`).join("; ")}. What holds it: ${s.program} --dump --pid ${s.pid}`, "bad");
  if (old.length) return notice(`Reload: ${all.map(describeGeneration).join("; ")}.`, "warn");
  if (!s.ready) return notice(s.workers.some(w => w.state === "draining") ? "It drains: no new clients are taken." : "It starts.", "warn");
  if (idleSince !== null && now() - idleSince > 3 || changed === null)
    return notice("Nothing is going on. To see it work, put load on it:", "good", s.listen.flatMap(figures.loads).slice(0, 2));
  notice(`${many(changed.total.open, "connection")} on ${many(changed.total.loops, "loop")}` +
    `${s.accept === null ? "" : ` of ${many(s.workers.length, "worker process", "worker processes")}`}.`, "good");
}

function describeGeneration(g) {
  const states = ["serving", "starting", "draining"].filter(state => g[state] > 0)
    .map(state => `${many(g[state], "worker")} ${state}`);
  return `generation ${g.generation} has ${states.join(", ")} with ${many(g.connections, "connection")}`;
}

function showFailure() {
  document.body.classList.add("stale");
  put(at("state"), "not reachable", "pill bad");
  const since = failedSince.toLocaleTimeString("en-GB");
  notice(`Not reachable since ${since}. The figures below are the last ones; this page goes on by itself when the server is back.`, "bad");
  if (!document.hidden) drawCharts(changed);
}

const tileNames = ["Requests", "Request time, p50", "Loops busy", "Connections open", "Data", "Stalls, refused"];
const tiles = new Map();
function tile(name, value, also, kind = "") {
  if (!tiles.has(name)) {
    const e = make("div", at("tiles"), { kind: "tile" });
    make("div", e, { kind: "name", text: name });
    tiles.set(name, [make("div", e, { kind: "value" }), make("div", e, { kind: "also" })]);
  }
  put(tiles.get(name)[0], value);
  put(tiles.get(name)[1], also, `also ${kind}`);
}

function showTiles(s) {
  const t = changed?.total ?? { open: s.loops.reduce((sum, l) => sum + l.open, 0) };
  const requests = s.loops.reduce((sum, l) => sum + l.requests, 0);
  const counts = requests > 0;
  const stalls = s.loops.reduce((sum, l) => sum + l.stalls, 0);
  const refused = s.refused.connections + s.refused.connections_per_ip + s.refused.error;
  tile(tileNames[0], counts ? rate(t.requests) : none, counts ? `${count(requests)} since the start` : "none so far");
  tile(tileNames[1], duration(t.p50), `p99 ${duration(t.p99)}`);
  tile(tileNames[2], percent(t.busy), `${t.loops ? `mean of ${many(t.loops, "loop")}` : ""}\nlag p99 ${duration(t.lag)}`);
  tile(tileNames[3], count(t.open), `${rate(t.accepted)} begin`);
  tile(tileNames[4], byteRate(t.received === undefined ? null : t.received + t.sent), `in ${byteRate(t.received)}\nout ${byteRate(t.sent)}`);
  tile(tileNames[5], `${count(stalls)}, ${count(refused)}`,
       s.lost_log_lines ? `${many(s.lost_log_lines, "log line")} lost` : "since the start", s.lost_log_lines ? "bad" : "");
}

const loopColumns = [
  { label: "Loop", width: "15%", text: l => l.name },
  { label: "Busy", width: "11%", title: "CPU time of its thread; held: it has had no turn for 2 s", text: l => isHeld(l) ? "held" : percent(l.busy),
    share: l => isHeld(l) ? 1 : l.busy },
  { label: "Requests", text: l => rate(l.requests) },
  { label: "p50", title: "Half of the requests were answered within this time", text: l => duration(l.p50) },
  { label: "p99", title: "99 of 100 requests were answered within this time", text: l => duration(l.p99) },
  { label: "Lag p99", title: "How late its timers fired", text: l => duration(l.lag), kind: l => l.lag > 0.05 ? "warn" : "" },
  { label: "Turn p99", title: "From the end of a wait to the next one", text: l => duration(l.turn), kind: l => l.turn > 0.05 ? "warn" : "" },
  { label: "Open", title: "Connections", text: l => count(l.open) },
  { label: "In", text: l => byteRate(l.received) },
  { label: "Out", text: l => byteRate(l.sent) },
  { label: "Queue", title: "Chains of coroutines that wait for their turn", text: l => count(l.queued) },
  { label: "Stalls", title: "Handlers that held it for longer than limits.stall, since the start", text: l => count(l.stalls),
    kind: l => l.stalls > 0 ? "warn" : "" },
];

function showLoops() {
  // Places of workers that are no more are in the totals alone.
  const live = (changed?.loops ?? figures.loopsOf(before)).filter(l => l.live > 0 || l.open > 0);
  fillTable(at("loops-table"), "Loops", loopColumns, live, { key: l => l.key, wide: true });
}

// By the name that its loop has in the table above.
const place = c => changed?.loops.find(l => l.live > 0 && l.worker === c.worker && l.core === c.core)?.name ?? (before.accept === null ? "" : `worker ${c.worker}`);
const peer = { label: "Peer", width: "40%", text: c => c.peer, full: c => `descriptor ${c.fd} of process ${c.pid}` };
const where = { label: "Where", width: "20%", left: true, text: place };

function showConnections({ processes }) {
  const options = { key: (_, rank) => rank, least: listed };  // texts change places, not rows
  fillTable(at("longest-table"), "Connections that have waited longest", [peer, where,
    { label: "Quiet", title: "Since a byte last moved", text: c => c.runs ? "it runs" : duration(c.quiet_seconds) },
    { label: "Open", title: "Since its loop has it", text: c => age(c.open_seconds) }],
    figures.topConnections(processes, "longest", listed), options);
  fillTable(at("busiest-table"), "Connections that move most", [peer, where,
    { label: "Moves", title: "Both directions, of the last half second", text: c => byteRate(c.bytes_per_second) }],
    figures.topConnections(processes, "busiest", listed), options);
  const seen = processes.reduce((sum, p) => sum + p.seen, 0);
  const oldest = Math.max(0, ...processes.map(p => p.age_seconds));
  put(at("connections-note"), !processes.length ? "The workers make their lists." :
    `Of ${many(seen, "connection")} with a handler, ${age(oldest)} ago. Unix sockets do not tell what they move. ` +
    `What each waits for: ${before.program} --dump --pid ${before.pid}`);
}

const endings = { peer_closed: "by the peer", peer_reset: "reset by the peer, or broken", idle: "idle for too long",
                  stopping: "by a stop", closed: "by the handler", moved: "moved to another loop or worker" };

function showEnded(s) {
  const rows = Object.entries(endings).map(([cause, name]) => ({ name,
    total: s.loops.reduce((sum, l) => sum + l.closed[cause], 0), now: changed?.total.ended[cause] ?? null }));
  for (const [cause, name] of [["connections", "refused: limits.connections"], ["connections_per_ip", "refused: limits.connections_per_ip"],
                               ["error", "dropped by an error"]])
    rows.push({ name, total: s.refused[cause], now: null });
  fillTable(at("ended-table"), "How connections ended", [{ label: "How", width: "56%", text: r => r.name },
    { label: "Now", text: r => rate(r.now) }, { label: "Since the start", text: r => count(r.total) }], rows, { key: r => r.name });
}

function showMore(s) {
  const sum = of => s.loops.reduce((total, l) => total + of(l), 0);
  fillList(at("more"), [
    ["Accept queue of the kernel", s.accept_queue.limit ? `${count(s.accept_queue.connections)} of ${count(s.accept_queue.limit)}` : none],
    ["Pauses of accepting for want of descriptors or memory", count(s.accept_queue.pauses)],
    ["Connections to other servers, since the start", count(sum(l => l.outgoing))],
    ["Parked in the master", count(s.parked)],
    ["Offloaded jobs", `${rate(changed?.total.jobs)}, ${count(s.offload.queued)} wait`],
    ["Wait of a job for a thread, p99", duration(changed?.total.jobWait)],
    ["Timers armed", count(sum(l => l.timers))],
    ["Buffers", bytes(sum(l => l.buffer_bytes))],
    ["Reloads, workers replaced", `${count(s.reloads)}, ${count(s.restarts)}`],
  ]);
}

const workerColumns = [
  { label: "Worker", text: w => `worker ${w.worker}` },
  { label: "Generation", text: w => String(w.generation), kind: w => w.generation === before.generation ? "" : "warn" },
  { label: "State", left: true, text: w => w.state, kind: w => w.state === "serving" ? "" : "warn" },
  { label: "Pid", text: w => String(w.pid) },
  { label: "Age", text: w => age(w.age_seconds) },
  { label: "Connections", text: w => count(w.connections) },
  { label: "Accepted", title: "Since it was started", text: w => count(w.accepted) },
  { label: "Requests", title: "Since it was started", text: w => count(w.requests) },
];

function showWorkers(s) {
  at("workers").hidden = s.accept === null;
  const rows = [...s.workers].sort((a, b) => b.generation - a.generation || a.worker - b.worker);
  if (s.accept !== null) fillTable(at("workers-table"), "Worker processes", workerColumns, rows, { key: w => w.pid, wide: true });
}

const drawCharts = makeCharts(at("charts"), history);
for (const name of tileNames) tile(name, none, "");
poll();

#pragma once
// compare: the page of a comparison, but for its data.

#include <string_view>

namespace weir::compare {

inline constexpr std::string_view page = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>weir: models compared</title>
<style>
  :root { color-scheme: light dark; --text: #222; --back: #fff; --dim: #666; --line: #ddd; --good: #eef6ee; --mark: #3a8f4d;
          --bar: #1f5fb4; --best: #3a8f4d; --pale: #b9c6d6; --bad: #a33; }
  @media (prefers-color-scheme: dark) { :root { --text: #ddd; --back: #16181b; --dim: #999; --line: #3a3d42; --good: #1c2a1f;
          --bar: #5b94da; --best: #57b36b; --pale: #45505e; --bad: #e58080; } }
  @media print { :root { --text: #000; --back: #fff; --dim: #444; --line: #bbb; --good: #fff; --bar: #555; --best: #000; --pale: #ccc; }
          body { max-width: none; } .chart { break-inside: avoid; } .bar { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
  body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: var(--text); background: var(--back); margin: 0 auto;
         padding: 24px; max-width: 1200px; }
  h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 26px 0 2px; }
  .small { color: var(--dim); font-size: 13px; }
  .advice { background: var(--good); border-left: 4px solid var(--mark); padding: 8px 14px; margin: 14px 0; }
  pre { border: 1px solid var(--line); padding: 8px 14px; overflow-x: auto; }
  .charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 6px 40px; }
  @media (max-width: 900px) { .charts { grid-template-columns: minmax(0, 1fr); } }
  .row { display: grid; grid-template-columns: minmax(0, 23em) 1fr 6em; gap: 8px; font-size: 12.5px; align-items: center; }
  .row > :first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .row > :last-child { text-align: right; font-variant-numeric: tabular-nums; }
  .bar { background: var(--bar); height: 11px; min-width: 1px; } .bar.best { background: var(--best); } .bar.pale { background: var(--pale); }
  table { border-collapse: collapse; font-size: 13px; margin: 8px 0; }
  th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; white-space: nowrap; }
  th:first-child, td:first-child, td.text { text-align: left; padding-left: 0; white-space: normal; }
  tr.starved td { color: var(--bad); }
</style>
</head>
<body>
<h1></h1>
<div class="small" id="how"></div>
<div class="advice"></div>
<pre></pre>
<div class="charts"></div>
<div class="small" id="different"></div>
<h2>All figures</h2>
<table></table>
<script>
const data = /* the data */;
const number = v => v === null || v === undefined ? "-" : v >= 100 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(3)));
const time = us => us === null || us === undefined ? "-" : us < 1000 ? number(us) + " µs" : us < 1e6 ? number(us / 1000) + " ms" : number(us / 1e6) + " s";
function make(tag, parent, text, kind) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (kind) e.className = kind;
  parent.append(e);
  return e;
}
const find = what => document.querySelector(what);
find("h1").textContent = data.program + ": which model for this load";
find("#how").textContent = data.load + " · " + data.cpus + " CPUs, " + (data.shared_cpus ? "which server and load shared"
  : data.server_cpus + " for the server") + " · Linux " + data.kernel + " · " + data.rounds + " rounds, the typical one of each shown · "
  + Math.round(data.took) + " s";
find(".advice").textContent = data.advice;
if (data.toml) find("pre").textContent = data.toml; else find("pre").remove();
const of = c => c.typical === null ? null : c.runs[c.typical];
const counted = data.candidates.some(c => of(c) && of(c).requests_per_second !== null);
// `judged` figures mean nothing when clients were left waiting.
const charts = [
  { title: counted ? "requests/s" : "bytes/s", more: true, of: f => f.rate, show: number },
  { title: "p50: half of the answers came within", of: f => f.p50_us, show: time, judged: true },
  { title: "p99: 99 of 100 answers came within", of: f => f.p99_us, show: time, judged: true },
  { title: "CPU time per " + (counted ? "request" : "byte"), of: f => f.cpu_us, show: time },
  { title: "context switches per " + (counted ? "request" : "byte"), of: f => f.switches, show: number },
  { title: "memory, MB", of: f => f.memory_mb, show: number },
];
for (const chart of charts) {
  const rows = data.candidates.filter(c => of(c) && !(chart.judged && c.starves) && chart.of(of(c)) !== null);
  if (!rows.length) continue;
  const box = make("div", find(".charts"), undefined, "chart");
  make("h2", box, chart.title);
  make("div", box, chart.more ? "more is better; pale: not every client was served" : "less is better", "small");
  const most = Math.max(...rows.map(c => chart.of(of(c))), 1e-9);
  for (const c of rows) {
    const row = make("div", box, undefined, "row");
    make("span", row, c.name).title = c.name;
    const kind = c.starves ? "bar pale" : c.name === data.best ? "bar best" : "bar";
    make("div", make("div", row), undefined, kind).style.width = 100 * chart.of(of(c)) / most + "%";
    make("span", row, chart.show(chart.of(of(c))));
  }
}
for (const c of data.candidates) {
  const d = c.runs.map(r => r.different).find(Boolean);
  if (d) make("div", find("#different"), c.name + ": " + d);
}
const head = make("tr", find("table"));
for (const text of ["", counted ? "requests/s" : "bytes/s", "lowest", "highest", "p50", "p99", "p99.9", "CPU", "switches", "threads", "MB", "served", "starved"])
  make("th", head, text);
for (const c of data.candidates) {
  const f = of(c), row = make("tr", find("table"), undefined, c.starves ? "starved" : "");
  make("td", row, c.name);
  if (!f) { make("td", row, c.refused ?? c.runs.map(r => r.failed).find(Boolean) ?? "not measured", "text").colSpan = 12; continue; }
  const rates = c.runs.map(r => r.rate);
  for (const text of [number(f.rate), number(Math.min(...rates)), number(Math.max(...rates)), time(f.p50_us), time(f.p99_us), time(f.p999_us),
                      time(f.cpu_us), number(f.switches), number(f.threads), number(f.memory_mb), number(f.served), number(f.starved)])
    make("td", row, text);
}
</script>
</body>
</html>
)html";

}  // namespace weir::compare

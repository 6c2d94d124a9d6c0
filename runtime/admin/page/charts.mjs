// The charts, drawn by Chart.js, which is global.
import { age, byteRate, count, duration, percent, rate } from "./figures.mjs";
import { make } from "./parts.mjs";

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = i => `--c${i % 8}`;

// `lines`: [{label, of(point)}] of a point of the history, or a function of the latest changes that gives them.
const kinds = [
  { title: "Requests", unit: rate, whole: true, lines: [{ label: "answered", of: p => p.requests }] },
  { title: "Request time", unit: duration, spans: true, lines: [{ label: "p50", of: p => p.p50 }, { label: "p99", of: p => p.p99 }] },
  { title: "Busy", unit: percent, most: 1, lines: now => busyLines(now) },
  { title: "Data", unit: byteRate, lines: [{ label: "received", of: p => p.received }, { label: "sent", of: p => p.sent }] },
  { title: "Loops, p99", unit: duration, spans: true, lines: [{ label: "lag", of: p => p.lag }, { label: "turn", of: p => p.turn }] },
  { title: "Connections open", unit: count, whole: true, lines: [{ label: "open", of: p => p.open }] },
];

// Powers of ten, or every second one if there are many.
function isLabelled(v, axis) {
  const power = Math.round(Math.log10(v));
  return Math.abs(Math.log10(v) - power) < 1e-6 && (power % 2 === 0 || Math.log10(axis.max / axis.min) < 5.5);
}

// Whole powers of ten around all values: an outlier leaves the rest to be seen.
function spanOf(datasets) {
  const all = datasets.flatMap(d => d.data.map(point => point.y)).filter(y => y > 0);
  const low = all.length ? Math.min(...all) : 1e-6, high = all.length ? Math.max(...all) : 1e-3;
  const min = 10 ** Math.floor(Math.log10(low));
  return { min, max: Math.max(10 * min, 10 ** Math.ceil(Math.log10(high))) };
}

// Up to four loops have a line each.
function busyLines(now) {
  const keys = now === null ? [] : now.loops.filter(l => l.measures && l.live > 0);
  if (keys.length <= 4) return keys.map(l => ({ label: l.name, of: p => p.busyOf[l.key] }));
  const of = pick => p => { const all = Object.values(p.busyOf); return all.length ? pick(...all) : null; };
  return [{ label: "busiest loop", of: of(Math.max) }, { label: "least busy", of: of(Math.min) }, { label: "mean", of: p => p.busy }];
}

// What a point of the history keeps of changes.
export const pointOf = now => ({ ...now.total, ended: undefined,
  busyOf: Object.fromEntries(now.loops.filter(l => l.busy !== null).map(l => [l.key, l.busy])) });

export function makeCharts(place, history) {
  const all = kinds.map(kind => makeChart(make("figure", place), kind));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const c of all) { paint(c); c.chart.update(); }
  });
  return now => { for (const c of all) update(c, history, now); };
}

function makeChart(figure, kind) {
  const caption = make("figcaption", figure);
  make("b", caption, { text: kind.title });
  const canvas = make("canvas", make("div", figure, { kind: "canvas" }), { role: "img", "aria-label": kind.title });
  const tick = { maxRotation: 0, autoSkip: true, font: { size: 11 } };
  const chart = new Chart(canvas, {
    type: "line",
    data: { datasets: [] },
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true, spanGaps: false,
      interaction: { mode: "nearest", axis: "x", intersect: false },
      elements: { point: { radius: 0, hitRadius: 8, hoverRadius: 3 }, line: { borderWidth: 1.6, tension: 0 } },
      scales: {
        x: { type: "linear", min: -60, max: 0, ticks: { ...tick, callback: v => v === 0 ? "now" : `−${age(-v)}` } },
        y: { ...(kind.spans ? { type: "logarithmic" } : { min: 0, max: kind.most }), afterFit: axis => { axis.width = 72; },
             ticks: { ...tick, maxTicksLimit: kind.spans ? undefined : 5, autoSkip: !kind.spans,
                      ...(kind.whole ? { precision: 0 } : {}),
                      callback(v) { return !kind.spans || isLabelled(v, this) ? kind.unit(v) : null; } } },
      },
      plugins: {
        legend: { display: false },
        tooltip: { callbacks: { title: items => items.length ? `${age(-items[0].parsed.x)} ago` : "",
                                label: item => `${item.dataset.label}: ${kind.unit(item.parsed.y)}` } },
      },
    },
  });
  const made = { kind, chart, caption, canvas };
  paint(made);
  return made;
}

function paint({ chart }) {
  for (const axis of Object.values(chart.options.scales)) {
    axis.grid = { color: style("--line") };
    axis.ticks.color = style("--soft");
  }
  chart.data.datasets.forEach((d, i) => { d.borderColor = d.backgroundColor = style(colour(i)); });
}

function update(c, history, now) {
  const lines = typeof c.kind.lines === "function" ? c.kind.lines(now) : c.kind.lines;
  const sets = c.chart.data.datasets;
  if (sets.map(d => d.label).join() !== lines.map(l => l.label).join()) {
    c.chart.data.datasets = lines.map(l => ({ label: l.label, data: [] }));
    while (c.caption.children.length > 1) c.caption.lastChild.remove();
    lines.forEach((l, i) => make("span", c.caption, { kind: "key", text: l.label }).style.setProperty("--key", `var(${colour(i)})`));
    paint(c);
  }
  const end = performance.now() / 1000;
  lines.forEach((l, i) => { c.chart.data.datasets[i].data = history.line(l.of, end); });
  if (c.kind.spans) Object.assign(c.chart.options.scales.y, spanOf(c.chart.data.datasets));
  const first = history.points[0]?.at ?? end;
  const x = c.chart.options.scales.x;
  x.min = -[60, 120, 300, 600].find(span => span >= Math.min(600, end - first));
  x.ticks.stepSize = -x.min / (-x.min === 600 ? 5 : 4);
  c.chart.update();
  const last = history.points[history.points.length - 1];
  const told = last ? lines.map(l => `${l.label} ${c.kind.unit(l.of(last) ?? null)}`).join(", ") : "no figures yet";
  c.canvas.setAttribute("aria-label", `${c.kind.title}, now: ${told}`);
}

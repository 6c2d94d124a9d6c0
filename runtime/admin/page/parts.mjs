// Elements of the page: what is there is changed, never made anew, so that nothing jumps and focus stays.

export const at = id => document.getElementById(id);

export function make(tag, parent, { text, kind, ...attributes } = {}) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (kind) e.className = kind;
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  parent.append(e);
  return e;
}

// Only what differs: a screen reader and a selection see no change otherwise.
export function put(element, text, kind) {
  if (element.textContent !== text) element.textContent = text;
  if (kind !== undefined && element.className !== kind) element.className = kind;
}

// A list of names and texts in a <dl>; the names stay the same.
export function fillList(dl, pairs) {
  for (const [i, [name, text]] of pairs.entries()) {
    const pair = dl.children[i] ?? make("div", dl);
    if (!pair.firstChild) { make("dt", pair); make("dd", pair); }
    put(pair.firstChild, name);
    put(pair.lastChild, text);
  }
  while (dl.children.length > pairs.length) dl.lastChild.remove();
}

// `columns`: [{label, title, text(row), kind(row), share(row), full(row), left, width}], the first one is the row's heading. `key`: what tells rows
// apart. At least `least` rows are as high as rows, so that what is below stays where it is.
export function fillTable(place, caption, columns, rows, { key, least = 0, wide = false }) {
  if (!place.firstChild) makeTable(place, caption, columns, wide);
  const body = place.querySelector("tbody");
  const there = new Map([...body.rows].map(tr => [tr.dataset.key, tr]));
  const wanted = rows.map((row, i) => [String(key(row, i)), row]);
  for (let i = rows.length; i < least; ++i) wanted.push([`filler ${i}`, null]);
  for (const [i, [name, row]] of wanted.entries()) {
    let tr = there.get(name);
    if (!tr) {
      tr = make("tr", body, { role: "row", "data-key": name });
      columns.forEach((c, k) => makeCell(tr, c, k === 0));
    }
    there.delete(name);
    if (body.rows[i] !== tr) body.insertBefore(tr, body.rows[i]);
    tr.classList.toggle("filler", row === null);
    if (row === null) tr.setAttribute("aria-hidden", "true");
    columns.forEach((c, k) => fillCell(tr.cells[k], c, row));
  }
  for (const tr of there.values()) tr.remove();
}

function makeTable(place, caption, columns, wide) {
  place.classList.add("scroll");
  const table = make("table", place, { kind: wide ? "wide" : "", role: "table", "aria-label": caption });
  const group = make("colgroup", table);
  for (const c of columns) if (c.width) make("col", group).style.width = c.width; else make("col", group);
  const head = make("tr", make("thead", table, { role: "rowgroup" }), { role: "row" });
  for (const c of columns) {
    const th = make("th", head, { text: c.label, scope: "col", role: "columnheader" });
    if (c.title) th.title = c.title;
    if (c.left) th.className = "left";
  }
  make("tbody", table, { role: "rowgroup" });
}

function makeCell(tr, column, isFirst) {
  const cell = isFirst ? make("th", tr, { scope: "row", role: "rowheader" }) : make("td", tr, { role: "cell" });
  cell.dataset.label = column.label;
  if (!column.share) return;
  const meter = make("span", cell, { kind: "meter" });
  make("i", make("span", meter, { kind: "track" }));
  make("span", meter, { kind: "said" });
}

function fillCell(cell, column, row) {
  const text = row === null ? "\u00a0" : column.text(row);
  if (!column.share) {
    put(cell, text, `${column.left ? "left " : ""}${row !== null && column.kind ? column.kind(row) : ""}`);
    if (column.full && row !== null) cell.title = column.full(row);
    return;
  }
  put(cell.firstChild.lastChild, text);
  cell.firstChild.firstChild.firstChild.style.width = `${Math.round(100 * (row === null ? 0 : column.share(row) ?? 0))}%`;
}

"use strict";
(() => {
  const source = document.getElementById("runs-data");
  if (!source) return;
  const { columns, rows } = JSON.parse(source.textContent);
  const section = document.getElementById("runs-view");
  const head = section.querySelector("thead tr"), body = section.querySelector("tbody");
  const search = document.getElementById("runs-search"), state = document.getElementById("runs-state");
  const status = document.getElementById("runs-status"), size = 100;
  const before = document.getElementById("runs-before"), after = document.getElementById("runs-after");
  const stateColumn = columns.findIndex((column) => column.name === "state");
  const texts = rows.map((row) => row.map((cell) => (cell === null ? "" : String(cell))).join(" ").toLowerCase());
  let order = rows.map((_, k) => k), page = 0, sorted = { column: -1, down: false };
  const digits = (number) => number !== 0 && Math.abs(number) < 1e-3 ? String(Number(number.toPrecision(4)).toExponential()) : String(Number(number.toPrecision(4)));
  const shown = (cell, column) => cell === null ? column.none : typeof cell === "number" ? digits(cell) : String(cell);
  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return sorted.down ? b - a : a - b;
    const found = String(a).localeCompare(String(b), "en", { numeric: true });
    return sorted.down ? -found : found;
  }
  function choose() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    order = rows.map((_, k) => k).filter((k) => wanted.every((word) => texts[k].includes(word)) && (!state.value || rows[k][stateColumn] === state.value));
    if (sorted.column >= 0) order.sort((a, b) => compare(rows[a][sorted.column], rows[b][sorted.column]) || a - b);
    page = 0;
    draw();
  }
  function draw() {
    const pages = Math.max(1, Math.ceil(order.length / size));
    const lines = order.slice(page * size, (page + 1) * size).map((k) => {
      const line = document.createElement("tr");
      columns.forEach((column, c) => {
        const cell = document.createElement(c === 0 ? "th" : "td");
        if (c === 0) cell.scope = "row";
        if (typeof rows[k][c] === "number") cell.className = "number";
        const text = shown(rows[k][c], column);
        if (c === 0) text.split(/(?<=_)/).forEach((part) => cell.append(part, document.createElement("wbr")));
        else cell.textContent = text;
        line.append(cell);
      });
      return line;
    });
    body.replaceChildren(...lines);
    before.disabled = page === 0;
    after.disabled = page >= pages - 1;
    status.textContent = `${order.length} of ${rows.length} rows, page ${page + 1} of ${pages}`;
  }
  columns.forEach((column, c) => {
    const cell = document.createElement("th"), button = document.createElement("button");
    cell.scope = "col";
    button.type = "button";
    button.textContent = column.label;
    button.addEventListener("click", () => {
      sorted = { column: c, down: sorted.column === c && !sorted.down };
      head.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      choose();
    });
    cell.append(button);
    head.append(cell);
  });
  new Set(rows.map((row) => row[stateColumn])).forEach((name) => state.add(new Option(name, name)));
  search.addEventListener("input", choose);
  state.addEventListener("change", choose);
  before.addEventListener("click", () => { page -= 1; draw(); });
  after.addEventListener("click", () => { page += 1; draw(); });
  section.hidden = false;
  draw();
})();

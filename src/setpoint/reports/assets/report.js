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
(() => {
  const source = document.getElementById("figures-data");
  if (!source || typeof vegaEmbed === "undefined") return;
  const { config, figures } = JSON.parse(source.textContent);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  function hover(_handler, event, _item, value) {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    const lines = typeof value === "object" ? Object.entries(value).filter(([, text]) => text !== "").map(([name, text]) => `${name}: ${text}`) : [String(value)];
    tip.textContent = lines.join("\n");
    const { clientWidth: width, clientHeight: height } = document.documentElement;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${event.clientY + 14 + tip.offsetHeight > height ? event.clientY - tip.offsetHeight - 10 : event.clientY + 14}px`;
  }
  const sized = (value, width) => Array.isArray(value) ? value.map((each) => sized(each, width)) : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, k === "width" && v === "container" ? width : sized(v, width)])) : value;
  const views = new Map();
  async function draw(place) {
    const { spec, reserve } = figures[place.dataset.figure];
    const width = Math.max(200, Math.floor(place.clientWidth));
    place.dataset.width = String(width);
    const old = views.get(place);
    const target = document.createElement("div");
    const found = await vegaEmbed(target, { $schema: "https://vega.github.io/schema/vega-lite/v6.json", config, ...sized(spec, width - reserve) }, { ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip: hover });
    target.querySelectorAll("svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
    place.replaceChildren(target);
    if (old) old.finalize();
    views.set(place, found);
  }
  function save(place, kind) {
    return views.get(place).view.toImageURL(kind, kind === "png" ? 2 : 1, { background: "white" }).then((url) => {
      const link = document.createElement("a");
      link.href = url;
      link.download = `${place.dataset.figure}.${kind}`;
      link.click();
    });
  }
  function scaled(place, factor) {
    const view = views.get(place).view;
    const signals = view.getState({ signals: (name) => /^zoom_.+/.test(name) && !/_tuple|_tuple_fields|_translate|_zoom|_toggle|_modify/.test(name) }).signals;
    for (const name of Object.keys(signals)) {
      const axis = ["x", "y"].find((each) => { try { return name === `zoom_${each}` || view.scale(each) && fieldOf(place, each) === name.slice(5); } catch { return false; } });
      if (!axis) continue;
      const scale = view.scale(axis), domain = scale.domain().map(Number);
      const log = scale.type === "log", to = log ? Math.log : (v) => v, back = log ? Math.exp : (v) => v;
      const middle = (to(domain[0]) + to(domain[1])) / 2, half = factor * (to(domain[1]) - to(domain[0])) / 2;
      view.signal(name, [back(middle - half), back(middle + half)]);
    }
    view.runAsync();
  }
  const fieldOf = (place, axis) => {
    const layers = figures[place.dataset.figure].spec.layer || [];
    const zoomed = layers.find((layer) => layer.params);
    return zoomed && zoomed.encoding[axis] ? zoomed.encoding[axis].field : "";
  };
  function rowsOf(spec) {
    const layers = spec.vconcat ? spec.vconcat.map((panel) => panel.layer[0]) : spec.layer;
    return [...new Set(layers.map((layer) => layer.data.name))].map((name) => spec.datasets[name]).filter((rows) => rows.length && Object.keys(rows[0]).length > 1);
  }
  function values(place, details) {
    if (details.querySelector("table")) return;
    for (const rows of rowsOf(figures[place.dataset.figure].spec)) {
      const names = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => name !== "row");
      const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
      table.createCaption().textContent = "Values of the figure";
      names.forEach((name) => { const cell = document.createElement("th"); cell.scope = "col"; cell.textContent = name.replaceAll("_", " "); head.append(cell); });
      rows.slice(0, 400).forEach((row) => { const line = body.insertRow(); names.forEach((name) => { line.insertCell().textContent = row[name] ?? ""; }); });
      const scroll = document.createElement("div");
      scroll.className = "scroll";
      scroll.tabIndex = 0;
      scroll.append(table);
      details.append(scroll);
    }
  }
  const places = [...document.querySelectorAll(".plot")];
  for (const place of places) {
    const tools = document.createElement("div");
    tools.className = "tools";
    const add = (text, label, act) => { const button = document.createElement("button"); button.type = "button"; button.textContent = text; button.setAttribute("aria-label", label); button.addEventListener("click", act); tools.append(button); };
    const caption = place.dataset.figure;
    if ((figures[caption].spec.layer || []).some((layer) => layer.params)) {
      add("+", `zoom in: ${caption}`, () => scaled(place, 0.5));
      add("−", `zoom out: ${caption}`, () => scaled(place, 2));
      add("reset", `reset zoom: ${caption}`, () => draw(place));
    }
    add("SVG", `download ${caption} as SVG`, () => save(place, "svg"));
    add("PNG", `download ${caption} as PNG`, () => save(place, "png"));
    const details = document.createElement("details"), summary = document.createElement("summary");
    summary.textContent = "values";
    details.append(summary);
    details.addEventListener("toggle", () => values(place, details));
    (place.parentElement.querySelector("figcaption") || place).after(tools, details);
  }
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => { if (entry.isIntersecting && !entry.target.dataset.width) draw(entry.target); }), { rootMargin: "600px" });
  places.forEach((place) => seen.observe(place));
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => places.filter((place) => place.dataset.width && Math.abs(Number(place.dataset.width) - place.clientWidth) > 4).forEach(draw), 150);
  });
  const all = () => Promise.all(places.filter((place) => !place.dataset.width).map(draw));
  addEventListener("beforeprint", all);
  document.documentElement.dataset.figures = String(places.length);
  globalThis.drawAllFigures = all;
})();

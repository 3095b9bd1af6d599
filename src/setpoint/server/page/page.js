"use strict";
// Everything from files is inserted as text, so that no name can be markup.
const $ = (id) => document.getElementById(id);
const PERIOD_MS = 2000;
const rows = new Map();
let experiment = "", shown = "";

async function read(path) {
  const answer = await fetch("api/" + path);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

function element(name, text, parent) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function fill(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

async function listExperiments() {
  const select = $("experiment");
  for (const each of await read("experiments")) {
    let option = [...select.options].find((known) => known.value === each.id);
    if (!option) { option = element("option", "", select); option.value = each.id; }
    fill(option, each.id + " (" + each.state + ")");
  }
  if (!experiment && select.options.length) experiment = select.options[0].value;
  select.value = experiment;
}

function row(run) {
  const made = document.createElement("tr");
  const button = element("button", run.name, element("td", undefined, made));
  button.type = "button";
  button.addEventListener("click", () => show(run.name, true));
  for (let k = 0; k < 4; k++) element("td", "", made);
  $("runs").append(made);
  rows.set(run.name, made);
  return made;
}

function update(run) {
  const found = rows.get(run.name) || row(run);
  const cells = found.cells;
  found.dataset.state = run.state;
  found.dataset.text = (run.name + " " + run.state + " " + (run.failure_class || "")).toLowerCase();
  fill(cells[1], run.state);
  fill(cells[2], String(run.configuration));
  fill(cells[3], String(run.seed));
  fill(cells[4], [run.failure_class, run.reason].filter(Boolean).join(": "));
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let visible = 0;
  for (const found of rows.values()) {
    found.hidden = !words.every((word) => found.dataset.text.includes(word));
    visible += !found.hidden;
  }
  $("empty").hidden = visible > 0;
}

function duration(seconds) {
  if (seconds < 90) return Math.round(seconds) + " s";
  return seconds < 5400 ? Math.round(seconds / 60) + " min" : (seconds / 3600).toFixed(1) + " h";
}

async function refresh() {
  await listExperiments();
  if (!experiment) { fill($("summary"), "no experiments yet"); return; }
  const found = await read("experiments/" + encodeURIComponent(experiment));
  for (const run of found.runs) update(run);
  const counts = Object.entries(found.counts).map(([state, count]) => count + " " + state);
  const left = found.state === "running" && found.estimate ? ["about " + duration(found.estimate.left_s) + " left"] : [];
  fill($("summary"), [found.state, ...counts, ...left, ...found.best.map((text) => "best: " + text)].join(" · "));
  $("report").hidden = !found.report;
  $("report").href = "reports/" + encodeURIComponent(experiment);
  filter();
  if (shown) await show(shown, false);
}

function curve(name, points, parent) {
  const finite = points.filter((point) => point[1] !== null);
  if (finite.length < 2) return;
  const figure = element("figure", undefined, parent);
  element("figcaption", name + ": " + finite[finite.length - 1][1].toPrecision(4), figure);
  const xs = finite.map((point) => point[0]), ys = finite.map((point) => point[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const place = (value, low, high, size) => (high > low ? (value - low) / (high - low) : 0.5) * size;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 300 80");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", name + " from " + y0.toPrecision(3) + " to " + y1.toPrecision(3));
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", finite.map((p) => place(p[0], x0, x1, 300) + "," + (78 - place(p[1], y0, y1, 76))).join(" "));
  svg.append(line);
  figure.append(svg);
}

async function show(name, focus) {
  shown = name;
  const found = await read("experiments/" + encodeURIComponent(experiment) + "/runs/" + encodeURIComponent(name));
  if (shown !== name) return;
  $("detail").hidden = false;
  fill($("name"), found.name);
  $("curves").replaceChildren();
  for (const [key, points] of Object.entries(found.curves)) curve(key, points, $("curves"));
  $("parameters").replaceChildren();
  for (const [key, value] of Object.entries(found.parameters)) {
    element("dt", key, $("parameters"));
    element("dd", String(value), $("parameters"));
  }
  const open = new Set([...$("logs").querySelectorAll("details[open]")].map((each) => each.dataset.stage));
  $("logs").replaceChildren();
  for (const log of found.logs.filter((each) => each.text)) {
    const details = element("details", undefined, $("logs"));
    details.dataset.stage = log.stage;
    details.open = open.has(log.stage);
    element("summary", log.stage, details);
    element("pre", log.text, details);
  }
  if (focus) $("name").focus();
}

$("filter").addEventListener("input", filter);
$("experiment").addEventListener("change", () => {
  experiment = $("experiment").value;
  shown = "";
  rows.clear();
  $("runs").replaceChildren();
  $("detail").hidden = true;
  tick(false);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== $("filter")) { event.preventDefault(); $("filter").focus(); }
  if (event.key === "Escape") { shown = ""; $("detail").hidden = true; }
});

async function tick(again) {
  try { await refresh(); } catch (error) { fill($("summary"), "cannot read: " + error.message); }
  if (again) setTimeout(() => tick(true), PERIOD_MS);
}
tick(true);

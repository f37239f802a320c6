// SPDX-License-Identifier: GPL-3.0-or-later
// Draws what a page carries as <script type="application/json" id="drawing-NAME"> into <div id="NAME">.
// Times are ms after 00:00 local of the first day; the axis shows them as they are, whatever the browser's own zone.
// Each drawing takes the keyboard: arrows move a mark along it, and what it says there is written below and read out.
"use strict";

const HOUR = 3600000, DAY = 24 * HOUR;
const narrow = () => window.innerWidth < 720;
// The colours of the style sheet, light or dark: a test holds that every eye tells them apart.
const shade = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const CLASSES = ["counted", "unpaid", "missing", "excluded", "own_fault", "outside"];
const CLASS_PATTERNS = ["", "", "/", "x", "\\", ""];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const MONTH_PATTERNS = ["", "", "/", "", "\\", ""];
const look = () => ({ paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: getComputedStyle(document.body).fontFamily, size: narrow() ? 10 : 12, color: shade("ink") }, hoverlabel: { font: { size: 12 } } });
const axis = () => ({ gridcolor: shade("line"), zerolinecolor: shade("soft"), linecolor: shade("line") });
const settings = (bar) => ({ responsive: true, displaylogo: false, displayModeBar: bar && !narrow(), modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"], locale: "en-US" });
const number = (value, digits) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

// Names of limits that lie close together are written one above the other.
function apart(notes, data, height) {
  const values = [...data.limits.map(([, value]) => value), ...(data.power || []).map(([, , value]) => value)];
  const room = (Math.max(...values) - Math.min(...values)) / 1000 * 14 / height;
  let last = -Infinity;
  for (const note of [...notes].sort((a, b) => a.y - b.y)) { note.y = last = Math.max(note.y, last + room); }
  return notes;
}

// plotly takes a date without a zone as it is written.
const stamp = (ms, first = "1970-01-01") => new Date(Date.parse(`${first}T00:00:00Z`) + ms).toISOString().slice(0, 23).replace("T", " ");
const clock = (ms) => ms === DAY ? "24:00:00" : new Date(ms % DAY).toISOString().slice(11, 19);

function steps(list, scale, first) {
  const x = [], y = [];
  let end = null;
  for (const [from, to, value] of list) {
    if (end !== null && from > end) { x.push(stamp(end, first)); y.push(null); }
    x.push(stamp(from, first), stamp(to, first)); y.push(value / scale, value / scale);
    end = to;
  }
  return { x, y };
}

function bands(list, colour) {
  return list.map(([from, to]) => ({
    type: "rect", xref: "x", yref: "paper", x0: stamp(from), x1: stamp(to), y0: 0, y1: 1, fillcolor: colour, line: { width: 0 }, layer: "below",
  }));
}

// The limits of a unit: each with a colour and a stroke of its own, its name and value at its right end; on a phone above the line.
function limits(data, from, to, traces) {
  return data.limits.map(([title, value], index) => {
    traces.push({ x: [from, to], y: [value / 1000, value / 1000], name: title, mode: "lines", showlegend: false, line: { color: shade(`limit-${index % 5}`), width: 1.5, dash: DASHES[(index + 1) % 5] }, hovertemplate: "%{fullData.name}: %{y:,.3f} MW<extra></extra>" });
    return { xref: "paper", x: 1, xanchor: narrow() ? "right" : "left", yref: "y", y: value / 1000, text: `${title} ${value / 1000}`, showarrow: false, font: { color: shade("ink"), size: 11 }, ...(narrow() ? { bgcolor: shade("paper"), opacity: 0.85, borderpad: 0 } : {}) };
  });
}

const at = (list, ms) => { const found = (list || []).find(([from, to]) => from <= ms && ms < to); return found && found[2]; };

function drawDay(box, data) {
  const word = data.words, traces = [], said = [];
  const shapes = [...bands(data.valley, shade("valley")), ...bands(data.peak, shade("peak"))];
  const line = (title, list, colour, dash, axis, width, unit) => {
    if (!list || !list.length) return;
    traces.push({ ...steps(list, 1000), name: title, mode: "lines", line: { color: shade(colour), dash, width, shape: "hv" }, connectgaps: false, yaxis: axis, hovertemplate: `%{x|%H:%M:%S} · %{fullData.name}: %{y:,.3f} ${unit}<extra></extra>` });
    said.push((ms) => { const value = at(list, ms); return value === undefined ? null : [title, `${number(value / 1000, 3)} ${unit}`]; });
  };
  line(word.plan, data.plan, "plan", "dash", "y", 1.4, "MW");
  line(word.setpoint, data.setpoint, "setpoint", "dot", "y", 1, "MW");
  line(word.power, data.power, "power", "solid", "y", 1.6, "MW");
  line(word.reactive, data.reactive, "reactive", "solid", "y2", 1.2, "Mvar");
  for (const each of data.substitutes) {
    const [axis, unit] = each.curve === "reactive" ? ["y2", "Mvar"] : ["y", "MW"];
    line(each.original, each.delivered, "original", "longdash", axis, 2, unit);
    line(each.name, each.steps, "substitute", "solid", axis, 3.5, unit);
  }
  const notes = limits(data, stamp(0), stamp(DAY), traces);
  const colour = (lane, kind) => shade(CLASSES.includes(kind) ? kind.replace("_", "-") : kind === "substituted" ? "substitute" : lane.kind === "state" ? "state" : "dispatch");
  const lanes = data.lanes.map((lane) => lane.name);
  data.lanes.forEach((lane, index) => {
    for (const [from, to, kind] of lane.blocks) {
      shapes.push({ type: "rect", xref: "x", yref: "y3", x0: stamp(from), x1: stamp(to), y0: index - 0.4, y1: index + 0.4, fillcolor: colour(lane, kind), line: { width: 0 } });
    }
    traces.push({
      x: lane.blocks.map(([from, to]) => stamp((from + to) / 2)), y: lane.blocks.map(() => index), yaxis: "y3", mode: "markers", showlegend: false,
      marker: { size: 9, opacity: 0 }, text: lane.blocks.map(([from, to, , text]) => `${lane.name}: ${text}<br>${clock(from)} – ${clock(to)}`), hovertemplate: "%{text}<extra></extra>",
    });
    said.push((ms) => { const found = lane.blocks.find(([from, to]) => from <= ms && ms < to); return found ? [lane.name, found[3] === lane.name ? "" : found[3]] : null; });
  });
  const bottom = data.lanes.length ? Math.min(0.52, 0.05 + 0.042 * data.lanes.length) : 0;
  const middle = data.reactive && data.reactive.length ? bottom + 0.22 : bottom;
  box.style.height = `${420 + 24 * data.lanes.length}px`;
  Plotly.newPlot(box, traces, {
    ...look(), margin: { l: narrow() ? 92 : 150, r: narrow() ? 12 : 170, t: narrow() ? 90 : 44, b: 36 }, shapes, annotations: apart(notes, data, (340 + 24 * data.lanes.length) * (0.96 - middle)),
    xaxis: { type: "date", range: [stamp(0), stamp(DAY)], ...axis(), tickformat: "%H:%M", dtick: narrow() ? 6 * HOUR : 2 * HOUR, anchor: data.lanes.length ? "y3" : "y" },
    yaxis: { ...axis(), title: { text: "MW" }, domain: [middle + 0.04, 1], zeroline: false },
    yaxis2: { ...axis(), title: { text: "Mvar" }, domain: [bottom + 0.03, middle], zeroline: true },
    yaxis3: { tickvals: lanes.map((_, i) => i), ticktext: lanes, domain: [0, bottom], range: [lanes.length - 0.4, -0.6], showgrid: false, zeroline: false, fixedrange: true, automargin: true },
    legend: { orientation: "h", y: 1.01, yanchor: "bottom" }, hovermode: "closest",
  }, settings(true));
  walk(box, 96, (place) => ({ x: stamp(place * DAY / 96), title: clock(place * DAY / 96), said: said.map((say) => say(place * DAY / 96)) }), 4);
}

// A month of a unit: lowest and highest of each hour, the mean of each day, the plan, the limits.
function drawMonth(box, data) {
  const word = data.words, traces = [], from = stamp(0, data.first), to = stamp(data.days.length * DAY, data.first);
  const half = (day) => stamp((day + 0.5) * DAY, data.first);
  traces.push({
    type: "bar", name: word.range, x: data.hours.map(([a, b]) => stamp((a + b) / 2, data.first)), width: data.hours.map(([a, b]) => b - a), base: data.hours.map(([, , low]) => low / 1000),
    y: data.hours.map(([, , low, high]) => Math.max(high - low, 500) / 1000), marker: { color: shade("power"), line: { width: 0 } },
    text: data.hours.map(([a, , low, high]) => `${word.lowest} ${number(low / 1000, 3)} MW, ${word.highest} ${number(high / 1000, 3)} MW`), textposition: "none", hovertemplate: "%{x|%m-%d %H:%M} · %{text}<extra></extra>",
  });
  if (data.plan.length) traces.push({ ...steps(data.plan, 1000, data.first), name: word.plan, mode: "lines", line: { color: shade("plan"), dash: "dash", width: 1.2, shape: "hv" }, connectgaps: false, hovertemplate: "%{x|%m-%d %H:%M} · %{fullData.name}: %{y:,.3f} MW<extra></extra>" });
  traces.push({ x: data.days.map((_, day) => half(day)), y: data.days.map((day) => day.mean === null ? null : day.mean / 1000), name: word.mean, mode: "markers+lines", connectgaps: false, line: { color: shade("substitute"), width: 1.5, dash: "dot" }, marker: { size: 7, symbol: "diamond", color: shade("substitute") }, hovertemplate: "%{x|%m-%d} · %{fullData.name}: %{y:,.3f} MW<extra></extra>" });
  const notes = limits(data, from, to, traces);
  box.style.height = "430px";
  Plotly.newPlot(box, traces, {
    ...look(), margin: { l: narrow() ? 56 : 90, r: narrow() ? 12 : 170, t: 40, b: 36 }, bargap: 0, annotations: apart(notes, { limits: data.limits, power: data.hours.map(([a, b, low, high]) => [a, b, low]).concat(data.hours.map(([a, b, , high]) => [a, b, high])) }, 350),
    xaxis: { type: "date", range: [from, to], ...axis(), tickformat: "%m-%d", dtick: narrow() ? 7 * DAY : 2 * DAY }, yaxis: { ...axis(), title: { text: "MW" }, zeroline: false },
    legend: { orientation: "h", y: 1.01, yanchor: "bottom" }, hovermode: "closest",
  }, settings(true));
  walk(box, data.days.length, (place) => ({ x: half(place), title: data.days[place].day, said: data.days[place].said, href: data.days[place].href }), 7);
}

// Bars by categories; `stack`: classes of time; `grouped`: months side by side; else above and below zero.
function drawBars(box, data) {
  const fill = (index, trace) => data.kind === "stack"
    ? { color: shade(trace.code.replace("_", "-")), pattern: { shape: CLASS_PATTERNS[CLASSES.indexOf(trace.code)] } }
    : data.kind === "grouped" ? { color: shade(`month-${data.traces.length - 1 - index}`), pattern: { shape: MONTH_PATTERNS[data.traces.length - 1 - index] }, line: { color: shade("soft"), width: 0.5 } }
    : { color: shade(index ? "missing" : "counted"), pattern: { shape: index ? "/" : "" } };
  const digits = data.digits === undefined ? 2 : data.digits;
  const traces = data.traces.map((trace, index) => ({ type: "bar", name: trace.name, x: trace.x, y: trace.y, marker: fill(index, trace), hovertemplate: `%{x} · %{fullData.name}: %{y:,.${digits}f} ${data.unit}<extra></extra>` }));
  Plotly.newPlot(box, traces, {
    ...look(), margin: { l: narrow() ? 56 : 90, r: 12, t: 34, b: 40 }, xaxis: { ...axis(), type: "category", automargin: true, ...(data.rare ? { dtick: narrow() ? 5 : 2 } : {}) },
    barmode: data.kind === "grouped" ? "group" : data.kind === "stack" ? "stack" : "relative", yaxis: { ...axis(), title: { text: data.unit }, tickformat: ",", exponentformat: "none" }, legend: { orientation: "h", y: 1.01, yanchor: "bottom" }, showlegend: true,
  }, settings(false));
  const names = data.traces[0] ? data.traces[0].x : [];
  walk(box, names.length, (place) => ({
    x: names[place], title: names[place],
    said: data.traces.map((trace) => trace.y[place] === null || trace.y[place] === undefined ? null : [trace.name, `${number(trace.y[place], digits)} ${data.unit}`]),
  }), 10);
}

// The keyboard: ← → one place, with Shift or Page a stride, Home, End; Enter follows where a place leads.
function walk(box, count, look_at, stride) {
  if (!count) return;
  const reading = document.createElement("p");
  reading.className = "reading"; reading.id = `${box.id}-reading`;
  reading.setAttribute("role", "status");
  reading.textContent = document.querySelector("[data-chart-keys]")?.dataset.chartKeys || "";
  box.after(reading);
  box.tabIndex = 0;
  box.setAttribute("aria-describedby", reading.id);
  let place = -1, shapes = null;
  box.addEventListener("keydown", (event) => {
    const far = event.shiftKey ? stride : 1;
    const to = { ArrowRight: place + far, ArrowLeft: place - far, PageDown: place + stride, PageUp: place - stride, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) {
      const href = event.key === "Enter" && place >= 0 && look_at(place).href;
      if (href) window.location.assign(href);
      return;
    }
    event.preventDefault();
    place = Math.min(Math.max(to, 0), count - 1);
    const found = look_at(place);
    shapes = shapes || [...(box.layout.shapes || [])];
    const mark = { type: "line", xref: "x", yref: "paper", x0: found.x, x1: found.x, y0: 0, y1: 1, line: { color: shade("ink"), width: 1.5 } };
    Plotly.relayout(box, { shapes: [...shapes, mark] });
    reading.replaceChildren();
    const title = document.createElement("b");
    title.textContent = found.title;
    reading.append(title, ...found.said.filter(Boolean).map(([name, value]) => ` · ${name}${value ? `: ${value}` : ""}`));
  });
}

for (const script of document.querySelectorAll("script[type='application/json'][id^='drawing-']")) {
  const data = JSON.parse(script.textContent);
  const box = document.getElementById(script.id.slice("drawing-".length));
  (data.traces ? drawBars : data.hours ? drawMonth : drawDay)(box, data);
}

// SPDX-License-Identifier: GPL-3.0-or-later
// Draws what a page carries as <script type="application/json" id="drawing-NAME"> into <div id="NAME">.
// Times are ms after 00:00 local; the axis shows them as clock times of one day, whatever the browser's own zone.
"use strict";

const COLOURS = {
  counted: "#2f9e44", unpaid: "#c3cad1", missing: "#d9534f", excluded: "#8d6bb8", own_fault: "#b8743a", outside: "#eef1f4",
};

function clock(ms) {
  // plotly takes a date without a zone as it is written.
  const at = new Date(ms);
  return at.toISOString().slice(0, 23).replace("T", " ");
}

function steps(list, scale) {
  const x = [], y = [];
  let end = null;
  for (const [from, to, value] of list) {
    if (end !== null && from > end) { x.push(clock(end)); y.push(null); }
    x.push(clock(from), clock(to)); y.push(value / scale, value / scale);
    end = to;
  }
  return { x, y };
}

function bands(list, colour, layer) {
  return list.map(([from, to]) => ({
    type: "rect", xref: "x", yref: "paper", x0: clock(from), x1: clock(to), y0: 0, y1: 1, fillcolor: colour, line: { width: 0 }, layer,
  }));
}

function draw(name, data) {
  const word = data.words, traces = [], shapes = [];
  const line = (title, list, colour, dash, axis, scale, width) => {
    if (!list || !list.length) return;
    traces.push({ ...steps(list, scale), name: title, mode: "lines", line: { color: colour, dash, width, shape: "hv" }, connectgaps: false, yaxis: axis, hovertemplate: "%{y}" });
  };
  shapes.push(...bands(data.valley, "rgba(70,110,190,.10)", "below"), ...bands(data.peak, "rgba(220,140,40,.10)", "below"));
  line(word.plan, data.plan, "#b36b00", "dash", "y", 1000, 1.4);
  line(word.setpoint, data.setpoint, "#7048a8", "dot", "y", 1000, 1);
  line(word.power, data.power, "#0b4a6f", "solid", "y", 1000, 1.6);
  for (const [title, value] of data.limits) {
    traces.push({ x: [clock(0), clock(86400000)], y: [value / 1000, value / 1000], name: title, mode: "lines", line: { color: "#7c8894", width: 1, dash: "dashdot" }, hovertemplate: "%{y}" });
  }
  line(word.reactive, data.reactive, "#1d7a74", "solid", "y2", 1000, 1.2);
  const lanes = data.lanes.map((lane) => lane.name);
  data.lanes.forEach((lane, index) => {
    for (const [from, to, kind, text] of lane.blocks) {
      shapes.push({ type: "rect", xref: "x", yref: "y3", x0: clock(from), x1: clock(to), y0: index - 0.4, y1: index + 0.4, fillcolor: COLOURS[kind] || lane.colour, line: { width: 0 } });
    }
    traces.push({
      x: lane.blocks.map(([from, to]) => clock((from + to) / 2)), y: lane.blocks.map(() => index), yaxis: "y3", mode: "markers", showlegend: false,
      marker: { size: 9, opacity: 0 }, text: lane.blocks.map(([from, to, , text]) => `${lane.name}: ${text}<br>${clock(from).slice(11, 19)} – ${to === 86400000 ? "24:00:00" : clock(to).slice(11, 19)}`), hovertemplate: "%{text}<extra></extra>",
    });
  });
  const bottom = data.lanes.length ? Math.min(0.52, 0.05 + 0.042 * data.lanes.length) : 0;
  const middle = data.reactive && data.reactive.length ? bottom + 0.22 : bottom;
  const box = document.getElementById(name);
  box.style.height = `${420 + 24 * data.lanes.length}px`;
  Plotly.newPlot(box, traces, {
    font: { family: getComputedStyle(document.body).fontFamily, size: 12 }, margin: { l: 150, r: 20, t: 10, b: 36 }, shapes,
    xaxis: { type: "date", range: [clock(0), clock(86400000)], tickformat: "%H:%M", dtick: 7200000, anchor: data.lanes.length ? "y3" : "y" },
    yaxis: { title: { text: "MW" }, domain: [middle + 0.04, 1], zeroline: false },
    yaxis2: { title: { text: "Mvar" }, domain: [bottom + 0.03, middle], zeroline: true },
    yaxis3: { tickvals: lanes.map((_, i) => i), ticktext: lanes, domain: [0, bottom], range: [lanes.length - 0.4, -0.6], showgrid: false, zeroline: false, fixedrange: true },
    legend: { orientation: "h", y: 1.06 }, hovermode: "closest",
  }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"], locale: "en-US" });
}

function drawBars(name, data) {
  const box = document.getElementById(name);
  Plotly.newPlot(box, data.traces.map((trace) => ({ type: "bar", ...trace })), {
    font: { family: getComputedStyle(document.body).fontFamily, size: 12 }, margin: { l: 90, r: 20, t: 10, b: 60 },
    barmode: "relative", yaxis: { title: { text: data.unit } }, legend: { orientation: "h", y: 1.12 },
  }, { responsive: true, displaylogo: false, displayModeBar: false });
}

for (const script of document.querySelectorAll("script[type='application/json'][id^='drawing-']")) {
  const data = JSON.parse(script.textContent);
  (data.traces ? drawBars : draw)(script.id.slice("drawing-".length), data);
}

// Charts in SVG: one panel per data set, values under the pointer or the arrow keys.

const VIEWS = { iou: "Mean IoU", success: "Success rate", noc: "Clicks needed", speed: "Speed" };
const NOTES = {
  iou: "Mean IoU after each click. Bands: 95 % intervals, where the report has them.",
  success: "Share of instances that have reached the IoU by each click.",
  noc: "Share of instances by the clicks they needed; darker is more. The orange mark is the mean, NoC.",
  speed: "Clicks needed against time, on a logarithmic scale: the nearer to the lower left, the better. Times taken in the run itself are, with batches, a share of the batch. Bounds are left out.",
};

// Values by method of one data set, [method, [value per click from 1, NaN for none], low, high].
function linesOf(dataset) {
  if (state.view === "iou" || (state.view === "success" && data.targets[state.target] === 90)) {
    return data.charts[state.view]
      .filter(([name]) => name === data.datasets[dataset])
      .map(([, method, , first, ...columns]) => {
        const padded = columns.map((values) => [...Array(first - 1).fill(null), ...values]);
        return [data.methods.findIndex((m) => m.name === method), ...padded];
      });
  }
  return countsOf(dataset).map(([method, counts, total]) => {
    let sum = 0;
    const values = counts.slice(1).map((count) => (sum += count) / total);
    return [method, values, [], []];
  });
}

// How many traces needed how many clicks, [method, counts with those of never first, total].
function countsOf(dataset) {
  return [...Array(M).keys()].flatMap((method) => {
    const counts = Array(K + 1).fill(0);
    let total = 0;
    for (let row = 0; row < rowCount(); row++) {
      if (data.rows.dataset[row] !== dataset || !isScored(row, method)) continue;
      counts[nocOf(row, method, state.target)]++;
      total++;
    }
    return total ? [[method, counts, total]] : [];
  });
}

// The shapes that the figures for print have too.
const MARKERS = { s: "M-.85-.85H.85V.85H-.85Z", "^": "M0-1.1 1 .8H-1Z", v: "M0 1.1-1-.8H1Z", D: "M0-1.15 1.15 0 0 1.15-1.15 0Z",
  "<": "M-1.1 0 .8-1V1Z", ">": "M1.1 0-.8 1V-1Z", P: "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
  X: "M-1-.5-.5-1 0-.5.5-1 1-.5.5 0 1 .5.5 1 0 .5-.5 1-1 .5-.5 0Z" };

function marker(method, x, y, size) {
  const path = MARKERS[data.methods[method].marker];
  if (!path) return svg("circle", { class: "dot", cx: x, cy: y, r: size });
  return svg("path", { class: "dot", d: path, transform: `translate(${x} ${y}) scale(${size})`, "vector-effect": "non-scaling-stroke" });
}

function ticks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= raw);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step) found.push(v);
  return found;
}

const clickTicks = (width) => {
  const step = [1, 2, 5, 10, 20, 50].find((s) => (K / s) * 30 <= width) || 100;
  return [...Array(K).keys()].map((n) => n + 1).filter((n) => n % step === 0 || (n === 1 && step !== 2));
};

function frame(dataset, width, height, margin, label) {
  const root = svg("svg", {
    class: "chart", viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img", "aria-label": label,
  });
  const figure = el("figure", { class: "panel" }, el("figcaption", {}, data.datasets[dataset]), root);
  return { root, figure, width, height, margin,
    inner: [margin.left, margin.top, width - margin.right, height - margin.bottom] };
}

function axes(chart, x, xTicks, xName, y, yTicks, yName) {
  const [left, top, right, bottom] = chart.inner;
  for (const [at, text] of yTicks) {
    chart.root.append(svg("line", { class: "rule", x1: left, x2: right, y1: y(at), y2: y(at) }),
      svg("text", { x: left - 7, y: y(at) + 4, "text-anchor": "end" }, text));
  }
  for (const [at, text] of xTicks) {
    chart.root.append(svg("line", { class: "axis", x1: x(at), x2: x(at), y1: bottom, y2: bottom + 4 }),
      svg("text", { x: x(at), y: bottom + 18, "text-anchor": "middle" }, text));
  }
  chart.root.append(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    svg("text", { x: (left + right) / 2, y: bottom + 35, "text-anchor": "middle" }, xName),
    svg("text", { x: left, y: top - 9, "text-anchor": "start" }, yName));
}

function lineChart(dataset, width) {
  const height = Math.round(Math.min(420, Math.max(270, width * 0.5)));
  const chart = frame(dataset, width, height, { left: 44, right: 14, top: 26, bottom: 42 },
    `${VIEWS[state.view]} against clicks on ${data.datasets[dataset]}; arrow keys read the values`);
  const [left, top, right, bottom] = chart.inner;
  const lines = linesOf(dataset).filter(([method]) => !state.hidden.has(method));
  const all = lines.flatMap(([, values]) => values.filter((v) => v !== null));
  const low = state.view === "iou" && all.length ? Math.max(0, Math.floor(Math.min(...all) * 20) / 20) : 0;
  const x = (click) => left + ((right - left) * (click - 1 + 0.3)) / Math.max(K - 1 + 0.6, 1);
  const y = (value) => bottom - ((bottom - top) * (value - low)) / (1 - low || 1);
  const yName = state.view === "iou" ? "mean IoU (%)" : `at IoU ${data.targets[state.target]} % (% of instances)`;
  axes(chart, x, clickTicks(right - left).map((n) => [n, n]), "clicks", y,
    ticks(low, 1, 6).map((v) => [v, Math.round(100 * v)]), yName);
  for (const [method, values, lows, highs] of [...lines].reverse()) {
    const group = svg("g", { ...coloured(method), "data-method": method });
    const points = values.flatMap((v, i) => (v === null ? [] : [`${x(i + 1).toFixed(1)},${y(v).toFixed(1)}`]));
    const banded = values.flatMap((v, i) => (v === null || (lows[i] ?? null) === null ? [] : [i]));
    if (banded.length) {
      const corner = (i, side) => `${x(i + 1).toFixed(1)},${y(Math.max(low, side[i])).toFixed(1)}`;
      const path = [...banded.map((i) => corner(i, highs)), ...banded.reverse().map((i) => corner(i, lows))];
      group.append(svg("polygon", { class: "band", points: path.join(" ") }));
    }
    group.append(svg("polyline", { class: "series", points: points.join(" "),
      "stroke-width": data.methods[method].width * 1.25, "stroke-dasharray": dashes(method) }));
    if (points.length === 1) {
      const [cx, cy] = points[0].split(",");
      group.append(svg("circle", { class: "dot", cx, cy, r: 4 }));
    }
    chart.root.append(group);
  }
  const read = (click) => lines
    .filter(([, values]) => (values[click - 1] ?? null) !== null)
    .sort((a, b) => b[1][click - 1] - a[1][click - 1])
    .map(([method, values, lows, highs]) => {
      const i = click - 1, known = (lows[i] ?? null) !== null;
      const interval = known ? ` [${percent(lows[i])}, ${percent(highs[i])}]` : "";
      return [method, data.methods[method].name, percent(values[i]) + " %" + interval];
    });
  readable(chart, K, (click) => x(click), (click) => `${click} click${click > 1 ? "s" : ""}`, read);
  return chart.figure;
}

function stripChart(dataset, width) {
  const rows = countsOf(dataset).filter(([method]) => !state.hidden.has(method))
    .map(([method, counts, total]) => [method, counts, total,
      counts.reduce((sum, count, clicks) => sum + count * (clicks || K), 0) / total])
    .sort((a, b) => a[3] - b[3]);
  const pitch = 40, height = 52 + pitch * rows.length;
  const chart = frame(dataset, width, height, { left: 4, right: 46, top: 8, bottom: 40 },
    `Distribution of clicks to IoU ${data.targets[state.target]} % on ${data.datasets[dataset]}; arrow keys read the values`);
  const [left, , right, bottom] = chart.inner;
  const step = (right - left) / (K + 2.5);
  const x = (click) => left + step * (click > K ? K + 1.75 : click - 0.5);
  rows.forEach(([method, counts, total, mean], n) => {
    const top = 8 + n * pitch + 17;
    const group = svg("g", { "data-method": method });
    const room = Math.max(6, Math.floor(width / 7.2));
    const name = data.methods[method].name;
    group.append(svg("text", { class: "label", x: left, y: top - 4 }, name.length > room ? name.slice(0, room - 1) + "…" : name));
    for (let click = 1; click <= K + 1; click++) {
      const share = counts[click > K ? 0 : click] / total;
      const wide = click > K ? step * 1.5 : step;
      group.append(svg("rect", { class: "strip", x: (x(click) - wide / 2).toFixed(2), y: top, width: (wide - 1).toFixed(2), height: 18,
        "fill-opacity": (0.05 + 0.95 * Math.sqrt(share)).toFixed(3) }));
    }
    const at = left + step * (mean - 0.5);
    for (const kind of ["mean-edge", "mean"]) group.append(svg("line", { class: kind, x1: at, x2: at, y1: top - 1, y2: top + 19 }));
    group.append(svg("text", { class: "label", x: right + 6, y: top + 14 }, mean.toFixed(2)));
    chart.root.append(group);
  });
  for (const n of clickTicks((right - left) * 0.8)) {
    chart.root.append(svg("text", { x: x(n), y: bottom + 14, "text-anchor": "middle" }, n));
  }
  chart.root.append(svg("text", { x: x(K + 1), y: bottom + 14, "text-anchor": "middle" }, "never"),
    svg("text", { x: (left + x(K)) / 2, y: bottom + 31, "text-anchor": "middle" }, `clicks to IoU ${data.targets[state.target]} %`));
  const read = (click) => rows.map(([method, counts, total]) => [method, data.methods[method].name,
    `${percent(counts[click > K ? 0 : click] / total)} %`]);
  readable(chart, K + 1, x, (click) => (click > K ? "never" : `${click} click${click > 1 ? "s" : ""} needed`), read);
  return chart.figure;
}

function speedChart(dataset, width) {
  const height = Math.round(Math.min(420, Math.max(280, width * 0.5)));
  const chart = frame(dataset, width, height, { left: 44, right: 20, top: 26, bottom: 42 },
    `NoC against seconds on ${data.datasets[dataset]}; arrow keys read the values`);
  const [left, top, right, bottom] = chart.inner;
  const nocs = new Map(countsOf(dataset).map(([method, counts, total]) => [method,
    counts.reduce((sum, count, clicks) => sum + count * (clicks || K), 0) / total]));
  const points = data.charts.speed.filter(([name]) => name === data.datasets[dataset])
    .map(([, name, seconds, , low, high]) => [data.methods.findIndex((m) => m.name === name), seconds, low, high])
    .filter(([method]) => nocs.has(method) && !state.hidden.has(method))
    .map(([method, seconds, low, high]) => ({ method, seconds, noc: nocs.get(method),
      low: data.targets[state.target] === 90 ? low : null, high }))
    .sort((a, b) => a.seconds - b.seconds);
  if (!points.length) {
    chart.root.append(svg("text", { x: left, y: top + 20 }, "No times were recorded."));
    return chart.figure;
  }
  const from = Math.log10(points[0].seconds / 2), to = Math.log10(points[points.length - 1].seconds * 2);
  const values = points.flatMap((p) => [p.noc, p.low ?? p.noc, p.high ?? p.noc]);
  const lowest = Math.max(0, Math.min(...values) - 1), highest = Math.max(...values) + 1;
  const x = (seconds) => left + ((right - left) * (Math.log10(seconds) - from)) / (to - from);
  const y = (noc) => bottom - ((bottom - top) * (noc - lowest)) / (highest - lowest);
  const decades = [];
  for (let d = Math.floor(from); d <= to; d++) {
    for (const n of to - from > 3 ? [1] : [1, 2, 5]) {
      const s = n * 10 ** d;
      if (Math.log10(s) >= from && Math.log10(s) <= to) decades.push([s, Number(s.toPrecision(2))]);
    }
  }
  axes(chart, x, decades, data.time, y, ticks(lowest, highest, 6).map((v) => [v, Number(v.toFixed(2))]),
    `NoC@${data.targets[state.target]}, lower is better`);
  points.forEach((p, n) => {
    const group = svg("g", { ...coloured(p.method), "data-method": p.method });
    if ((p.low ?? null) !== null) group.append(svg("line", { class: "whisker", x1: x(p.seconds), x2: x(p.seconds), y1: y(p.low), y2: y(p.high) }));
    group.append(marker(p.method, x(p.seconds), y(p.noc), 6.5));
    if (points.length <= 10) {
      const late = x(p.seconds) > (left + right) / 2;
      const name = data.methods[p.method].name, room = Math.floor(width / 16);
      group.append(svg("text", { class: "label", x: x(p.seconds) + (late ? -10 : 10), y: y(p.noc) + (n % 2 ? 14 : -6),
        "text-anchor": late ? "end" : "start" }, name.length > room ? name.slice(0, room - 1) + "…" : name));
    }
    chart.root.append(group);
  });
  readable(chart, points.length, (n) => x(points[n - 1].seconds), (n) => data.methods[points[n - 1].method].name, (n) => {
    const p = points[n - 1];
    return [[null, `NoC@${data.targets[state.target]}`, p.noc.toFixed(2)], [null, "seconds", p.seconds.toPrecision(3)]];
  });
  return chart.figure;
}

// Pointer and arrow keys move a cross-hair over positions 1 to count.
function readable(chart, count, x, heading, read) {
  const [, top, , bottom] = chart.inner;
  const cross = svg("line", { class: "cross", y1: top, y2: bottom, visibility: "hidden" });
  chart.root.append(cross);
  let at = 0;
  const show = (position, clientY) => {
    at = Math.max(1, Math.min(count, position));
    cross.setAttribute("x1", x(at));
    cross.setAttribute("x2", x(at));
    cross.setAttribute("visibility", "visible");
    const box = chart.root.getBoundingClientRect();
    showTip(box.left + (x(at) * box.width) / chart.width, clientY ?? box.top + box.height / 2, heading(at), read(at));
  };
  const hide = () => { cross.setAttribute("visibility", "hidden"); hideTip(); };
  chart.root.addEventListener("pointermove", (event) => {
    const box = chart.root.getBoundingClientRect();
    const here = ((event.clientX - box.left) * chart.width) / box.width;
    let nearest = 1;
    for (let n = 2; n <= count; n++) if (Math.abs(x(n) - here) < Math.abs(x(nearest) - here)) nearest = n;
    show(nearest, event.clientY);
  });
  chart.root.addEventListener("pointerleave", hide);
  chart.root.addEventListener("blur", hide);
  chart.root.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: at + 1, ArrowLeft: at ? at - 1 : count, Home: 1, End: count };
    if (event.key === "Escape") hide();
    else if (event.key in moves) { event.preventDefault(); show(moves[event.key]); }
  });
}

function drawCharts() {
  const panels = $("panels"), datasets = shownDatasets();
  hideTip();
  panels.classList.toggle("single", datasets.length === 1);
  panels.classList.toggle("four", datasets.length === 4);
  panels.classList.toggle("crowded", shownMethods().length > 6);
  panels.replaceChildren();
  const probe = el("div", {});
  panels.append(...datasets.map((n) => (n === datasets[0] ? probe : el("div", {}))));
  const width = Math.max(280, Math.round(probe.getBoundingClientRect().width || 600));
  const draw = { noc: stripChart, speed: speedChart }[state.view] || lineChart;
  panels.replaceChildren(...datasets.map((dataset) => draw(dataset, width)));
  $("target-label").hidden = state.view === "iou";
  $("chart-note").textContent = NOTES[state.view];
}

function emphasise(method) {
  for (const group of $("panels").querySelectorAll("g[data-method]")) {
    group.classList.toggle("faded", method !== null && Number(group.dataset.method) !== method);
  }
}

function makeChartControls(changed) {
  const possible = Object.keys(VIEWS).filter((view) => view !== "iou" || data.stopAt === null);
  state.view = possible[0];
  for (const view of possible) {
    const input = el("input", { type: "radio", name: "view", value: view, checked: view === state.view,
      onchange: () => { state.view = view; drawCharts(); } });
    $("views").append(el("label", {}, input, el("span", {}, VIEWS[view])));
  }
  data.targets.forEach((target, n) => {
    if (data.stopAt !== null && target / 100 > data.stopAt) return;
    $("target").append(el("option", { value: n, selected: target === 90 }, `${target} %`));
  });
  state.target = Number($("target").value);
  $("target").addEventListener("change", () => { state.target = Number($("target").value); drawCharts(); });
  data.methods.forEach((method, m) => {
    const sample = svg("svg", { width: 26, height: 12, "aria-hidden": true, ...coloured(m) },
      svg("line", { class: "series", x1: 1, x2: 25, y1: 6, y2: 6, "stroke-width": 2.5, "stroke-dasharray": dashes(m) }),
      method.marker ? marker(m, 13, 6, 4.5) : null);
    const button = el("button", { type: "button", "aria-pressed": "true",
      onclick: () => {
        if (state.hidden.has(m)) state.hidden.delete(m);
        else state.hidden.add(m);
        button.setAttribute("aria-pressed", String(!state.hidden.has(m)));
        changed();
      },
      onpointerenter: () => emphasise(m), onpointerleave: () => emphasise(null),
    }, sample, el("span", {}, method.name));
    $("methods").append(button);
  });
}

// The dialog of one instance: its picture or a sketch of its clicks, its curves, its numbers.

const KIND_LOOKS = { positive: ["#1b9e3f", "circle"], negative: ["#d7191c", "square"],
  corner: ["#ffd92f", "diamond"], extreme: ["#ffd92f", "triangle"] };
const opened = { row: 0, method: 0 };
let pictureSources = null;

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

function showCommand(row, method) {
  const dataset = data.rows.dataset[row];
  const parts = ["isegbench", "show", data.owners[dataset][method] ?? "DIR", "--dataset", data.datasets[dataset],
    "--instance", data.rows.instance[row], "--method", data.methods[method].name];
  return parts.map(quoted).join(" ");
}

function openTrace(row) {
  opened.row = row;
  const there = [...Array(M).keys()].filter((m) => statusOf(row, m) > 0);
  const pictured = there.filter((m) => pictureOf.has(cell(row, m)));
  if (!there.includes(opened.method) || (pictured.length && !pictured.includes(opened.method))) {
    opened.method = pictured[0] ?? shownMethods().find((m) => there.includes(m)) ?? there[0] ?? 0;
  }
  drawTrace();
  if (!$("trace").open) {
    $("trace").showModal();
    $("trace").scrollTop = 0;
    hideTip();
  }
}

function step(by) {
  const at = list.rows.indexOf(opened.row) + by;
  if (at >= 0 && at < list.rows.length) openTrace(list.rows[at]);
}

function drawTrace() {
  const { row, method } = opened, dialog = $("trace");
  const focused = document.activeElement && dialog.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  const at = list.rows.indexOf(row);
  const where = [data.datasets[data.rows.dataset[row]]];
  if (new Set(data.rows.seed).size > 1) where.push(`seed ${data.rows.seed[row]}`);
  if (at >= 0) where.push(`${(at + 1).toLocaleString("en")} of ${list.rows.length.toLocaleString("en")}`);
  const head = el("div", { class: "dialog-head" },
    el("h2", { id: "trace-title" }, data.rows.instance[row], el("small", {}, where.join(" · "))),
    el("button", { type: "button", "data-focus": "back", disabled: at <= 0, onclick: () => step(-1), "aria-label": "Previous instance" }, "←"),
    el("button", { type: "button", "data-focus": "on", disabled: at < 0 || at >= list.rows.length - 1, onclick: () => step(1), "aria-label": "Next instance" }, "→"),
    el("button", { type: "button", "data-focus": "close", autofocus: true, onclick: () => dialog.close(), "aria-label": "Close" }, "✕"));
  const there = [...Array(M).keys()].filter((m) => statusOf(row, m) > 0);
  const choices = there.length > 6 || narrow.matches ? el("label", { class: "choose" }, "Method",
    el("select", { "data-focus": "method", onchange: (event) => { opened.method = Number(event.target.value); drawTrace(); } },
      there.map((m) => el("option", { value: m, selected: m === method }, data.methods[m].name)))) : el("fieldset", { class: "pills" }, el("legend", { class: "hidden" }, "Method"),
    there.map((m) => el("label", {},
      el("input", { type: "radio", name: "trace-method", value: m, checked: m === method, "data-focus": `method ${m}`,
        onchange: () => { opened.method = m; drawTrace(); } }), el("span", {}, data.methods[m].name))));
  const failure = failureOf.get(cell(row, method));
  const status = statusOf(row, method);
  const warning = status > 1
    ? el("p", { class: "warning bad" }, STATUS_NAMES[status - 1], failure ? `: ${failure}` : "") : null;
  const picture = pictureOf.get(cell(row, method));
  const body = el("div", { class: "dialog-body" }, choices, warning,
    picture === undefined ? null : pictureFigure(picture, row, method),
    el("div", { class: "beside" },
      el("div", {}, picture === undefined ? sketch(row, method) : null, traceChart(row, method)),
      el("div", {}, clickTable(row, method))));
  hideTip();
  document.body.append($("tip"));
  dialog.replaceChildren(head, body);
  const back = focused && dialog.querySelector(`[data-focus="${CSS.escape(focused)}"]:not(:disabled)`);
  if (dialog.open) (back || dialog.querySelector('[data-focus="close"]')).focus();
}

function pictureFigure(number, row, method) {
  pictureSources ??= JSON.parse($("pictures").textContent);
  const inside = data.pictures[number][2];
  const image = el("img", { src: pictureSources[number], alt: `Masks of ${data.methods[method].name} on ${data.rows.instance[row]}, click by click` });
  const link = inside ? image : el("a", { href: pictureSources[number], target: "_blank", rel: "noreferrer" }, image);
  return el("figure", { class: "picture" }, link,
    inside ? null : el("figcaption", { class: "hint" }, "This picture lies beside the report: the page holds as many as fit."));
}

// Where the clicks are, without the image, which traces do not hold.
function sketch(row, method) {
  const t = cell(row, method), from = store.first[t], count = store.clicks[t];
  const copy = el("div", { class: "command" }, el("code", {}, showCommand(row, method)),
    el("button", { type: "button", "data-focus": "copy", onclick: (event) => copyText(showCommand(row, method), event.currentTarget) }, "Copy"));
  const advice = [el("p", { class: "hint" }, "No picture yet. Draw the masks with the command below, then make the report again:"), copy];
  if (!count || !store.y.length) return el("div", {}, advice);
  const ys = [...store.y.slice(from, from + count)], xs = [...store.x.slice(from, from + count)];
  const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)];
  const size = Math.max(high[0] - low[0], high[1] - low[1], 20), scale = 320 / size;
  const width = Math.max((high[0] - low[0]) * scale, 120) + 60, height = Math.max((high[1] - low[1]) * scale, 60) + 60;
  const shift = [(width - (high[0] - low[0]) * scale) / 2, (height - (high[1] - low[1]) * scale) / 2];
  const marks = xs.map((x, n) => {
    const kind = data.kinds[store.kind[from + n]];
    const at = [shift[0] + (x - low[0]) * scale, shift[1] + (ys[n] - low[1]) * scale];
    return svg("g", { transform: `translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})` }, mark(kind),
      svg("text", { class: KIND_LOOKS[kind][0] === "#ffd92f" ? "dark-text" : null }, n + 1),
      svg("title", {}, `click ${n + 1}, ${kind}, at y ${ys[n]}, x ${x}`));
  });
  return el("div", {}, el("h3", {}, "Clicks, in order"),
    svg("svg", { class: "sketch", viewBox: `0 0 ${width.toFixed(0)} ${height.toFixed(0)}`, role: "img", "aria-label": "The clicks where they were made; positions are in the table" }, marks),
    advice);
}

function mark(kind) {
  const [fill, shape] = KIND_LOOKS[kind], look = { fill, stroke: "#0008", "stroke-width": 1 };
  if (shape === "circle") return svg("circle", { ...look, r: 11 });
  if (shape === "square") return svg("rect", { ...look, x: -10, y: -10, width: 20, height: 20 });
  return svg("path", { ...look, d: shape === "diamond" ? "M0-14 14 0 0 14-14 0Z" : "M0-15 15 12-15 12Z" });
}

async function copyText(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not allowed on some pages opened from a file: mark the text, so that one key copies it.
    done = false;
    getSelection().selectAllChildren(button.previousElementSibling);
  }
  button.textContent = done ? "Copied" : "Marked";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// IoU after each click of every method shown on this instance; the chosen one stands out.
function traceChart(row, chosen) {
  const width = narrow.matches ? 340 : 520, height = 250, left = 40, right = width - 12, top = 24, bottom = height - 40;
  const chart = { root: svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img", "data-focus": "chart",
    "aria-label": "IoU after each click; arrow keys read the values" }), width, inner: [left, top, right, bottom] };
  const x = (click) => left + ((right - left) * (click - 0.7)) / Math.max(K - 0.4, 1);
  const y = (value) => bottom - (bottom - top) * value;
  axes(chart, x, clickTicks(right - left).map((n) => [n, n]), "clicks", y, [0, 0.2, 0.4, 0.6, 0.8, 1].map((v) => [v, v]), "IoU");
  const lines = shownMethods().concat(state.hidden.has(chosen) ? [chosen] : []).filter((m) => isScored(row, m));
  for (const m of [...lines].sort((a, b) => (a === chosen) - (b === chosen))) {
    const points = [];
    for (let click = 1; click <= K; click++) {
      const value = iouOf(row, m, click);
      if (!Number.isNaN(value)) points.push([x(click), y(value)]);
    }
    const group = svg("g", { ...coloured(m), opacity: m === chosen ? 1 : 0.4 });
    group.append(svg("polyline", { class: "series", points: points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "),
      "stroke-width": m === chosen ? 3 : 1.6, "stroke-dasharray": dashes(m) }));
    const made = store.clicks[cell(row, m)];
    if (m === chosen) {
      points.slice(0, made - (K - points.length)).forEach(([cx, cy]) => group.append(svg("circle", { class: "dot", cx, cy, r: 3.5 })));
    }
    chart.root.append(group);
  }
  readable(chart, K, x, (click) => `${click} click${click > 1 ? "s" : ""}`, (click) => lines
    .map((m) => [m, iouOf(row, m, click)]).filter(([, value]) => !Number.isNaN(value)).sort((a, b) => b[1] - a[1])
    .map(([m, value]) => [m, data.methods[m].name, value.toFixed(3)]));
  return el("figure", {}, el("h3", {}, "IoU after each click"), chart.root);
}

function clickTable(row, method) {
  const t = cell(row, method), count = store.clicks[t], from = store.first[t];
  const needed = data.targets.map((target, n) => `NoC@${target} ${isScored(row, method) ? nocOf(row, method, n) || "never" : "–"}`);
  const rows = [];
  for (let click = 1; click <= count; click++) {
    const value = click <= K ? iouOf(row, method, click) : NaN;
    const known = store.y.length > 0;
    rows.push(el("tr", {}, el("th", { scope: "row", class: "number" }, click),
      el("td", {}, known ? data.kinds[store.kind[from + click - 1]] : "–"),
      el("td", { class: "number" }, known ? `${store.y[from + click - 1]}, ${store.x[from + click - 1]}` : "–"),
      el("td", { class: "number" }, Number.isNaN(value) ? "–" : value.toFixed(3))));
  }
  return el("div", {}, el("h3", {}, "Click by click"), el("p", { class: "hint" }, needed.join(" · ")),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Clicks" }, el("table", { class: "clicks" },
      el("thead", {}, el("tr", {}, [["Click", "number"], ["Kind", null], ["y, x", "number"], ["IoU", "number"]].map(([name, kind]) =>
        el("th", { scope: "col", class: kind }, name)))), el("tbody", {}, rows))));
}

function makeDialog() {
  const dialog = $("trace");
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    hideTip();
    const open = [...$("instance-table").querySelectorAll("button.open")];
    const back = open.find((button) => button.textContent === data.rows.instance[opened.row]);
    if (back) back.focus();
  });
  dialog.addEventListener("keydown", (event) => {
    const inside = event.target.closest("svg, input, select");
    if (inside || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}

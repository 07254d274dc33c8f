// What every part shares: the data, making elements, and what is chosen at the moment.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const M = data.methods.length, K = data.clicks, T = data.targets.length;
const NONE = 0xffff;
const narrow = matchMedia("(max-width: 44rem)");
const store = {};
const state = { dataset: -1, hidden: new Set(), view: "iou", target: data.targets.indexOf(90) };

// Text is only ever set as text: nothing a user named is read as HTML.
function build(namespace, tag, attributes, children) {
  const node = namespace ? document.createElementNS(namespace, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}
const el = (tag, attributes, ...children) => build(null, tag, attributes, children);
const svg = (tag, attributes, ...children) =>
  build("http://www.w3.org/2000/svg", tag, attributes, children);

const coloured = (method) => ({
  "data-colour": true,
  "--light-series": data.methods[method].colour,
  "--dark-series": data.methods[method].dark,
});
// A name that may break after its separators.
const breakable = (name) => name.split(/(?<=[,:=/])/).flatMap((part, n) => (n ? [el("wbr"), part] : [part]));
const dashes = (method) => data.methods[method].dash.join(" ") || null;
const percent = (value) => (100 * value).toFixed(1);
const collator = new Intl.Collator("en", { numeric: true });

async function unpack() {
  const text = atob($("traces").textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  let at = 0;
  for (const [name, type, length] of data.sections) {
    // The two-byte arrays come first, so that none of them starts at an odd place.
    store[name] = type === "u2" ? new Uint16Array(buffer, at, length) : new Uint8Array(buffer, at, length);
    at += length * (type === "u2" ? 2 : 1);
  }
  $("traces").remove();
  store.first = new Uint32Array(store.clicks.length + 1);
  for (let t = 0; t < store.clicks.length; t++) store.first[t + 1] = store.first[t] + store.clicks[t];
}

// Rows of `data.rows`, methods by number: what is known of a trace.
const cell = (row, method) => row * M + method;
const statusOf = (row, method) => store.status[cell(row, method)];
const isScored = (row, method) => { const s = statusOf(row, method); return s >= 1 && s <= 4; };
const nocOf = (row, method, target) => store.noc[cell(row, method) * T + target];
function iouOf(row, method, click) {
  const value = store.iou[cell(row, method) * K + click - 1];
  return value === NONE ? NaN : value / 1000;
}
const rowCount = () => data.rows.instance.length;
const shownMethods = () => [...Array(M).keys()].filter((m) => !state.hidden.has(m));
const shownDatasets = () =>
  [...Array(data.datasets.length).keys()].filter((d) => state.dataset < 0 || d === state.dataset);

// A tip beside the pointer or the focused chart: a heading and [method or null, name, value] lines.
function showTip(x, y, heading, lines) {
  const tip = $("tip");
  tip.replaceChildren(el("p", {}, heading), ...lines.map(([method, name, value]) =>
    el("div", {}, method === null ? null : el("i", coloured(method)), el("span", {}, name), el("b", {}, value))));
  // A modal dialog is above everything that is not in it.
  ($("trace").open ? $("trace") : document.body).append(tip);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth - 8 ? x - 16 - box.width : x + 16;
  tip.style.left = `${Math.max(8, Math.min(left, innerWidth - box.width - 8))}px`;
  tip.style.top = `${Math.max(8, Math.min(y - box.height / 2, innerHeight - box.height - 8))}px`;
}
const hideTip = () => { $("tip").hidden = true; };

// The table of instances: one page of rows at a time, so that thousands stay quick.

const PER_PAGE = 50;
const list = { rows: [], page: 0, sort: "instance", order: "ascending", measure: ["noc", 0] };
const pictureOf = new Map(data.pictures.map(([row, method], n) => [cell(row, method), n]));
const failureOf = new Map(data.failures.map(([row, method, message]) => [cell(row, method), message]));
const STATUS_NAMES = data.statuses.map((name) => name.replace("-", " "));

function measured(row, method) {
  if (!isScored(row, method)) return null;
  const [kind, of] = list.measure;
  if (kind === "noc") return nocOf(row, method, of) || K + 1;
  const value = iouOf(row, method, of);
  return Number.isNaN(value) ? null : value;
}

function spread(row) {
  const values = shownMethods().filter((m) => !data.methods[m].bound).map((m) => measured(row, m)).filter((v) => v !== null);
  return values.length < 2 ? null : Math.max(...values) - Math.min(...values);
}

const failures = (row) => shownMethods().filter((m) => statusOf(row, m) > 1);

function statusText(row) {
  const failed = failures(row);
  if (failed.length === 1) return STATUS_NAMES[statusOf(row, failed[0]) - 1];
  if (failed.length) return `${failed.length} failed`;
  return shownMethods().some((m) => statusOf(row, m) === 0) ? "incomplete" : "ok";
}

function fits(row, text) {
  if (state.dataset >= 0 && data.rows.dataset[row] !== state.dataset) return false;
  if (text && !data.rows.instance[row].toLowerCase().includes(text)) return false;
  const which = $("which").value;
  if (which === "failed") return failures(row).length > 0;
  if (which === "pictured") return shownMethods().some((m) => pictureOf.has(cell(row, m)));
  if (which === "never") return shownMethods().some((m) => isScored(row, m) && !nocOf(row, m, state.target));
  return true;
}

function keyOf(row) {
  const column = list.sort;
  if (column === "instance") return data.rows.instance[row];
  if (column === "dataset") return data.datasets[data.rows.dataset[row]];
  if (column === "simulator") return data.simulators[data.rows.simulator[row]];
  if (column === "seed") return data.rows.seed[row];
  if (column === "status") return statusText(row);
  return column === "spread" ? spread(row) : measured(row, column);
}

// Choose and sort anew; `keep` stays on the page it was.
function listInstances(keep) {
  const text = $("instance-filter").value.trim().toLowerCase();
  const rows = [];
  for (let row = 0; row < rowCount(); row++) if (fits(row, text)) rows.push(row);
  const sign = list.order === "ascending" ? 1 : -1;
  const keys = new Map(rows.map((row) => [row, keyOf(row)]));
  rows.sort((a, b) => compareKeys(keys.get(a), keys.get(b), sign) || a - b);
  list.rows = rows;
  if (!keep) list.page = 0;
  drawInstances();
}

function columns() {
  const found = [["instance", "Instance", ""]];
  if (data.datasets.length > 1 && state.dataset < 0) found.push(["dataset", "Data set", ""]);
  if (data.simulators.length > 1) found.push(["simulator", "Simulator", ""]);
  if (new Set(data.rows.seed).size > 1) found.push(["seed", "Seed", "number"]);
  found.push(["status", "Status", ""]);
  for (const m of shownMethods()) found.push([m, data.methods[m].name, "number"]);
  if (shownMethods().filter((m) => !data.methods[m].bound).length > 1) found.push(["spread", "Spread", "number"]);
  return found;
}

function sortBy(name) {
  if (list.sort === name) list.order = list.order === "ascending" ? "descending" : "ascending";
  else {
    list.sort = name;
    // What one looks for first: the hard ones and those on which methods differ.
    const worst = list.measure[0] === "noc" ? "descending" : "ascending";
    list.order = typeof name === "number" ? worst : name === "spread" ? "descending" : "ascending";
  }
  listInstances();
  const header = $("instance-table").tHead.querySelector("[aria-sort] button");
  if (header) header.focus();
}

function drawInstances() {
  const pages = Math.max(1, Math.ceil(list.rows.length / PER_PAGE));
  list.page = Math.max(0, Math.min(list.page, pages - 1));
  const shown = columns();
  $("instance-table").tHead.replaceChildren(el("tr", {}, shown.map(([name, title, kind]) =>
    el("th", { scope: "col", class: kind || null, "aria-sort": list.sort === name ? list.order : null },
      el("button", { type: "button", class: "sort", onclick: () => sortBy(name) }, breakable(title))))));
  const rows = list.rows.slice(list.page * PER_PAGE, (list.page + 1) * PER_PAGE);
  $("instance-table").tBodies[0].replaceChildren(...rows.map((row) =>
    el("tr", { onclick: () => openTrace(row) }, shown.map(([name]) => instanceCell(row, name)))));
  const total = list.rows.length.toLocaleString("en");
  $("page-state").textContent = list.rows.length
    ? `${(list.page * PER_PAGE + 1).toLocaleString("en")}–${(list.page * PER_PAGE + rows.length).toLocaleString("en")} of ${total}`
    : "no instance fits";
  for (const [id, off] of [["first", list.page === 0], ["previous", list.page === 0],
    ["next", list.page === pages - 1], ["last", list.page === pages - 1]]) $(id).disabled = off;
}

function instanceCell(row, name) {
  if (name === "instance") {
    return el("th", { scope: "row" }, el("button", { type: "button", class: "open" }, data.rows.instance[row]));
  }
  if (name === "status") {
    const text = statusText(row);
    return el("td", { class: text === "ok" || text === "incomplete" ? null : "bad" }, text);
  }
  if (typeof name === "number") return valueCell(row, name);
  if (name === "spread") {
    const value = spread(row);
    return el("td", { class: "number" }, value === null ? "–" : list.measure[0] === "noc" ? value : value.toFixed(3));
  }
  const list_of = { dataset: data.datasets[data.rows.dataset[row]], seed: data.rows.seed[row],
    simulator: data.simulators[data.rows.simulator[row]] };
  return el("td", { class: name === "seed" ? "number" : null }, list_of[name]);
}

// The darker, the worse: many clicks, little IoU.
function valueCell(row, method) {
  const value = measured(row, method), status = statusOf(row, method);
  if (value === null) {
    const why = status > 1 ? STATUS_NAMES[status - 1] : "–";
    return el("td", { class: status > 1 ? "number bad" : "number" }, why);
  }
  const noc = list.measure[0] === "noc";
  const amount = noc ? Math.min(value, K) / K : 1 - value;
  const text = noc ? (value > K ? "never" : value) : value.toFixed(3);
  const failed = status > 1 ? el("span", { class: "bad", title: STATUS_NAMES[status - 1] }, "✕ ") : null;
  return el("td", { class: `number value${noc && value > K ? " never" : ""}`, "--amount": (0.24 * amount ** 1.5).toFixed(3) }, failed, text);
}

function makeInstanceControls() {
  data.targets.forEach((target, n) => {
    if (data.stopAt !== null && target / 100 > data.stopAt) return;
    $("measure").append(el("option", { value: `noc ${n}`, selected: target === 90 }, `NoC@${target}`));
  });
  for (let click = 1; click <= K; click++) {
    $("measure").append(el("option", { value: `iou ${click}` }, `IoU after ${click} click${click > 1 ? "s" : ""}`));
  }
  const choose = () => {
    const [kind, of] = $("measure").value.split(" ");
    list.measure = [kind, Number(of)];
    $("measure-note").textContent = kind === "noc"
      ? `Numbers are the clicks needed; darker took more. Spread: between the methods shown, bounds left out; never counts as ${K + 1}.`
      : "Numbers are IoU; darker is less. Spread: between the methods shown, bounds left out.";
  };
  choose();
  $("measure").addEventListener("change", () => { choose(); listInstances(true); });
  $("which").addEventListener("change", () => listInstances());
  $("instance-filter").addEventListener("input", () => listInstances());
  const turn = (id, to) => $(id).addEventListener("click", () => { list.page = to(); drawInstances(); });
  turn("first", () => 0);
  turn("previous", () => list.page - 1);
  turn("next", () => list.page + 1);
  turn("last", () => Infinity);
}

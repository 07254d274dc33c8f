// The leaderboard: sorting and filtering the tables that are already in the page.

function sortKey(text) {
  const value = text.trim();
  const number = /^[<>]?\s*(-?\d+(?:\.\d+)?)/.exec(value);
  return number ? Number(number[1]) : value === "–" || value === "" ? null : value;
}

// Empty cells stay last in either direction.
function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * collator.compare(String(a), String(b));
}

// Better first: few clicks and failures, much IoU. A second press turns the order round.
function nextOrder(header, name) {
  const current = header.getAttribute("aria-sort");
  if (current) return current === "ascending" ? "descending" : "ascending";
  return /IoU|AuC|Instances/i.test(name) ? "descending" : "ascending";
}

function markSorted(header, order) {
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
}

function makeSortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const order = nextOrder(header, header.textContent);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows].map((row) => {
        const value = row.cells[column].querySelector(".value");
        return [sortKey(value.textContent), row];
      });
      rows.sort((a, b) => compareKeys(a[0], b[0], sign));
      table.tBodies[0].append(...rows.map(([, row]) => row));
      markSorted(header, order);
    });
  });
}

function filterLeaderboard() {
  const wanted = $("method-filter").value.trim().toLowerCase();
  let any = false;
  for (const block of document.querySelectorAll(".of-dataset")) {
    block.hidden = state.dataset >= 0 && Number(block.dataset.dataset) !== state.dataset;
    for (const row of block.querySelectorAll("table.sortable tbody tr")) {
      const published = row.closest("table").classList.contains("published");
      const names = published ? [...row.cells].slice(0, 3) : [row.cells[0]];
      const fits = names.some((c) => c.querySelector(".value").textContent.toLowerCase().includes(wanted));
      row.hidden = !fits;
      any ||= fits && !block.hidden;
    }
  }
  $("no-method").hidden = any;
}

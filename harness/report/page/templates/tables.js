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
  const body = table.tBodies[0]?.rows;
  for (const name of table.querySelectorAll("tbody th[scope=row] .value")) {
    name.replaceChildren(...breakable(name.textContent));
  }
  headers.forEach((header, column) => {
    const button = el("button", { type: "button", class: "sort" }, header.textContent);
    // The heading of a number stands over its digits.
    const example = body && [...body].find((row) => !row.classList.contains("group"));
    header.classList.toggle("number", Boolean(example?.cells[column].classList.contains("number")));
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const order = nextOrder(header, header.textContent);
      const sign = order === "ascending" ? 1 : -1;
      // Each group is sorted by itself, below its own heading.
      for (const group of table.tBodies) {
        const rows = [...group.rows].filter((row) => !row.classList.contains("group"))
          .map((row) => [sortKey(row.cells[column].querySelector(".value").textContent), row]);
        rows.sort((a, b) => compareKeys(a[0], b[0], sign));
        group.append(...rows.map(([, row]) => row));
      }
      markSorted(header, order);
    });
  });
}

function filterLeaderboard() {
  const wanted = $("method-filter").value.trim().toLowerCase();
  let any = false;
  for (const block of document.querySelectorAll(".of-dataset")) {
    block.hidden = state.dataset >= 0 && Number(block.dataset.dataset) !== state.dataset;
    for (const row of block.querySelectorAll("table.leaderboard tbody tr:not(.group)")) {
      const published = row.closest("table").classList.contains("published");
      const names = published ? [...row.cells].slice(0, 2) : [row.cells[0]];
      const fits = names.some((c) => c.querySelector(".value").textContent.toLowerCase().includes(wanted));
      row.hidden = !fits;
      any ||= fits && !block.hidden;
    }
  }
  for (const group of document.querySelectorAll("table.leaderboard tbody tr.group")) {
    group.hidden = [...group.parentNode.rows].every((row) => row === group || row.hidden);
  }
  $("no-method").hidden = any;
}

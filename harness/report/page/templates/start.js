// Put the parts to work.

async function start() {
  await unpack();
  document.querySelectorAll("table.leaderboard").forEach(makeSortable);
  const everything = () => { filterLeaderboard(); drawCharts(); listInstances(); };
  $("method-filter").addEventListener("input", filterLeaderboard);
  $("dataset").addEventListener("change", () => { state.dataset = Number($("dataset").value); everything(); });
  makeChartControls(() => { drawCharts(); listInstances(true); });
  makeInstanceControls();
  makeDialog();
  everything();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    requestAnimationFrame(drawCharts);
  });
  addEventListener("scroll", hideTip, { passive: true });
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start().catch((error) => {
  const text = `This page could not read its own data (${error.message}). A browser of 2023 or later is needed.`;
  $("main").prepend(el("p", { class: "warning bad" }, text));
  throw error;
});

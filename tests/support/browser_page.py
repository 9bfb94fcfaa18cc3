"""What is looked at inside a page of the portal, by tests and benchmarks: its rows, its frames, its memory."""

from __future__ import annotations

from playwright.sync_api import Page

WALK_UP = """
async ({ step, until }) => {
  const box = document.querySelector("[role=log]");
  const frame = () => new Promise(requestAnimationFrame);
  const said = (row) => (row.querySelector("button code") ?? row.querySelector("article"))?.textContent ?? "";
  const name = (row) => /^(question \\d+|ls \\d+\\/\\d+|Answer \\d+)/.exec(said(row))?.[0];
  const rows = () =>
    [...box.querySelectorAll("[data-index]")]
      .map((row) => ({ name: name(row), top: row.getBoundingClientRect().top, bottom: row.getBoundingClientRect().bottom }))
      .filter((row) => row.name !== undefined)
      .sort((a, b) => a.top - b.top);
  const passed = [];
  const known = new Set();
  const moved = [];
  let nodes = 0;
  const look = () => {
    const now = rows().map((row) => row.name);
    const first = now.findIndex((each) => known.has(each));
    const above = first < 0 ? now : now.slice(0, first);
    if (known.size > 0 && first < 0) passed.unshift("(a gap)");
    passed.unshift(...above);
    for (const each of above) known.add(each);
    nodes = Math.max(nodes, document.querySelectorAll("*").length);
    return now;
  };
  while (!look().includes(until)) {
    const { top, bottom } = box.getBoundingClientRect();
    const before = rows();
    const by = Math.min(step, box.scrollTop);
    box.scrollTop -= by;
    await frame();
    await frame();
    while (box.querySelector("[data-gap]")) await frame(); // what was put away is being read again
    const after = new Map(rows().map((row) => [row.name, row.top]));
    for (const row of before) {
      if (row.top < top || row.bottom + by > bottom || !after.has(row.name)) continue;
      const went = after.get(row.name) - row.top;
      if (went < -2 || went > by + 2) moved.push([row.name, went, by]);
    }
  }
  return { passed, moved, nodes };
}
"""
"""Scrolls a conversation up until a row is there. Returns the names of all rows that were passed, from the top; of those in sight that
went elsewhere than the scrolling; and how many elements the page had at most."""

PLACES = """
() => [...document.querySelectorAll("[role=log] article")].map((each) => [each.textContent, Math.round(each.getBoundingClientRect().top)])
"""


class Heap:
    """The memory that a page's JavaScript holds."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")

    def megabytes(self) -> float:
        """Return what is left after a collection."""
        self._session.send("HeapProfiler.collectGarbage")
        metrics = {each["name"]: each["value"] for each in self._session.send("Performance.getMetrics")["metrics"]}
        return float(metrics["JSHeapUsedSize"]) / 2**20

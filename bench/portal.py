"""The portal in a real Chromium: how soon a long chat can be read, what going to its beginning costs, what a flood of events leaves of
the page's frames. The idle page is the peer: the machine that draws it draws the busy one too."""

from __future__ import annotations

import gzip
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from app import db
from app.domain.events import Draft, EventType, source
from app.services.event_log import RunLog
from bench.figures import Spread, milliseconds, rounds
from bench.house import House, house
from bench.table import Bar, Table
from tests.browser.conftest import FLAGS, sign_in
from tests.browser.talk import new_chat
from tests.support import browser_page, long_chat
from web import portal

PAINT_BAR_MS = 1000
TASK_BAR_MS = 100
FRAMES_BAR = 0.8
FIRST_LOAD_BAR_KB = 300
HEAP_BAR_MB = 10
OPENINGS = 15
EVENTS_PER_SECOND = 200
SECONDS = 5
ROUNDS = 3
MARK = """
(text) => {
  const look = () => {
    if ([...document.querySelectorAll("[role=log] strong")].some((each) => each.textContent === text)) {
      requestAnimationFrame(() => setTimeout(() => (window.readableAt = performance.now())));
    } else requestAnimationFrame(look);
  };
  look();
}
"""
"""Notes the moment after the frame that shows an answer."""
FRAMES = """
async (ms) => {
  const tasks = [];
  const watch = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((each) => each.duration)));
  watch.observe({ type: "longtask" });
  const began = performance.now();
  let frames = 0;
  while (performance.now() - began < ms) {
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  const rate = (frames * 1000) / (performance.now() - began);
  await new Promise((done) => setTimeout(done)); // the observer is told after the task
  watch.disconnect();
  return { rate, longest: Math.max(0, ...tasks) };
}
"""


def measure() -> list[Table]:
    with house() as installation, _chromium() as browser:
        chat = new_chat(installation.stack)
        count = long_chat.fill(chat)
        return [
            _first_load(),
            _opening(installation, browser, chat, f"a chat of {count:,} events"),
            _flood(installation, browser),
        ]


@contextmanager
def _chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise RuntimeError("there is no Chromium: make machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        yield browser
        browser.close()


def _page(installation: House, browser: Browser) -> Page:
    context = browser.new_context(
        base_url=installation.stack.url, locale="en-US", viewport={"width": 1440, "height": 900}
    )
    return sign_in(context, installation.stack)


def _first_load() -> Table:
    table = Table("the portal's first load")
    index = (portal.DIST / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'(?:src|href)="/(assets/[^"]+)"', index)
    size = sum(len(gzip.compress((portal.DIST / name).read_bytes())) for name in loaded) / 1024
    table.add("scripts and styles, gzip", {"KB": size}, bar=Bar(f"<= {FIRST_LOAD_BAR_KB} KB", size, FIRST_LOAD_BAR_KB))
    return table


def _opening(installation: House, browser: Browser, chat: str, what: str) -> Table:
    table = Table(what)
    new, again = [], []
    for _ in range(rounds(OPENINGS)):
        page = _page(installation, browser)
        new.append(_readable_after(page, chat))
        again.append(_readable_after(page, chat))
        page.context.close()
    for name, seconds in (("in a browser that was never here", new), ("in one that was", again)):
        spread = Spread.of(seconds)
        bar = Bar(f"p50 <= {PAINT_BAR_MS} ms", spread.p50 * 1000, PAINT_BAR_MS)
        table.add(f"its last answer is painted, {name}", milliseconds(spread), bar=bar)
    page = _page(installation, browser)
    _readable_after(page, chat)
    heap = browser_page.Heap(page)
    before = heap.megabytes()
    way = page.evaluate(browser_page.WALK_UP, {"step": 600, "until": long_chat.question(0)})
    grown = heap.megabytes() - before
    bar = Bar(f"<= {HEAP_BAR_MB} MB", grown, HEAP_BAR_MB)
    table.add("heap that reading it to its beginning leaves behind", {"MB": grown, "of MB": before + grown}, bar=bar)
    table.add("elements of the page at most", {"n": way["nodes"]})
    page.context.close()
    table.notes = ("From the navigation's start to after the frame that shows the answer.",)
    return table


def _readable_after(page: Page, chat: str) -> float:
    """Open a chat and return the seconds until its last answer is there to be read."""
    page.add_init_script(f"({MARK})('{long_chat.answer(long_chat.TURNS - 1)}')")
    page.goto(f"/chats/{chat}")
    return float(page.wait_for_function("() => window.readableAt").json_value()) / 1000


def _flood(installation: House, browser: Browser) -> Table:
    table = Table(f"a stream of {EVENTS_PER_SECOND} events a second, {SECONDS} s")
    for number in range(1, rounds(ROUNDS) + 1):
        run, log = installation.held_log()
        page = _page(installation, browser)
        page.goto(f"/chats/{_session_of(installation, run)}")
        page.get_by_role("log").wait_for()
        page.wait_for_load_state("networkidle")
        idle = page.evaluate(FRAMES, SECONDS * 1000)
        feeder = Feeder(log)
        feeder.start()
        page.get_by_role("log").get_by_text("word").first.wait_for()
        busy = page.evaluate(FRAMES, SECONDS * 1000)
        rate = feeder.stop()
        _add(table, number, idle, busy, rate)
        page.context.close()
    table.notes = (
        "Ratio: frames a second beside those of the same page before the stream. Longest: the longest task (0: none over 50 ms).",
    )
    return table


def _add(table: Table, number: int, idle: dict[str, float], busy: dict[str, float], rate: float) -> None:
    ratio = busy["rate"] / idle["rate"]
    slower = Bar(f"frame rate >= {FRAMES_BAR} x idle", -ratio, -FRAMES_BAR)
    table.add(f"round {number}, idle", {"frames/s": idle["rate"], "longest ms": idle["longest"]})
    about = {"frames/s": busy["rate"], "longest ms": busy["longest"], "events/s": rate}
    table.add(f"round {number}, streaming", about, ratio, slower)
    table.add("  its longest task", {}, bar=Bar(f"<= {TASK_BAR_MS} ms", busy["longest"], TASK_BAR_MS))


def _session_of(installation: House, run: str) -> str:
    return str(installation.http.get(f"/api/runs/{run}").json()["sessionId"])


class Feeder(threading.Thread):
    """Appends what an agent at work says and does, at a steady rate, until it is stopped."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(daemon=True)
        self._log = log
        self._stopped = threading.Event()
        self._rate = 0.0

    def run(self) -> None:
        began, sent = time.monotonic(), 0
        with db.connection():
            for kind, data in _work():
                if self._stopped.wait(max(0.0, began + sent / EVENTS_PER_SECOND - time.monotonic())):
                    break
                self._log.append([Draft(kind, data, time.time(), source(1, sent))])
                sent += 1
            self._rate = sent / (time.monotonic() - began)

    def stop(self) -> float:
        """Return how many events a second there were."""
        self._stopped.set()
        self.join()
        return self._rate


def _work() -> Iterator[tuple[str, dict[str, Any]]]:
    turn = 0
    while True:
        message, call = f"m{turn}", f"c{turn}"
        yield EventType.THINKING_STOP, {"messageId": message, "text": "what next?"}
        for word in range(60):
            text = f"**word** {word}" + ("\n\n" if word % 20 == 19 else " ")
            yield EventType.MESSAGE_DELTA, {"messageId": message, "role": "assistant", "text": text}
        yield EventType.MESSAGE_STOP, {"messageId": message, "text": "**word** and so on.\n\n```python\nprint(1)\n```"}
        about = {"toolCallId": call, "name": "Bash", "kind": "execute", "title": f"ls {turn}"}
        yield EventType.TOOL_CALL, {**about, "input": {"command": f"ls {turn}"}}
        for line in range(40):
            yield EventType.TOOL_OUTPUT, {"toolCallId": call, "text": f"line {line} of what is put out\n"}
        yield EventType.TOOL_RESULT, {"toolCallId": call, "status": "ok", "output": "line of what is put out\n" * 40}
        turn += 1

"""A real Chromium at a real installation. What a page may not do fails the test that saw it: an error on its console, one that nobody
caught, a request to a foreign host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.conftest import missing
from tests.support.stack import Stack, stack
from web import portal

expect.set_options(timeout=20_000)  # of a machine that is busy: nobody waits so long for what is there

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


NO_WORKER = "Service Worker registration blocked by Playwright"
"""What is said in place of the page, each time it is loaded, where `service_workers` is "block"."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each page has a context of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_program(), headless=True, args=FLAGS)
        yield browser
        browser.close()


def chromium_program() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing("needs Chromium: make machine")
    return str(program)


def needs_portal() -> None:
    if not (portal.DIST / "index.html").is_file():
        missing("needs the built portal: make portal")


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """One installation for the tests of a module, with the scripted provider."""
    needs_portal()
    with stack({"PADDOCK_DEFAULT_PROVIDER": "scripted"}) as started:
        yield started


@dataclass
class Watch:
    """What pages did that they may not. A test that provokes an error takes it out of the list it expects it in."""

    origin: str
    complaints: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))
        context.on("request", self._request)

    def forgive(self, text: str, *, at_least: int = 1) -> None:
        """Take complaints with this text off the list."""
        found = [each for each in self.complaints if text in each]
        assert len(found) >= at_least, f"expected to hear of {text}: {self.complaints}"
        self.complaints = [each for each in self.complaints if text not in each]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and message.text != NO_WORKER:
            self.complaints.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc != urlsplit(self.origin).netloc:
            self.complaints.append(f"foreign: {request.url}")


@pytest.fixture
def watch(running: Stack) -> Iterator[Watch]:
    watching = Watch(running.url)
    yield watching
    assert watching.complaints == []


@pytest.fixture
def context(chromium: Browser, running: Stack, watch: Watch) -> Iterator[BrowserContext]:
    """A browser of somebody new; English, wide, light. Its pages come from the server: what the service worker does is the subject of
    test_installed.py."""
    made = chromium.new_context(
        base_url=running.url,
        locale="en-US",
        viewport={"width": 1440, "height": 900},
        color_scheme="light",
        service_workers="block",
    )
    watch.over(made)
    yield made
    made.close()


@pytest.fixture
def stranger(context: BrowserContext) -> Page:
    """A page of somebody who is not signed in."""
    return context.new_page()


@pytest.fixture
def page(context: BrowserContext, running: Stack) -> Page:
    """A page of the owner, signed in."""
    return sign_in(context, running)


@pytest.fixture
def elsewhere(chromium: Browser, running: Stack, watch: Watch) -> Iterator[Page]:
    """A page of the owner in another browser, which has never been here."""
    made = chromium.new_context(
        base_url=running.url, locale="en-US", viewport={"width": 1440, "height": 900}, service_workers="block"
    )
    watch.over(made)
    yield sign_in(made, running)
    made.close()


def sign_in(context: BrowserContext, running: Stack, origin: str | None = None) -> Page:
    """Sign the owner in without the page that asks, and return a new page."""
    headers = {"Origin": origin or running.url}
    answer = context.request.post("/api/auth/login", data={"token": running.token}, headers=headers)
    assert answer.ok, answer.text()
    return context.new_page()

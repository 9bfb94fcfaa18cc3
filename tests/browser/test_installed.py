"""The portal as a program that one installs: what its service worker keeps, what is seen while web is away, and across a new build."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import talk
from tests.browser.conftest import FLAGS, Watch, chromium_program, needs_portal, sign_in
from tests.faults.kit.proxy import FaultProxy, proxy_to
from tests.support import stack as stacks
from tests.support.stack import Stack
from tests.support.waiting import eventually

PARTS = ("app", "cli", "executor", "scheduler", "sql", "web", "workers", "portal/dist")
START = "import sys; sys.path.insert(0, {!r}); from cli.main import main; main()"
IN_CONTROL = "navigator.serviceWorker.controller?.state === 'activated'"
WAITS = "navigator.serviceWorker.getRegistration().then((found) => found.waiting !== null)"
KEPT = """async () => {
  const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
  const requests = await Promise.all(caches_.map((cache) => cache.keys()));
  return requests.map((each) => each.map(({ url }) => url));
}"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Paddock of its own, whose portal can be built anew without harm to that of the checkout."""
    needs_portal()
    made = tmp_path_factory.mktemp("paddock")
    for part in PARTS:
        shutil.copytree(stacks.ROOT / part, made / part)
    shutil.copy(stacks.ROOT / "Procfile", made)
    (made / ".venv").symlink_to(stacks.ROOT / ".venv")
    return made


@pytest.fixture(scope="module")
def running(tree: Path) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks, "COMMAND", (sys.executable, "-P", "-c", START.format(str(tree))))
        with stacks.stack({"PADDOCK_DEFAULT_PROVIDER": "scripted"}) as started:
            yield started


@pytest.fixture
def way(running: Stack) -> Iterator[FaultProxy]:
    """The way from the browser to web; where it is cut, web is away."""
    with proxy_to(("127.0.0.1", running.port)) as proxy:
        yield proxy


@pytest.fixture
def watch(way: FaultProxy) -> Iterator[Watch]:
    watching = Watch(f"http://localhost:{way.port}")
    yield watching
    assert watching.complaints == []


@pytest.fixture
def context(chromium: Browser, watch: Watch) -> Iterator[BrowserContext]:
    """A browser that takes service workers."""
    made = chromium.new_context(base_url=watch.origin, locale="en-US", viewport={"width": 1440, "height": 900})
    watch.over(made)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, running: Stack, watch: Watch) -> Page:
    """A page of the owner that is under the control of the worker."""
    page = sign_in(context, running, watch.origin)
    page.goto("/account")
    controlled(page)
    return page


def controlled(page: Page) -> None:
    eventually(lambda: page.evaluate(IN_CONTROL), what="the service worker to be active and in control")


def build_anew(tree: Path) -> None:
    """Put a build in the place of the old one in which every part has another name, as after an update."""
    dist, fresh, old = (tree / "portal" / name for name in ("dist", "dist.new", "dist.old"))
    shutil.copytree(dist, fresh)
    parts = {path.name: f"{path.stem}2{path.suffix}" for path in (fresh / "assets").iterdir()}
    names = re.compile("|".join(map(re.escape, sorted(parts, key=len, reverse=True))))
    for path in [each for each in fresh.rglob("*") if each.suffix in (".js", ".css", ".html")]:
        path.write_text(names.sub(lambda found: parts[found[0]], path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, other in parts.items():
        (fresh / "assets" / name).rename(fresh / "assets" / other)
    worker = (fresh / "sw.js").read_text(encoding="utf-8")
    changed, count = re.subn(r'("revision": ?")(\w+)"', lambda found: f'{found[1]}{found[2]}2"', worker)
    assert count > 0
    (fresh / "sw.js").write_text(changed, encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    dist.rename(old)
    fresh.rename(dist)


def kept_alone(context: BrowserContext) -> list[list[str]]:
    """What is kept when a page is opened anew, if it is of one build. (A page that is being closed may still hold the old one.)"""
    page = context.new_page()
    page.goto("/inbox")
    kept: list[list[str]] = page.evaluate(KEPT)
    page.close()
    return kept if len(kept) == 1 else []


def script_of(page: Page) -> str:
    return str(page.locator("script[type=module]").first.get_attribute("src"))


def test_it_can_be_installed(chromium: Browser, running: Stack, watch: Watch, tmp_path: Path) -> None:
    """In a browser of somebody: nothing can be installed in one that forgets."""
    kept = chromium.browser_type.launch_persistent_context(
        tmp_path, executable_path=chromium_program(), headless=True, args=FLAGS, base_url=watch.origin
    )
    watch.over(kept)
    page = sign_in(kept, running, watch.origin)
    page.goto("/")
    controlled(page)
    devtools = kept.new_cdp_session(page)
    manifest = devtools.send("Page.getAppManifest")
    assert manifest["errors"] == []
    icons = {(each["sizes"], each["purpose"]) for each in json.loads(manifest["data"])["icons"]}
    assert icons >= {(f"{size}x{size}", purpose) for size in (192, 512) for purpose in ("any", "maskable")}
    assert devtools.send("Page.getInstallabilityErrors")["installabilityErrors"] == []
    kept.close()


def test_it_keeps_nothing_but_the_page_and_signing_out_leaves_nothing_of_whom(
    page: Page, running: Stack, watch: Watch
) -> None:
    talk.opened(page, talk.new_chat(running))
    talk.send(page, "/say Only for me.")
    expect(talk.state(page, "Done")).to_be_visible()
    page.get_by_label("Message", exact=True).fill("not sent yet")
    page.get_by_role("link", name="Inbox").click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()

    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API token")).to_be_visible()
    watch.forgive("401")

    (kept,) = page.evaluate(KEPT)
    paths = {urlsplit(url).path for url in kept}
    assert {"/", "/manifest.webmanifest", script_of(page)} <= paths
    assert {path for path in paths if not path.startswith("/assets/")} == {"/", "/manifest.webmanifest"}
    assert page.evaluate("indexedDB.databases()") == []
    assert page.evaluate("Object.entries(sessionStorage)") == []
    assert "not sent yet" not in page.evaluate("JSON.stringify(localStorage)")
    assert page.context.cookies() == []


def test_a_page_opened_while_web_is_away_says_so_and_comes_up_with_it(
    context: BrowserContext, page: Page, way: FaultProxy, watch: Watch
) -> None:
    page.close()
    way.cut()
    page = context.new_page()
    page.goto("/inbox")
    away = page.get_by_role("alert")
    expect(away).to_contain_text("The server did not answer.")
    away.get_by_role("button", name="Try again").click()
    expect(away).to_contain_text("The server did not answer.")
    way.heal()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()

    page.evaluate("localStorage.setItem('paddock.language', 'zh')")
    way.cut()
    page.reload()
    expect(away).to_contain_text("服务器没有应答。")
    expect(away.get_by_role("button", name="重试")).to_be_visible()
    way.heal()
    expect(page.get_by_role("heading", name="收件箱")).to_be_visible()
    watch.forgive("net::ERR_")


def test_an_open_page_keeps_its_parts_across_a_build_and_the_next_one_is_new(
    context: BrowserContext, page: Page, tree: Path
) -> None:
    before = script_of(page)
    build_anew(tree)
    page.get_by_role("link", name="Inbox").click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    after = script_of(page)
    assert after != before
    page.evaluate("navigator.serviceWorker.getRegistration().then((found) => found.update())")
    eventually(lambda: page.evaluate(WAITS), what="the new worker to wait for the old page")
    page.close()
    (kept,) = eventually(lambda: kept_alone(context), what="the parts of the old page to be thrown away")
    assert {after, before} & {urlsplit(url).path for url in kept} == {after}


def test_a_page_whose_parts_are_gone_says_that_a_newer_one_is_there_and_keeps_what_was_typed(
    chromium: Browser, running: Stack, tree: Path, watch: Watch
) -> None:
    """Without a worker: over plain http browsers have none, and they may throw away what it kept."""
    context = chromium.new_context(base_url=watch.origin, locale="en-US", service_workers="block")
    watch.over(context)
    page = sign_in(context, running, watch.origin)
    talk.opened(page, talk.new_chat(running))
    page.get_by_label("Message", exact=True).fill("not sent yet")
    build_anew(tree)

    page.get_by_role("link", name="Inbox").click()
    note = page.get_by_role("alert").filter(has_text="a newer version of Paddock is here")
    expect(note).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Message", exact=True)).to_have_value("not sent yet")
    page.go_forward()
    note.get_by_role("button", name="Load again").click()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Message", exact=True)).to_have_value("not sent yet")
    watch.forgive("404")
    watch.forgive("a part of the page is missing")
    context.close()

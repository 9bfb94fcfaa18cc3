"""The files of a session, as a person looks at them: at rest, changed, large, and named or filled to do harm."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.support.stack import Stack
from tests.support.waiting import eventually

HOSTILE_NAMES = ("<img src=x onerror=alert(1)>.txt", "photo\u202egnp.exe", "\"'><svg onload=alert(1)>.html", "n" * 200)
HOSTILE = (
    "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'><svg onload='window.harmed = 1'></svg>"
)
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
MADE = "\n".join(
    [
        "import base64, os, pathlib",
        f"for name in {HOSTILE_NAMES!r}: pathlib.Path(name).write_text({HOSTILE!r})",
        f"pathlib.Path('page.html').write_text({HOSTILE!r})",
        f"pathlib.Path('picture.svg').write_text('<svg xmlns=\"http://www.w3.org/2000/svg\">' + {HOSTILE!r} + '</svg>')",
        f"pathlib.Path('false.png').write_text({HOSTILE!r} + chr(0))",
        "pathlib.Path('long.txt').write_text(''.join(f'line {i}' + chr(10) for i in range(1, 20001)))",
        "os.mkdir('many'); [pathlib.Path(f'many/{i}').touch() for i in range(2000)]",
        f"pathlib.Path('dot.png').write_bytes(base64.b64decode({DOT!r}))",
    ]
)


@pytest.fixture(scope="module")
def client(running: Stack) -> Iterator[httpx.Client]:
    with running.client() as made:
        yield made


@pytest.fixture(scope="module")
def session(running: Stack, client: httpx.Client) -> str:
    """A session with files whose sandbox was stopped and removed."""
    made = client.post(
        "/api/chat-opencode-history", json={"title": "Files"}, headers={"Idempotency-Key": uuid.uuid4().hex}
    ).json()["chatId"]
    work = "\n".join(["/write hello.py print('hello')", f"/run python3 -c {quoted(MADE)}"])
    run = running.start(client, work, sessionId=made, providerOptions={"approval": "all"})
    ended = eventually(lambda: done(client, run), 60, what="the run to end")
    assert ended["status"] == "succeeded", ended
    for act, body in ((f"{made}/stop", {}), ("cleanup/stopped", {"olderThanSeconds": 0})):
        client.post(f"/api/session-workers/{act}", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
    eventually(lambda: worker(client, made)["status"] == "deleted", 60, what="the sandbox to be removed")
    return str(made)


def quoted(code: str) -> str:
    """The code as one word of a shell on one line."""
    escaped = code.encode("unicode_escape").decode().replace("'", "\\x27")
    return f"'exec(\"{escaped.replace(chr(34), chr(92) + 'x22')}\")'"


def done(client: httpx.Client, run: str) -> dict[str, Any] | None:
    found: dict[str, Any] = client.get(f"/api/runs/{run}").json()
    return found if found.get("finishedAt") else None


def worker(client: httpx.Client, session: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/session-workers/{session}").json()
    return found


def opened(page: Page, session: str) -> Locator:
    """Open the session's files."""
    page.goto(f"/chats/{session}")
    page.get_by_role("tab", name="Workspace").click()
    tree = page.get_by_role("tree", name="Files")
    expect(tree.get_by_role("treeitem").first).to_be_visible()
    return tree


def test_a_stopped_session_is_read_from_its_snapshot_and_not_started(
    page: Page, client: httpx.Client, session: str
) -> None:
    before = worker(client, session)
    changed = []
    page.on("request", lambda request: changed.append(request.url) if request.method != "GET" else None)

    tree = opened(page, session)
    expect(page.get_by_text("Stopped; reading from the snapshot of")).to_be_visible()
    tree.get_by_role("treeitem", name="hello.py").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("print('hello')")).to_be_visible()
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    assert download.value.path().read_text() == "print('hello')\n"
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    panel = page.get_by_role("tabpanel", name="Workspace")
    panel.get_by_text("Changes", exact=True).click()
    panel.get_by_role("button", name="hello.py").click()
    expect(dialog.get_by_text("print('hello')")).to_be_visible()
    dialog.get_by_text("Side by side").click()
    expect(dialog.get_by_text("print('hello')")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    with page.expect_download() as patch:
        panel.get_by_role("link", name="Patch").click()
    assert "+print('hello')" in patch.value.path().read_text()

    panel.get_by_text("Snapshots", exact=True).click()
    panel.get_by_role("button", name="Changes since the snapshot").last.click()
    expect(panel.get_by_text("Changes since the snapshot of")).to_be_visible()

    assert [url for url in changed if "/session-workers/" in url] == []
    after = worker(client, session)
    assert {name: after[name] for name in ("status", "generation", "startedAt", "snapshotId") if name in after} == {
        name: before[name] for name in ("status", "generation", "startedAt", "snapshotId") if name in before
    }
    assert after.get("wish") is None


def test_a_large_file_and_a_large_folder_are_shown_in_parts(page: Page, session: str) -> None:
    tree = opened(page, session)
    tree.get_by_role("treeitem", name="many").click()
    expect(tree.get_by_role("treeitem", name="0 0 bytes", exact=True)).to_be_visible()
    assert tree.get_by_role("treeitem").count() < 100
    tree.focus()
    page.keyboard.press("End")
    expect(tree.get_by_role("treeitem", name="picture.svg")).to_be_visible()

    tree.get_by_role("treeitem", name="long.txt").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("line 1000", exact=False)).to_have_count(1)
    assert "line 20000" not in dialog.inner_text()
    dialog.get_by_role("button", name="Show more").click()
    expect(dialog.get_by_text("line 5000", exact=False)).to_have_count(1)


def test_no_name_and_no_content_of_a_file_runs(page: Page, session: str, watch: Watch) -> None:
    page.on("dialog", lambda asked: watch.complaints.append(f"dialog: {asked.message}"))
    tree = opened(page, session)
    dialog = page.get_by_role("dialog")
    expect(tree.get_by_text("photo\\u202Egnp.exe")).to_have_count(1)
    for name in ("<img src=x", "svg onload", "page.html", "picture.svg", "nnnn"):
        tree.get_by_role("treeitem").filter(has_text=name).click()
        expect(dialog.get_by_text("window.harmed").first).to_be_visible()
        page.keyboard.press("Escape")
    tree.get_by_role("treeitem", name="false.png").click()
    expect(dialog.get_by_text("Download it to open it.")).to_be_visible()
    page.keyboard.press("Escape")
    tree.get_by_role("treeitem", name="dot.png").click()
    expect(dialog.get_by_role("img", name="dot.png")).to_have_js_property("naturalWidth", 1)

    assert page.evaluate("window.harmed") is None
    for path in ("page.html", "picture.svg"):
        address = f"/api/session-workers/{session}/workspace/download?path={path}&inline=true"
        with page.expect_download():
            page.evaluate("address => { window.location = address }", address)
    assert page.evaluate("window.harmed") is None

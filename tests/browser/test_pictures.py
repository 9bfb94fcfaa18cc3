"""Pictures of the main views, in both themes, wide and on a phone, to be looked at. `PADDOCK_PICTURES=docs/pictures` keeps them.

What a picture shows cannot be asserted; that nothing runs out of the page can.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser import talk
from tests.support.stack import Stack

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
BEFORE = """def test_login(client):
    client.post("/login", data=FORM)
    time.sleep(0.2)
    assert "session" in client.cookies
"""
AFTER = """def test_login(client):
    client.post("/login", data=FORM)
    response = client.wait_for_redirect("/home")
    assert response.cookies["session"]
"""
SCENE = f"""/think The test waits a fixed 200 ms for the session cookie; on a busy runner the redirect takes longer.
/todo [x] Reproduce the failure; [x] Replace the fixed wait; [>] Run the test 200 times; Summarise for the pull request
/run grep -rn "sleep(" tests/
/write tests/test_login.py {repr(AFTER.strip())[1:-1]}
/say The test waited a fixed 200 ms; it waits for the **redirect** now. I will run it 200 times:
/run pytest tests/test_login.py --count 200 -x"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Path(os.environ.get("PADDOCK_PICTURES") or tmp_path)
    made.mkdir(parents=True, exist_ok=True)
    return made


def test_pictures_of_each_main_view(page: Page, running: Stack, folder: Path, tmp_path: Path) -> None:
    with running.client() as client:
        running.start(client, "Explain the retry policy", title="Explain the retry policy")
        running.start(client, "/ask Which branch? | main | release", title="迁移支付回调到新网关")
        running.start(client, SCENE, title="Fix the flaky login test", repo={"bundleId": bundled(client, tmp_path)})
    page.goto("/")
    page.get_by_role("link", name="Fix the flaky login test").click()
    for _ in range(2):
        page.get_by_role("button", name="Allow once").last.click(timeout=30_000)
    expect(page.get_by_text("--count 200 -x").first).to_be_visible(timeout=30_000)
    expect(talk.state(page, "Waiting for you")).to_be_visible()
    expect(page.locator("footer").get_by_text("Files safe up to")).to_be_visible()
    expect(page.get_by_role("link", name="Inbox, 2 waiting")).to_be_visible()  # and so the list of chats is of now
    expect(page.get_by_role("button", name="Tell it now")).to_be_visible()
    page.get_by_role("heading", level=1).click()  # the focus is on nothing that shows it
    take(page, folder, "chat")
    take_panel(page, folder)
    page.goto("/inbox")
    expect(page.get_by_text("Which branch?").first).to_be_visible(timeout=30_000)
    take(page, folder, "inbox")


def take_panel(page: Page, folder: Path) -> None:
    """Take what is beside the conversation, and on a phone over it."""
    for size in SIZES:
        resize(page, size)
        if size == "phone":
            page.get_by_role("button", name="Show or hide the side panel").click()
        for tab, sign in (("Timeline", "run.started"), ("Workspace", "tests")):
            page.get_by_role("tab", name=tab).click()
            panel = page.get_by_role("tabpanel", name=tab)
            expect(panel.get_by_text(sign, exact=True).first).to_be_visible(timeout=30_000)
            take(page, folder, tab.lower(), (size,))
        panel.get_by_text("Changes", exact=True).click()
        panel.get_by_role("button", name="tests/test_login.py").click()
        expect(page.get_by_role("dialog").get_by_text("time.sleep(0.2)")).to_be_visible(timeout=30_000)
        take(page, folder, "diff", (size,))
        page.get_by_role("dialog").get_by_role("button", name="Close").click()


def take(page: Page, folder: Path, view: str, sizes: tuple[str, ...] = tuple(SIZES)) -> None:
    """Take the view in each size and theme; nothing may be wider than its page."""
    page.mouse.move(0, 0)  # nothing is pointed at
    for size in sizes:
        width = resize(page, size)
        for theme in THEMES:
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            page.wait_for_function("document.fonts.status === 'loaded'")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, size)
            page.screenshot(path=folder / f"{view}-{size}-{theme}.png")
        page.emulate_media(color_scheme="light")
    resize(page, "wide" if len(sizes) > 1 else sizes[0])


def resize(page: Page, size: str) -> int:
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    return width


def bundled(client: httpx.Client, tmp_path: Path) -> str:
    """Hand in a repository with the test that is to be fixed, and return the bundle's id."""
    work = tmp_path / "shop"
    (work / "tests").mkdir(parents=True)
    (work / "tests" / "test_login.py").write_text(BEFORE, encoding="utf-8")
    (work / "README.md").write_text("# Shop\n", encoding="utf-8")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    for words in (
        ("init", "-q"),
        ("add", "."),
        ("commit", "-qm", "A shop"),
        ("bundle", "create", "-q", "../shop.bundle", "HEAD", "main"),
    ):
        subprocess.run(["git", *identity, *words], cwd=work, check=True)
    answer = client.post(
        "/api/bundles",
        content=(tmp_path / "shop.bundle").read_bytes(),
        headers={"Content-Type": "application/x-git-bundle", "Idempotency-Key": uuid.uuid4().hex},
    )
    assert answer.is_success, answer.text
    return str(answer.json()["bundleId"])

"""Pictures of the main views, in both themes, wide and on a phone, to be looked at. `PADDOCK_PICTURES=docs/pictures` keeps them.

What a picture shows cannot be asserted; that nothing runs out of the page can.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import talk
from tests.support.stack import Stack

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
SCENE = """/think The test waits a fixed 200 ms for the session cookie; on a busy runner the redirect takes longer.
/todo [x] Reproduce the failure; [x] Replace the fixed wait; [>] Run the test 200 times; Summarise for the pull request
/run grep -rn "sleep(" . | head
/write tests/test_login.py response = client.wait_for_redirect("/home")
/say The test waited a fixed 200 ms; it waits for the **redirect** now. I will run it 200 times:
/run pytest tests/test_login.py --count 200 -x"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Path(os.environ.get("PADDOCK_PICTURES") or tmp_path)
    made.mkdir(parents=True, exist_ok=True)
    return made


def test_pictures_of_each_main_view(page: Page, running: Stack, folder: Path) -> None:
    with running.client() as client:
        running.start(client, "Explain the retry policy", title="Explain the retry policy")
        running.start(client, "/ask Which branch? | main | release", title="迁移支付回调到新网关")
        running.start(client, SCENE, title="Fix the flaky login test")
    page.goto("/")
    page.get_by_role("link", name="Fix the flaky login test").click()
    for _ in range(2):
        page.get_by_role("button", name="Allow once").last.click(timeout=30_000)
    expect(page.get_by_text("--count 200 -x").first).to_be_visible(timeout=30_000)
    expect(talk.state(page, "Waiting for you")).to_be_visible()
    take(page, folder, "chat")
    for tab, sign in (("Timeline", "run.started"), ("Workspace", "tests")):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel", name=tab).get_by_text(sign, exact=True).first).to_be_visible(timeout=30_000)
        take(page, folder, tab.lower(), ("wide",))
    page.goto("/inbox")
    expect(page.get_by_text("Which branch?").first).to_be_visible(timeout=30_000)
    take(page, folder, "inbox")


def take(page: Page, folder: Path, view: str, sizes: tuple[str, ...] = tuple(SIZES)) -> None:
    """Take the view in each size and theme; nothing may be wider than its page."""
    for size in sizes:
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            page.wait_for_function("document.fonts.status === 'loaded'")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, size)
            page.screenshot(path=folder / f"{view}-{size}-{theme}.png")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")

"""Draws the portal's icon in the sizes that systems ask for. `python -m tests.support.icons` writes the files that are committed."""

from __future__ import annotations

import shutil

from playwright.sync_api import sync_playwright

from tests.support.portal import PORTAL

FOLDER = PORTAL / "public" / "icons"
SIZES = (192, 512)


def main() -> None:
    drawing = (FOLDER / "icon.svg").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size in SIZES:
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(
                f"<style>body {{ margin: 0 }} svg {{ display: block; width: 100%; height: auto }}</style>{drawing}"
            )
            page.screenshot(path=FOLDER / f"{size}.png")
        browser.close()


if __name__ == "__main__":
    main()

"""简体中文 in all main views: nothing on them is in English that the portal has in Chinese."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.support.portal import PORTAL
from tests.support.stack import Stack

SEEN = 20_000
_ENTRY = re.compile(r'^\s+"[\w.-]+":\s+"(.*)",$', re.MULTILINE)
_WORDS = """
() => {
  const said = [];
  for (const element of document.querySelectorAll('body *')) {
    if (!element.checkVisibility()) continue;
    for (const node of element.childNodes) if (node.nodeType === Node.TEXT_NODE) said.push(node.textContent);
    for (const name of ['aria-label', 'placeholder', 'title', 'alt']) said.push(element.getAttribute(name) ?? '');
  }
  return [...said, document.title].map(each => each.trim()).filter(Boolean);
}
"""


def texts(language: str) -> set[str]:
    """The texts of a catalogue that are the same wherever they stand."""
    source = (PORTAL / "src" / "i18n" / f"{language}.ts").read_text(encoding="utf-8")
    return {text for text in _ENTRY.findall(source) if "{{" not in text}


def left_over(page: Page) -> list[str]:
    english = texts("en") - texts("zh")
    assert len(english) > 50
    return sorted(english & set(page.evaluate(_WORDS)))


def test_no_english_is_left_over(page: Page, running: Stack) -> None:
    page.add_init_script("localStorage.setItem('paddock.language', 'zh')")
    page.goto("/")
    expect(page.get_by_role("heading", name="[Paddock] 新会话")).to_be_visible()
    assert left_over(page) == []
    page.get_by_label("消息", exact=True).fill("/read a.txt\n/approve 写文件\n/todo [>] 看")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="收件箱，1 项待处理")).to_be_visible(timeout=SEEN)
    expect(page.locator("[data-request]")).to_be_visible(timeout=SEEN)
    assert left_over(page) == []
    page.get_by_role("tab", name="时间线").click()
    expect(page.get_by_label("事件类型")).to_be_visible()
    assert left_over(page) == []
    page.get_by_role("button", name="智能体与模型").click()
    expect(page.get_by_role("group", name="智能体")).to_be_visible()
    assert left_over(page) == []
    page.keyboard.press("Escape")

    page.get_by_role("link", name="收件箱，1 项待处理").click()
    expect(page.locator("[data-request]")).to_be_visible()
    assert left_over(page) == []
    page.get_by_role("button", name="账户").click()
    page.get_by_role("link", name="账户与令牌").click()
    expect(page.get_by_role("heading", name="API 令牌")).to_be_visible()
    assert left_over(page) == []

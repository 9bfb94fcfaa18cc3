"""The documentation keeps up with the code: settings, links, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from app.config import SECRET_NAMES, Settings

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = ROOT / "docs/operations.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
ROW = re.compile(
    r"^\| (?P<names>`[A-Z][A-Z0-9_]+`(?: · `[A-Z][A-Z0-9_]+`)*) \| (?P<default>[^|]*) \| (?P<meaning>[^|]+) \|$"
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def rows() -> dict[str, re.Match[str]]:
    """Return the rows of the settings table, by each name that they document."""
    section = (
        OPERATIONS.read_text(encoding="utf-8").partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    )
    found: dict[str, re.Match[str]] = {}
    for line in section.splitlines():
        row = ROW.match(line)
        for name in re.findall(r"`(\w+)`", row["names"]) if row else []:
            assert name not in found, f"{name} is documented twice"
            assert row is not None
            found[name] = row
    return found


def names_of(field: FieldInfo) -> list[str]:
    return [str(choice) for choice in field.validation_alias.choices]  # type: ignore[union-attr]


def shown(default: object) -> str:
    if default in ("", None):
        return "–"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_documented_with_its_default(field: str) -> None:
    info = Settings.model_fields[field]
    for name in names_of(info):
        row = rows().get(name)
        assert row is not None, f"{name} is not in the table of docs/operations.md"
        assert row["default"] == shown(info.default), name
        assert len(row["meaning"].strip()) > 15, name


def test_nothing_is_documented_that_is_no_setting() -> None:
    known = {name for info in Settings.model_fields.values() for name in names_of(info)}
    assert set(rows()) == known


def test_settings_that_are_secrets_say_that_a_file_may_hold_them() -> None:
    for name in SECRET_NAMES:
        assert f"`{name}_FILE`" in rows()[name]["meaning"], name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if not re.match(r"[a-z]+:", target):
            path = target.partition("#")[0].replace("\\_", "_")
            assert not path or (page.parent / path).exists(), f"{page.name} links to {target}"


def test_the_two_readmes_have_the_same_parts() -> None:
    def outline(name: str) -> list[tuple[str, list[str]]]:
        text = (ROOT / name).read_text(encoding="utf-8")
        blocks = [block for block in FENCE.findall(text) if not block.startswith("```mermaid")]
        levels = re.findall(r"^#+", FENCE.sub("", text), re.MULTILINE)
        commands = [re.sub(r'"[^"]*"|#.*', "", line).rstrip() for block in blocks for line in block.splitlines()]
        return [("levels", levels), ("commands", commands), ("links", sorted(links_of(text)))]

    def links_of(text: str) -> set[str]:
        return {target for target in LINK.findall(FENCE.sub("", text)) if not target.startswith("README")}

    assert outline("README.md") == outline("README.zh-CN.md")


def test_make_targets_in_the_documentation_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        spans = re.findall(r"`([^`\n]+)`", text) + [
            line for block in FENCE.findall(text) for line in block.splitlines()
        ]
        for span in spans:
            words = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*make((?: [a-z-]+)+)(?=$| [A-Z#&|]|\s{2})", span)
            for target in words[1].split() if words else []:
                assert target in targets, f"{page.name}: make {target}"


def test_commands_in_the_documentation_exist() -> None:
    from typer.main import get_command

    from cli.main import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for word in re.findall(
            r"(?:^|[`$ ])(?:\.venv/bin/)?paddock ([a-z][a-z-]+)\b", "\n".join(code_of(text)), re.MULTILINE
        ):
            assert word in known, f"{page.name}: paddock {word}"


def code_of(text: str) -> list[str]:
    return FENCE.findall(text) + re.findall(r"`[^`\n]+`", FENCE.sub("", text))

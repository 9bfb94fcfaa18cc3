"""Files of a session over HTTP: where they were read, what they are, and that nothing an agent wrote can run on our origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.models import ChatSession
from app.services.workspaces import Workspaces
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web
from tests.support.workspace_house import sandboxes_of, write

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),  # SQL's part is tested in test_workspaces
]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


@pytest.fixture
def web(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    settings = web_support.settings_of(tmp_path / "var", database_url, redis_url)
    with sandboxes_of("local", settings.root) as sandboxes:
        yield web_support.make(settings, sandboxes=sandboxes)


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


class Files:
    """bob's session and what he reads in it."""

    def __init__(self, web: Web, people: Cast, *, live: bool) -> None:
        self.web, self.bob, self.session = web, people.bob, factories.session(people.bob)
        workers = web.container.session_workers
        workers.ensure_running(ChatSession.get_by_id(self.session.id), labels={})
        contents: dict[str, bytes | str] = {
            "a.txt": "hello ü\n",
            "pic.png": PNG,
            "pic.svg": SVG,
            "page.html": "<script>",
            "x.pdf": b"%PDF-1",
        }
        write(web.container.settings.root / "sandboxes" / self.session.id / "workspace", contents)
        if not live:
            workers.stop(self.session.id)
            workers.remove(self.session.id)

    def read(self, rest: str) -> Any:
        return self.web.get(f"/api/session-workers/{self.session.id}/workspace/{rest}", self.bob.headers)


@pytest.fixture(params=[True, False], ids=["live", "snapshot"])
def files(request: pytest.FixtureRequest, web: Web, people: Cast) -> Files:
    made = Files(web, people, live=request.param)
    made.source = "live" if request.param else "snapshot"  # type: ignore[attr-defined]
    return made


def test_every_reading_says_where_it_came_from(files: Any) -> None:
    newest = [row["snapshotId"] for row in files.read("snapshots").json["items"]][:1]
    expected = (files.source, *(newest if files.source == "snapshot" else [None]))

    for shown in (files.read("tree").json, files.read("diff").json, files.read("diff?format=files").json):
        assert (shown["source"], shown["snapshotId"]) == expected
        assert (shown["savedAt"] is not None) == (files.source == "snapshot")
    for sent in (files.read("file?path=a.txt"), files.read("download?path=a.txt"), files.read("download")):
        assert (sent.headers["X-Source"], sent.headers.get("X-Snapshot-Id")) == expected
        assert ("X-Saved-At" in sent.headers) == (files.source == "snapshot")


def test_a_part_of_a_file_says_whether_it_is_text(files: Any) -> None:
    assert files.read("file?path=a.txt").headers["X-Content"] == "text"
    assert files.read("file?path=a.txt&offset=7&limit=1").headers["X-Content"] == "text", "half a character"
    assert files.read("file?path=pic.png").headers["X-Content"] == "binary"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("pic.png", "image/png"),
        ("x.pdf", "application/pdf"),
        ("pic.svg", None),
        ("page.html", None),
        ("a.txt", None),
    ],
)
def test_only_what_runs_nothing_is_shown_inline(files: Any, path: str, kind: str | None) -> None:
    shown = files.read(f"download?path={path}&inline=true")
    saved = files.read(f"download?path={path}")

    assert shown.content_type == (kind or "application/octet-stream")
    assert shown.headers["Content-Disposition"].startswith("inline;" if kind else "attachment;")
    assert shown.data == saved.data
    assert saved.content_type == "application/octet-stream"
    assert saved.headers["Content-Disposition"].startswith("attachment;")
    for answer in (shown, saved, files.read(f"file?path={path}")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert policy.endswith("sandbox")


def test_a_diff_is_told_file_by_file_and_as_a_patch(files: Any) -> None:
    shown = files.read("diff?format=files").json
    found = {file["path"]: file for file in shown["files"]}

    assert "patch" not in shown
    assert "+hello ü\n" in found["a.txt"]["patch"]
    assert (found["a.txt"]["status"], found["a.txt"]["additions"], found["a.txt"]["binary"]) == ("added", 1, False)
    assert found["pic.png"]["binary"] is True
    patch = files.read("diff?format=patch")
    assert patch.content_type == "text/x-diff; charset=utf-8"
    assert patch.text == files.read("diff").json["patch"]
    assert found["a.txt"]["patch"] in patch.text


def test_half_a_patch_is_no_patch(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Workspaces.diff
    monkeypatch.setattr(Workspaces, "diff", lambda *given: {**whole(*given), "truncated": True})  # as a long one is
    patch = files.read("diff?format=patch")
    assert (patch.status_code, patch.json["code"]) == (409, "patch_too_large")
    assert patch.json["remedy"]

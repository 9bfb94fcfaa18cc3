"""The portal's files as web serves them: who gets them, how long they are kept, what the page may do."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import web as web_support
from tests.support.web import Web
from web import portal

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

INDEX = "<!doctype html><title>built</title>"
SCRIPT = "export const portal = 'built';\n" * 50


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "dist"
    files = {"index.html": INDEX, "assets/index-1a2b.js": SCRIPT, "icons/icon.svg": "<svg/>", "sw.js": "//"}
    files |= {"manifest.webmanifest": "{}", ".stamp": "secret", "assets/.hidden": "secret"}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(portal, "DIST", folder)
    return folder


@pytest.fixture
def web(database: object, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    made = web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))
    yield made
    made.app.extensions["paddock"].hub.close()


def test_the_addresses_of_the_portal_give_one_page_to_everybody(web: Web, dist: Path) -> None:
    for path in ("/", "/chats/ses_1", "/inbox", "/account", "/?utm=x"):
        answer = web.get(path)
        assert (answer.status_code, answer.text) == (200, INDEX)
        assert answer.headers["Cache-Control"] == "no-cache"


def test_the_page_may_run_and_reach_only_what_is_ours(web: Web, dist: Path) -> None:
    policy = web.get("/").headers["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= set(
        policy.split("; ")
    )
    assert "frame-ancestors 'none'" in policy


def test_files_with_a_hash_in_their_name_are_kept_for_ever_and_others_asked_for_again(web: Web, dist: Path) -> None:
    kept = {
        path: web.get(path).headers["Cache-Control"]
        for path in ("/assets/index-1a2b.js", "/icons/icon.svg", "/manifest.webmanifest", "/sw.js")
    }

    assert kept.pop("/assets/index-1a2b.js") == "public, max-age=31536000, immutable"
    assert set(kept.values()) == {"no-cache"}


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/assets/index-1a2b.js", "text/javascript; charset=utf-8"),
        ("/icons/icon.svg", "image/svg+xml"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/sw.js", "text/javascript; charset=utf-8"),
    ],
)
def test_files_say_what_they_are(web: Web, dist: Path, path: str, media_type: str) -> None:
    answer = web.get(path)

    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_text_travels_compressed_to_who_takes_it_and_not_at_all_to_who_has_it(web: Web, dist: Path) -> None:
    squeezed = web.get("/assets/index-1a2b.js", {"Accept-Encoding": "gzip, br"})
    again = web.get("/assets/index-1a2b.js", {"Accept-Encoding": "gzip", "If-None-Match": squeezed.headers["ETag"]})

    assert gzip.decompress(squeezed.data).decode() == SCRIPT
    assert len(squeezed.data) < len(SCRIPT) / 4
    assert (again.status_code, again.data) == (304, b"")
    assert web.get("/assets/index-1a2b.js").text == SCRIPT


def test_a_new_build_is_served_without_a_restart(web: Web, dist: Path) -> None:
    before = web.get("/")
    (dist / "index.html").write_text("<title>newer</title>")
    after = web.get("/", {"If-None-Match": before.headers["ETag"]})

    assert (after.status_code, after.text) == (200, "<title>newer</title>")


@pytest.mark.parametrize(
    "path",
    ["/.stamp", "/assets/.hidden", "/assets/missing.js", "/assets/..%2Findex.html", "/assets/..", "/icons/", "/x.js"],
)
def test_nothing_but_what_was_built_is_served(web: Web, dist: Path, path: str) -> None:
    answer = web.get(path)

    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_without_a_build_the_page_says_how_to_make_one(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal, "DIST", tmp_path / "nowhere")
    answer = web.get("/", {"Accept": "text/html"})

    assert answer.status_code == 503
    assert "make portal" in answer.text

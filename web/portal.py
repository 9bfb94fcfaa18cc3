"""The portal's built files. Its addresses give one page to everybody, signed in or not: that page itself asks who is there.

`vite build` gives every file below `assets/` a name that holds its content's hash, so browsers may keep those for ever and ask for
everything else again each time.
"""

from __future__ import annotations

import gzip
import mimetypes
from functools import lru_cache
from pathlib import Path

from flask import Response, request

from app.errors import NotFound
from web.routing import PUBLIC, Routes

routes = Routes("portal")

DIST = Path(__file__).resolve().parents[1] / "portal" / "dist"
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
COMPRESSED = ("text/html", "text/css", "text/javascript", "image/svg+xml", "application/manifest+json")
MEDIA_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}
"""What the tables of the machine may not know or know otherwise."""


@routes.get("/", PUBLIC, produces="text/html")
def show_start() -> Response:
    """The portal."""
    return _page()


@routes.get("/chats/<session_id>", PUBLIC, produces="text/html")
def show_chat(session_id: str) -> Response:  # noqa: ARG001 - the page reads it from its address
    """The portal at one chat."""
    return _page()


@routes.get("/inbox", PUBLIC, produces="text/html")
def show_inbox() -> Response:
    """The portal at what people are asked."""
    return _page()


@routes.get("/account", PUBLIC, produces="text/html")
def show_account() -> Response:
    """The portal at who is signed in."""
    return _page()


@routes.get("/assets/<name>", PUBLIC, produces="application/octet-stream")
def get_asset(name: str) -> Response:
    """A script, style or picture of the portal."""
    return _file(f"assets/{name}", FOR_EVER)


@routes.get("/icons/<name>", PUBLIC, produces="image/svg+xml")
def get_icon(name: str) -> Response:
    """An icon of the portal as an installed program."""
    return _file(f"icons/{name}", ASK_AGAIN)


@routes.get("/manifest.webmanifest", PUBLIC, produces="application/manifest+json")
def get_manifest() -> Response:
    """What a browser installs the portal by."""
    return _file("manifest.webmanifest", ASK_AGAIN)


@routes.get("/sw.js", PUBLIC, produces="text/javascript")
def get_service_worker() -> Response:
    """The portal's service worker: it keeps the page's own files, never an answer of the API."""
    return _file("sw.js", ASK_AGAIN)


def _page() -> Response:
    if not (DIST / "index.html").is_file():
        from web.pages import page

        return page("unbuilt.html", status=503)
    return _file("index.html", ASK_AGAIN)


def _file(name: str, caching: str) -> Response:
    """Return a built file; `name` comes from addresses that take one segment each, so it is none outside the folder."""
    path = DIST / name
    if path.name.startswith(".") or not path.is_file():
        raise NotFound("file")
    media_type = MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    squeezed = media_type in COMPRESSED and request.accept_encodings.quality("gzip") > 0
    modified = path.stat().st_mtime_ns
    response = Response(_read(path, modified, squeezed), content_type=_with_charset(media_type))
    response.headers["Cache-Control"] = caching
    response.headers["Content-Security-Policy"] = CONTENT_POLICY
    response.headers["Vary"] = "Accept-Encoding"
    if squeezed:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(f"{modified:x}{'z' * squeezed}")
    response.make_conditional(request)
    return response


@lru_cache(maxsize=256)
def _read(path: Path, _modified: int, squeezed: bool) -> bytes:
    data = path.read_bytes()
    return gzip.compress(data, 6, mtime=0) if squeezed else data


def _with_charset(media_type: str) -> str:
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type

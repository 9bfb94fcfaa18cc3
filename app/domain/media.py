"""What the bytes of a file are, told by themselves: a name, or what an agent says, proves nothing."""

from __future__ import annotations

LOOKED_AT = 8000
"""Bytes from the beginning, as git looks."""
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
"""What may be shown in a page: pictures, which run nothing, and PDF, which browsers show in a place of its own. SVG is a document with
scripts, and is never one of them."""


def shown_type(beginning: bytes) -> str | None:
    """Return the media type of a file that may be shown in a page; None for every other."""
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if beginning.startswith(magic)), None)


def is_text(part: bytes) -> bool:
    """True where a part of a file reads as UTF-8. A character may be cut at either end of it."""
    looked = part[:LOOKED_AT]
    if b"\0" in looked:
        return False
    begin = next(
        (at for at, byte in enumerate(looked[:4]) if byte & 0xC0 != 0x80), len(looked) if len(looked) < 4 else 0
    )
    try:
        looked[begin:].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and len(looked) - begin - error.start < 4
    return True

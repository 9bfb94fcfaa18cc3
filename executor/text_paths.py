"""Names of files as text. A name is bytes; one that is not UTF-8 is written with an escape that survives every JSON library."""

from __future__ import annotations

import os
import re

ESCAPE = "\ufdd0"
"""A code point that is not a character: before two hex digits it stands for one byte."""
_ESCAPED = re.compile(ESCAPE + r"([0-9a-f]{2})")


def to_text(name: str) -> str:
    """Return a name from `os` (undecodable bytes as surrogates) as valid Unicode."""
    if name.isascii():
        return name
    return "".join(_escaped(character) for character in name)


def to_name(text: str) -> str:
    """Return what `to_text` was given."""
    if ESCAPE not in text:
        return text
    raw = _ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)
    return os.fsdecode(os.fsencode(raw))


def _escaped(character: str) -> str:
    if character == ESCAPE:
        return "".join(f"{ESCAPE}{byte:02x}" for byte in ESCAPE.encode())
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"{ESCAPE}{ord(character) - 0xDC00:02x}"
    return character

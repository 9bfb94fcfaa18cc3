"""Names that become names of files: what is allowed in them."""

from __future__ import annotations

import re

from executor.refusal import Refused

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")


def checked_name(name: str) -> str:
    """Return `name`, or refuse it: it comes from outside and names a file in the executor's own folder."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise Refused(422, "invalid", "not a valid id")
    return name

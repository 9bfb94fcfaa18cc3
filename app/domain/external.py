"""What is agreed with external executors: the provider's name of their runs, and which ids of events are not theirs to give."""

from __future__ import annotations

import re

EXTERNAL = "external"
"""Provider of a run that is meant for an external executor: no worker starts an agent for it."""

TOKEN_PREFIX = "pdx_"  # noqa: S105 - what tokens begin with, not one

_RESERVED = re.compile(r"stop$|(answer|steer|expire|bind|read|deadline):")


def is_reserved(event_id: str) -> bool:
    """True for an `eventId` that is the key of one of our own commands: they share one table, with one key per run."""
    return _RESERVED.match(event_id) is not None

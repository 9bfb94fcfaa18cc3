"""Maintenance on the wire."""

from __future__ import annotations

from web.wire import Shown


class DrainView(Shown):
    """What became of the tenant's runs during a drain. `retried` went back to the queue; `failed` counts blocked ones too."""

    succeeded: int
    retried: int
    failed: int
    canceled: int

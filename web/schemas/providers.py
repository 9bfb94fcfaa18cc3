"""Providers on the wire: what each can do and whether it is ready."""

from __future__ import annotations

from pydantic import Field

from web.wire import Given, Shown


class BreakerView(Shown):
    """Whether runs of the provider wait because it failed `failures` times in a row. `state` is closed, open (they wait until
    `trialAt`, then one tries) or half_open (one tries)."""

    state: str
    failures: int = 0
    since: str | None = None
    trial_at: str | None = None
    failure_code: str | None = None
    remedy: str | None = None


class ProviderView(Shown):
    kind: str
    ready: bool
    installed: bool
    version: str | None
    capabilities: dict[str, bool]
    scripted: bool = False
    failure_code: str | None = None
    message: str | None = None
    remedy: str | None = None
    breaker: BreakerView


class ProviderList(Shown):
    items: list[ProviderView]
    next_cursor: str | None


class PreflightBody(Given):
    """`model` is what a run would name."""

    model: str | None = Field(None, min_length=1, max_length=256)


class Check(Shown):
    """One thing that a run needs."""

    name: str
    ok: bool
    message: str
    remedy: str | None = None


class Preflight(Shown):
    """Whether a run could start now, and what is missing."""

    kind: str
    ok: bool
    checks: list[Check]


class BundleView(Shown):
    """An uploaded git bundle; name it as `repo.bundleId` of a new session."""

    bundle_id: str
    size: int
    sha256: str

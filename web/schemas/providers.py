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


class CredentialView(Shown):
    """Something to log in with, by its name. `used` where agents are given it, or what stands for it with the model proxy."""

    name: str
    used: bool


class ProviderView(Shown):
    """`model` is what a run gets that names none; null leaves it to the agent."""

    kind: str
    ready: bool
    installed: bool
    version: str | None
    binary: str | None = None
    model: str | None = None
    credentials: list[CredentialView] = Field(default_factory=list)
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
    """`model` is what a run would name. `trialCall` has the agent answer one short message, as a run of its own; it costs what that
    costs, and `timeoutMs` is the longest wait for it."""

    model: str | None = Field(None, min_length=1, max_length=256)
    trial_call: bool = False
    timeout_ms: int = Field(60_000, ge=1_000, le=300_000)


class Check(Shown):
    """One thing that a run needs: `executor`, `binary`, `version`, `credentials`, `model`, `breaker`, `trialCall`. Where it is not ok,
    what kind of failure a run would end with."""

    name: str
    ok: bool
    message: str
    remedy: str | None = None
    failure_code: str | None = None
    failure_class: str | None = None
    retryable: bool | None = None


class TrialView(Shown):
    """What came of the trial call, and what it cost. Its run stays to be read; its chat is deleted."""

    run_id: str
    status: str
    seconds: float
    usage: dict[str, float]


class Preflight(Shown):
    """Whether a run could start now, and what is missing."""

    kind: str
    ok: bool
    checks: list[Check]
    trial: TrialView | None = None


class BundleView(Shown):
    """An uploaded git bundle; name it as `repo.bundleId` of a new session."""

    bundle_id: str
    size: int
    sha256: str

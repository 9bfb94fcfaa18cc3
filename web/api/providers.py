"""Providers: what each can do, whether it is ready, what is missing."""

from __future__ import annotations

from app.domain.permissions import Permission, Principal
from app.models import ProviderBreaker
from app.ports import Provider
from app.services import provider_breaker
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import when
from web.schemas.providers import BreakerView, Check, Preflight, PreflightBody, ProviderList, ProviderView

routes = Routes("providers")


@routes.get("/api/providers", Permission.PROVIDER_READ)
def list_providers(principal: Principal, parts: Parts) -> ProviderList:
    """List the providers with their capabilities, versions and readiness, and whether their runs wait because they fail."""
    items = [_view(parts, provider, principal.tenant_id) for provider in parts.container.providers.list()]
    return ProviderList(items=items, next_cursor=None)


@routes.post("/api/providers/<kind>/preflight", Permission.PROVIDER_PREFLIGHT, keyed=False)
def preflight(kind: str, parts: Parts, body: PreflightBody) -> Preflight:
    """Tell what a run of this provider would lack. Starts nothing and costs nothing."""
    provider = parts.container.providers.get(kind)
    ready = parts.readiness.look(kind)
    checks = [
        Check(
            name="binary",
            ok=ready.version is not None or (ready.installed and ready.failure is None),
            message=f"version {ready.version}" if ready.version else ("found" if ready.installed else "not installed"),
        )
    ]
    if ready.failure is not None:
        name = "credentials" if ready.failure.code == "auth_missing" else "readiness"
        checks.append(Check(name=name, ok=False, message=ready.failure.message, remedy=ready.failure.advice))
    model = body.model or parts.settings.anthropic_model or None
    checks.append(Check(name="model", ok=True, message=model or "the provider's own default"))
    return Preflight(kind=provider.kind, ok=all(check.ok for check in checks), checks=checks)


def _view(parts: Parts, provider: Provider, tenant_id: str) -> ProviderView:
    ready = parts.readiness.look(provider.kind)
    failure = ready.failure
    return ProviderView(
        kind=provider.kind,
        ready=failure is None,
        installed=ready.installed,
        version=ready.version,
        capabilities=provider.capabilities.as_wire(),
        scripted=parts.settings.provider_mode == "scripted" or provider.kind == "scripted",
        failure_code=failure.code if failure else None,
        message=failure.message if failure else None,
        remedy=failure.advice if failure else None,
        breaker=_breaker_view(provider_breaker.find(tenant_id, provider.kind)),
    )


def _breaker_view(row: ProviderBreaker | None) -> BreakerView:
    state = provider_breaker.state_of(row)
    if row is None:
        return BreakerView(state=state)
    return BreakerView(
        state=state,
        failures=row.failures,
        since=when(row.opened_at),
        trial_at=when(row.trial_at),
        failure_code=row.failure_code,
        remedy=row.remedy,
    )

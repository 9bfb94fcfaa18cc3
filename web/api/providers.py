"""Providers: what each can do, whether it is ready, what is missing."""

from __future__ import annotations

from app.domain.permissions import Permission, Principal
from app.models import ProviderBreaker
from app.ports import Provider
from app.services import provider_breaker
from web import access, preflight
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import when
from web.schemas.providers import BreakerView, CredentialView, Preflight, PreflightBody, ProviderList, ProviderView

routes = Routes("providers")


@routes.get("/api/providers", Permission.PROVIDER_READ)
def list_providers(principal: Principal, parts: Parts) -> ProviderList:
    """List the providers with their capabilities, versions and readiness, and whether their runs wait because they fail."""
    items = [_view(parts, provider, principal.tenant_id) for provider in parts.container.providers.list()]
    return ProviderList(items=items, next_cursor=None)


@routes.post("/api/providers/<kind>/preflight", Permission.PROVIDER_PREFLIGHT, keyed=False)
def look_ahead(kind: str, principal: Principal, parts: Parts, body: PreflightBody) -> Preflight:
    """Tell what a run of this provider would lack, each with what to do. Starts nothing and costs nothing, but for `trialCall`: with
    it the agent answers one short message, where nothing is seen to be missing."""
    subject = preflight.Subject(parts.container.providers.get(kind), principal.tenant_id, body.model)
    checks, trial = list(preflight.look(parts, subject)), None
    if body.trial_call:
        access.require(principal, Permission.RUN_CREATE)
        if all(check.ok or check.name == "breaker" for check in checks):
            check, trial = preflight.try_out(parts, principal, subject, body.timeout_ms)
            checks[-1:] = [preflight.breaker(subject), check]  # as the trial leaves it
    return Preflight(kind=kind, ok=all(check.ok for check in checks), checks=checks, trial=trial)


def _view(parts: Parts, provider: Provider, tenant_id: str) -> ProviderView:
    ready = parts.readiness.look(provider.kind)
    failure = ready.failure
    return ProviderView(
        kind=provider.kind,
        ready=failure is None,
        installed=ready.installed,
        version=ready.version,
        binary=ready.binary,
        model=provider.model(None, parts.settings.provider_settings),
        credentials=[
            CredentialView(name=found.name, used=found.is_used) for found in preflight.credentials(parts, provider.kind)
        ],
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

"""From the body of a creation to a run that may be made: everything that can be refused is refused here, before the first row."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import g
from pydantic.alias_generators import to_camel

from app.config import Settings
from app.domain import repo_address
from app.domain.external import EXTERNAL
from app.domain.permissions import Permission, Principal
from app.errors import Invalid, NotFound
from app.services import budgets, policy, provider_breaker
from app.services.policy import Place
from app.services.run_creation import NewRun, NewSession
from web import access
from web.parts import Parts
from web.schemas.runs import Enqueue, Repo, RunCreation


def new_run(parts: Parts, principal: Principal, body: RunCreation, in_transaction: Callable[[str], None]) -> NewRun:
    """Return the run as it may be created. Raises Invalid, NotFound for a session, app or bundle out of reach, or NoRoom."""
    prompt = _prompt(body)
    _refuse_app(body)
    _refuse_unsupported(body)
    session: str | NewSession
    if body.session is not None:
        found = access.get_session(principal, body.session, Permission.RUN_CREATE)
        if body.repo is not None:
            raise Invalid("repo_only_new_session", "A repository seeds a new session only; this one exists.")
        session, provider, model = found.id, body.provider or found.provider, body.model
        if model is None and provider == found.provider:
            model = found.model
    else:
        session = _new_session(parts, principal, body)
        provider, model = body.provider or parts.settings.default_provider, body.model
    if provider == EXTERNAL:
        _refuse("budget_not_supported", "budget", body.budget, ("max_tokens", "max_cost_usd"))
    else:
        parts.readiness.require(provider)
        if body.on_busy == "reject":
            provider_breaker.require_closed(principal.tenant_id, provider)
    parts.container.watermarks.require_room()
    return NewRun(
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        session=session,
        provider=provider,
        prompt=prompt,
        model=model,
        options=_options(
            body, parts.settings, Place(principal.tenant_id, session if isinstance(session, str) else None)
        ),
        required=tuple(body.require),
        on_busy=body.on_busy,
        priority=body.priority,
        run_id=body.run_id if isinstance(body, Enqueue) else None,
        trace_id=g.trace_id,
        in_transaction=in_transaction,
    )


def _new_session(parts: Parts, principal: Principal, body: RunCreation) -> NewSession:
    repo = body.repo or Repo.model_construct(url=None, bundle_id=None, ref=None)
    if repo.bundle_id is not None:
        access.get_bundle(principal, repo.bundle_id, Permission.RUN_CREATE)
    return NewSession(
        title=body.title or "",
        repo_url=repo_address.check(repo.url, parts.settings.repo_hosts, addresses_of) if repo.url else None,
        repo_ref=repo_address.check_ref(repo.ref) if repo.ref else None,
        bundle_id=repo.bundle_id,
    )


def _options(body: RunCreation, settings: Settings, place: Place) -> dict[str, Any]:
    options = body.provider_options.model_dump(exclude_none=True) if body.provider_options else {}
    own = body.budget.model_dump(by_alias=True, exclude_none=True) if body.budget is not None else {}
    budget = {**budgets.defaults(settings), **policy.effective(place).budget, **own}
    if budget:
        options["budget"] = budget
    return options


def _refuse_app(body: RunCreation) -> None:
    """There is no app store yet, so no app is there to be run."""
    if body.execution_profile or (body.provider_options and body.provider_options.store_app_id):
        raise NotFound("app")


def _refuse_unsupported(body: RunCreation) -> None:
    """What would be taken and then have no effect is refused: a limit that nobody keeps is worse than none."""
    _refuse("option_not_supported", "providerOptions", body.provider_options, ("tools", "cwd", "profile"))


def _refuse(code: str, prefix: str, holder: object, names: Iterable[str]) -> None:
    given = [f"{prefix}.{to_camel(name)}" for name in names if getattr(holder, name, None) is not None]
    if given:
        errors = [{"field": field, "message": "Has no effect here."} for field in given]
        raise Invalid(code, f"Not supported: {', '.join(given)}.", errors=errors)


def _prompt(body: RunCreation) -> str:
    text = body.prompt if body.prompt is not None else text_of_messages(body.messages or [])
    if not text.strip():
        raise Invalid("prompt_empty", "There is no text to work on.")
    return text


def text_of_messages(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of the last user message, in the form of AI SDK UI (`parts`) or of OpenAI's API (`content`)."""
    last: Mapping[str, Any] = {}
    for message in messages:
        if message.get("role") == "user":
            last = message
    content = last.get("parts", last.get("content"))
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [
        part.get("text") for part in parts if isinstance(part, dict) and part.get("type") in ("text", "input_text")
    ]
    return "\n".join(text for text in texts if isinstance(text, str))


def addresses_of(host: str) -> list[str]:
    """Return all addresses of a host, as the client that clones will see them."""
    return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})

"""How an agent reaches its model: through the proxy with the run's token, or, where the proxy is off, with the keys themselves."""

from __future__ import annotations

from collections.abc import Mapping

from app.config import Settings
from app.services import model_tokens

_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY")


def settings_for(settings: Settings, run_id: str, attempt: int) -> dict[str, str]:
    """Return the provider settings that one attempt's agent is given: with the proxy on, no key of the platform's is among them."""
    given = settings.provider_settings
    if not settings.model_proxy_runs:
        return given
    token = model_tokens.token_for(settings, run_id, attempt)
    changed = {name: token for name in _KEYS if name in given}
    if "ANTHROPIC_API_KEY" in changed:
        changed.pop("ANTHROPIC_AUTH_TOKEN", None)  # one is enough; the proxy knows which the model's side wants
        given.pop("ANTHROPIC_AUTH_TOKEN", None)
    if any(name.startswith("ANTHROPIC_") for name in changed):
        changed["ANTHROPIC_BASE_URL"] = settings.model_proxy_address
    if "OPENAI_API_KEY" in changed:
        changed["OPENAI_BASE_URL"] = f"{settings.model_proxy_address}/v1"
    return {**given, **changed}


def secrets_of(settings: Settings, given: Mapping[str, str]) -> list[str]:
    """Return what must be cut out of everything that a run writes: the keys, and what its agent was given in their place."""
    pairs = [*settings.provider_settings.items(), *given.items()]
    return [value for name, value in pairs if name.endswith(("_KEY", "_TOKEN"))]

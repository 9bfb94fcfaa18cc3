"""What the agents that speak to the OpenAI API have in common: their settings' defaults, and what of them is missing."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.failure import Failure, FailureCode
from app.providers.binaries import is_address

DEFAULT_MODEL = "gpt-5.5"
DEFAULT_ADDRESS = "https://api.openai.com/v1"


def missing(agent: str, settings: Mapping[str, str]) -> Failure | None:
    """Return what keeps an agent (by its name for people) from reaching its model; None where nothing does."""
    if not settings.get("OPENAI_API_KEY"):
        return Failure(
            FailureCode.AUTH_MISSING,
            f"{agent} has no key.",
            "Set OPENAI_API_KEY in the environment or .env, then run `make up` again.",
        )
    address = settings.get("OPENAI_BASE_URL")
    if address and not is_address(address):
        return Failure(
            FailureCode.SETUP_FAILED,
            "OPENAI_BASE_URL is not an http or https address.",
            f"Set it to an address such as {DEFAULT_ADDRESS}, or unset it.",
        )
    return None

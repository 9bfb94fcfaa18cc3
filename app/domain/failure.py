"""Why a run failed, as data: code, class, whether to try again, and what a person can do. SPEC §2."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureCode(StrEnum):
    AGENT_ERROR = "agent_error"
    PROVIDER_NO_OUTPUT = "provider_no_output"
    AUTH_MISSING = "auth_missing"
    MODEL_INVALID = "model_invalid"
    CAPABILITY_MISSING = "capability_missing"
    REQUIRED_PATHS_MISSING = "required_paths_missing"
    SETUP_FAILED = "setup_failed"
    TIMED_OUT = "timed_out"
    BUDGET_EXCEEDED = "budget_exceeded"
    SANDBOX_LOST = "sandbox_lost"
    WORKER_LOST = "worker_lost"
    POISON = "poison"
    TRANSPORT_ERROR = "transport_error"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class FailureKind:
    """`failure_class` groups codes for recovery; `remedy` is the sentence shown where nothing more exact is known."""

    failure_class: str
    retryable: bool
    remedy: str


KINDS: dict[FailureCode, FailureKind] = {
    FailureCode.AGENT_ERROR: FailureKind(
        "execution_issue", False, "Read the last events of the run, then send the message again or reword it."
    ),
    FailureCode.PROVIDER_NO_OUTPUT: FailureKind(
        "tool_issue", True, "The agent said nothing. Look at `paddock doctor`, then try again."
    ),
    FailureCode.AUTH_MISSING: FailureKind(
        "data_issue", False, "Set the provider's key (for Claude Code ANTHROPIC_API_KEY) and run `make up` again."
    ),
    FailureCode.MODEL_INVALID: FailureKind(
        "data_issue", False, "Choose a model that the endpoint serves, or leave the model out."
    ),
    FailureCode.CAPABILITY_MISSING: FailureKind(
        "spec_issue", False, "Choose a provider that has the capability, or do not require it."
    ),
    FailureCode.REQUIRED_PATHS_MISSING: FailureKind(
        "data_issue", False, "Add the missing paths to the workspace or to the manifest's layers."
    ),
    FailureCode.SETUP_FAILED: FailureKind(
        "data_issue", False, "Mend what the message names, then send the message again."
    ),
    FailureCode.TIMED_OUT: FailureKind("execution_issue", False, "Give the run more time or a smaller job."),
    FailureCode.BUDGET_EXCEEDED: FailureKind("cost_issue", False, "Raise the budget or make the job smaller."),
    FailureCode.SANDBOX_LOST: FailureKind(
        "execution_issue", True, "The sandbox died. The files of the last snapshot are safe; send the message again."
    ),
    FailureCode.WORKER_LOST: FailureKind(
        "execution_issue", True, "Look at the workers (`make status`), then try again."
    ),
    FailureCode.POISON: FailureKind(
        "execution_issue",
        False,
        "This run ended its worker or sandbox each time. Find out why before sending it again.",
    ),
    FailureCode.TRANSPORT_ERROR: FailureKind(
        "tool_issue", True, "The model's address did not answer. Check the base URL and the network, then try again."
    ),
    FailureCode.INCOMPLETE: FailureKind(
        "execution_issue", True, "The agent went away in the middle of its turn. Send the message again."
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of one run. `message` says what happened, `remedy` what to do about it."""

    code: FailureCode
    message: str
    remedy: str = ""
    retryable: bool | None = None

    @property
    def kind(self) -> FailureKind:
        return KINDS[self.code]

    @property
    def may_retry(self) -> bool:
        return self.kind.retryable if self.retryable is None else self.retryable

    @property
    def advice(self) -> str:
        return self.remedy or self.kind.remedy

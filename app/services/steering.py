"""Messages to an agent that works: a command each, until the agent has it, does not take it, or its run has ended. SPEC §4, decision 3.

A message that no agent has answered for belongs to the run, not to the attempt: it stays unapplied, and the next attempt is told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from app import db, ids
from app.domain.events import NOT_STEERED, EventType
from app.domain.external import EXTERNAL
from app.domain.run_state import TERMINAL
from app.errors import Conflict, Invalid
from app.models import AgentRun, RunCommand
from app.ports import Bell, Providers
from app.services import runs

KIND = "steer"
REMEDY = "Send it as a message of the session: it is queued behind this run."
Outcome = Literal["pending", "taken", "refused", "late"]


@dataclass(frozen=True, slots=True)
class Steer:
    """A message as asked for. `in_transaction` is called with the command's id where it is written."""

    text: str
    by: str
    in_transaction: Callable[[str], None] | None = None


def steer(run: AgentRun, given: Steer, providers: Providers, bell: Bell) -> str:
    """Write a message to a working agent, ring, and return the command's id. Raises Conflict `not_steerable`."""
    if not given.text.strip():
        raise Invalid("prompt_empty", "There is no text to tell the agent.", remedy="Send a text.")
    _require_capability(run, providers)
    command_id = ids.new_id("cmd")
    with db.transaction():
        if not runs.hold_steerable(run.id):
            raise not_steerable(_why_not(AgentRun.get_by_id(run.id)))
        RunCommand.insert(
            id=command_id,
            tenant_id=run.tenant_id,
            run_id=run.id,
            command_key=f"{KIND}:{command_id}",
            kind=KIND,
            payload={"text": given.text, "by": given.by},
            created_at=db.clock(),
        ).execute()
        if given.in_transaction is not None:
            given.in_transaction(command_id)
    bell.ring_command(run.id)
    return command_id


def outcome_of(command: RunCommand) -> Outcome:
    """Return what became of a message."""
    return cast(Outcome, command.outcome or "pending")


def not_steerable(why: str) -> Conflict:
    return Conflict("not_steerable", why, remedy=REMEDY)


def control_of(command: RunCommand) -> dict[str, Any]:
    """Return what the adapter learns of a message."""
    return {"type": KIND, "id": command.id, **command.payload}


def without_steers(commands: Sequence[RunCommand]) -> list[str]:
    """Return the ids of the commands that are no messages: those wait until there is an agent, or no run."""
    return [command.id for command in commands if command.kind != KIND]


def texts_taken(run_id: str) -> list[str]:
    """Return what the agents of a run were told while they worked, in order."""
    query = RunCommand.select().where(
        RunCommand.run_id == run_id, RunCommand.kind == KIND, RunCommand.outcome == "taken"
    )
    return [str(command.payload["text"]) for command in query.order_by(RunCommand.id)]


def settle(kind: str, data: Mapping[str, Any], seq: int) -> None:
    """Take up what an event says of a message, in the transaction that writes it."""
    command_id = data.get("commandId")
    if command_id and kind == EventType.MESSAGE_STOP:
        runs.settle_steer(command_id, "taken", seq)
    elif command_id and data.get("code") == NOT_STEERED:
        runs.settle_steer(command_id, "refused", seq)


def _require_capability(run: AgentRun, providers: Providers) -> None:
    kind = (run.launch or {}).get("provider") or run.provider
    if run.provider == EXTERNAL or not providers.get(kind).capabilities.steering:
        raise not_steerable(f"{run.provider} takes no messages while it works.")


def _why_not(run: AgentRun) -> str:
    if run.status in TERMINAL:
        return f"The run has ended; it is {run.status}."
    if run.stop_requested_at is not None:
        return "The run is being stopped."
    if run.sandbox_stopped_at is not None:
        return "The run waits for an answer, and its agent was stopped meanwhile."
    return f"The run's agent does not work: the run is {run.status}."

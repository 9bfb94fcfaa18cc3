"""Telling an agent something while it works."""

from __future__ import annotations

from typing import Any

from app.domain.permissions import Permission, Principal
from app.models import AgentRun, RunCommand
from app.services import steering
from app.services.idempotency import Found
from web.keys import Held
from web.parts import Parts
from web.routing import Routes
from web.schemas.runs import InputBody, InputView
from web.waiting import wait_for
from web.wire import Reply

routes = Routes("runs")


def _told_again(found: Found, **_: Any) -> Any:
    """A repeated message, where the first request never came to store its answer: what became of the message is known by now."""
    command = RunCommand.get_or_none(RunCommand.id == found.resource_id)
    return None if command is None or found.state == "stored" else _answer(command)


@routes.post("/api/runs/<run_id>/input", Permission.RUN_STEER, replay=_told_again, answers=InputView)
def steer_run(run: AgentRun, principal: Principal, parts: Parts, body: InputBody, key: Held) -> Reply:
    """Tell the agent of a run something while it works. 200 once it has it, 202 where it had not within `timeoutMs`, 409
    `not_steerable` where it does not take it."""
    given = steering.Steer(body.text, principal.user_id, key.record)
    command_id = steering.steer(run, given, parts.container.providers, parts.container.bell)
    wait_for(lambda: _settled(command_id), body.timeout_ms)
    return _answer(RunCommand.get_by_id(command_id))


def _settled(command_id: str) -> RunCommand | None:
    command: RunCommand = RunCommand.get_by_id(command_id)
    return command if command.outcome is not None else None


def _answer(command: RunCommand) -> Reply:
    if command.outcome == "refused":
        raise steering.not_steerable("The agent did not take the message; the run's log says why.")
    if command.outcome == "late":
        raise steering.not_steerable("The agent's turn had ended before it had the message.")
    taken = command.outcome is not None
    view = InputView(
        command_id=command.id,
        run_id=command.run_id,
        outcome="taken" if taken else "pending",
        seq=command.applied_seq,
    )
    return Reply(view, 200 if taken else 202)

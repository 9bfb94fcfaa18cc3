"""One lease of a run that an external executor works on: what it called back becomes the run's log. Decision record 0010.

The callbacks in `run_commands` are the journal here. Each becomes events in the transaction that marks it applied, so that whoever
holds the run, and however often holders die, every callback is in the log once and in the order in which they arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app import db
from app.config import Settings
from app.domain import usage
from app.domain.capabilities import Capabilities
from app.domain.events import Draft, EventType, source
from app.domain.failure import Failure, FailureCode
from app.domain.lease import Lease
from app.domain.redaction import Redactor
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.domain.worker_state import WorkerStatus
from app.models import AgentRun, RunCommand
from app.ports import Bell
from app.services import external_requests, human_loop, run_launch, runs, worker_rows
from app.services.event_log import RunLog
from app.services.external_runs import ANSWER_READ, BIND
from app.services.inbox import Inbox, Wake
from app.services.run_attempt import now_draft
from app.services.run_blobs import RunBlobs
from app.services.run_ending import MoreArrived, RunEnding
from app.services.run_sync import RunSync

TICK_SECONDS = 0.25
SILENT_SECONDS = 1.0
"""After the last callback the holder stays for this long: the next ones of a burst need no new lease."""
BATCH = 200
LOST_REMEDY = "Look at the executor, then send the message again and bind the new run."

CAPABILITIES = Capabilities(stream=True, stop=True, human_loop=True, questions=True, todo=True, usage=True)

Change = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ExternalParts:
    """What a holder has of its run. `check_stopping` raises where the process is to hand back."""

    settings: Settings
    lease: Lease
    log: RunLog
    sync: RunSync
    ending: RunEnding
    inbox: Inbox
    bell: Bell
    blobs: RunBlobs
    check_stopping: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Said:
    usage: dict[str, Any]
    message: str | None


@dataclass(slots=True)
class _Batch:
    """Callbacks that are written in one transaction."""

    drafts: list[Draft]
    commands: list[str]
    changes: list[Change]


class ExternalDrive:
    """Applies what arrived, saves the workspace beside it, and ends the run: as reported, or when its executor is silent too long."""

    def __init__(self, run: AgentRun, parts: ExternalParts) -> None:
        self._run, self._parts = run, parts
        self._redactor = Redactor(
            value for name, value in parts.settings.provider_settings.items() if name.endswith(("_KEY", "_TOKEN"))
        )
        self._batch = _Batch([], [], [])
        self._finish: RunCommand | None = None
        self._ended = False

    def drive(self) -> None:
        """Return when the run has ended or nothing has come for a moment."""
        parts, heard_at = self._parts, time.monotonic()
        while True:
            parts.check_stopping()
            parts.lease.require()
            if self._apply_all():
                heard_at = time.monotonic()
            if self._ended:
                return
            if self._finish is not None or self._is_overdue():
                if self._end():
                    return
                continue
            parts.sync.tick()
            if time.monotonic() - heard_at > SILENT_SECONDS and parts.sync.is_settled:
                self._rest()
                return
            if isinstance(parts.inbox.get(TICK_SECONDS), Wake):
                self._report()

    # --- what arrived ------------------------------------------------------------------------------------------------------

    def _apply_all(self) -> bool:
        """Apply the commands that wait; True where there were any."""
        waiting = runs.list_unapplied(self._run.id)
        wishes = [command for command in waiting if command.kind != "external"]
        arrived = sorted(
            (command for command in waiting if command.kind == "external"), key=lambda each: each.arrival or 0
        )
        stop = next((command for command in wishes if command.kind == "stop"), None)
        if stop is not None and self._run.status in (RunStatus.QUEUED, RunStatus.CLAIMED) and not arrived[1:]:
            self._cancel_unstarted(waiting)
            return True
        for command in arrived:
            self._apply(command)
            if self._finish is not None:
                break
        self._write()
        for command in wishes:
            if command.kind == "stop":
                runs.hasten(self._run.id, self._parts.lease.epoch, self._parts.settings.external_stop_seconds)
            runs.mark_applied([command.id], self._parts.log.last_seq)
        return bool(waiting)

    def _cancel_unstarted(self, waiting: Sequence[RunCommand]) -> None:
        """Stopped before its executor said a word: it is told so by the answer to its first."""
        with suppress(MoreArrived):
            self._parts.ending.cancel("stopped before it started", waiting)
            self._ended = True

    def _apply(self, command: RunCommand) -> None:
        payload = command.payload
        kind, data = payload["type"], payload.get("data") or {}
        if kind == BIND:
            self._alone(command, *self._bound(payload))
        elif kind == ANSWER_READ:
            self._alone(command, *self._resolved({"requestId": payload["requestId"], "outcome": "answered"}, command))
        elif kind == EventType.HUMAN_LOOP_REQUESTED:
            self._alone(command, *self._requested(data, command))
        elif kind == EventType.HUMAN_LOOP_RESOLVED:
            self._alone(command, *self._resolved(data, command))
        elif kind == EventType.RUN_FINISHED:
            self._write()
            self._finish = command
        else:
            self._plain(command, kind, data)

    def _plain(self, command: RunCommand, kind: str, data: Mapping[str, Any]) -> None:
        batch, run, epoch = self._batch, self._run, self._parts.lease.epoch
        shown: Mapping[str, Any] = self._redactor.clean(data)
        if kind == EventType.USAGE_UPDATE:
            shown = usage.add((run.launch or {}).get("usageBefore") or {}, shown)
        elif kind == EventType.TOOL_RESULT:
            shown = self._parts.blobs.shorten(shown)
        draft = self._draft(command, kind, shown)
        batch.drafts.append(draft)
        batch.commands.append(command.id)
        if kind == EventType.TODO_UPDATE:
            batch.changes.append(lambda seq: external_requests.store_todos(run, draft, seq))
        elif kind == EventType.MESSAGE_STOP:
            if shown.get("role", "assistant") == "assistant":
                message = {"message": shown["text"]}
                batch.changes.append(lambda _: runs.set_fields(run.id, epoch, message))
            if self._has_workspace():
                self._parts.sync.request()
        if len(batch.drafts) >= BATCH:
            self._write()

    def _alone(self, command: RunCommand, drafts: Sequence[Draft], change: Change) -> None:
        """What changes the run's state is its own transaction."""
        self._write()
        self._batch = _Batch(list(drafts), [command.id], [change])
        self._write()
        self._run = AgentRun.get_by_id(self._run.id)

    def _write(self) -> None:
        batch, self._batch = self._batch, _Batch([], [], [])
        if not batch.commands:
            return
        last = self._parts.log.last_seq + len(batch.drafts)

        def change(_: int) -> None:
            for each in batch.changes:
                each(last)
            runs.mark_applied(batch.commands, last)

        self._parts.log.append(batch.drafts, change)

    # --- state ---------------------------------------------------------------------------------------------------------------

    def _bound(self, payload: Mapping[str, Any]) -> tuple[list[Draft], Change]:
        """Another executor has the run: its attempt begins, and closes what the one before left open."""
        run, epoch, now = self._run, self._parts.lease.epoch, db.now()
        number = run.attempt + 1
        started = {
            "provider": run.provider,
            "model": run.model,
            "attempt": number,
            "capabilities": CAPABILITIES.as_wire(),
            "executorId": payload["executorId"],
        }
        drafts = [
            now_draft(EventType.RUN_STARTED, started, number),
            now_draft(EventType.CONTEXT_RESTORED, {"mode": "fresh"}, number),
        ]
        drafts += [
            now_draft(EventType.HUMAN_LOOP_RESOLVED, human_loop.closed(request, "superseded"), number)
            for request in human_loop.list_undelivered(run.id)
        ]
        launch = {"provider": run.provider, "model": run.model, "usageBefore": run_launch.usage_so_far(run.id)}
        fields = {"attempt": number, "launch": launch, "started_at": run.started_at or now}
        moved = run.status != RunStatus.RUNNING
        if moved:
            drafts.append(now_draft(EventType.RUN_STATUS, {"status": RunStatus.RUNNING}, number))

        def change(_: int) -> None:
            for draft in drafts:
                if draft.type == EventType.HUMAN_LOOP_RESOLVED:
                    human_loop.resolved(draft.data, now)
            if moved:
                runs.to_running(run.id, epoch, fields)
            else:
                runs.set_fields(run.id, epoch, fields)

        return drafts, change

    def _requested(self, data: Mapping[str, Any], command: RunCommand) -> tuple[list[Draft], Change]:
        run, epoch, now = self._run, self._parts.lease.epoch, command.payload["ts"]
        asked = external_requests.asked(run, self._redactor.clean(data), now)
        drafts = [self._draft(command, asked.type, asked.data)]
        waits = asked.is_new and run.status == RunStatus.RUNNING
        if waits:
            drafts.append(now_draft(EventType.RUN_STATUS, {"status": RunStatus.WAITING_HUMAN}, run.attempt))

        def change(_: int) -> None:
            asked.store()
            if waits:
                runs.to_waiting(run.id, epoch, db.now())

        return (drafts if asked.is_told else []), change

    def _resolved(self, data: Mapping[str, Any], command: RunCommand) -> tuple[list[Draft], Change]:
        run, epoch, now = self._run, self._parts.lease.epoch, db.now()
        resolution = external_requests.resolution(run, self._redactor.clean(data))
        drafts = [self._draft(command, resolution.type, resolution.data)] if resolution.is_told else []
        goes_on = run.status == RunStatus.WAITING_HUMAN and resolution.is_last
        if goes_on:
            drafts.append(now_draft(EventType.RUN_STATUS, {"status": RunStatus.RUNNING}, run.attempt))

        def change(_: int) -> None:
            resolution.store(now)
            if goes_on:
                runs.to_running(run.id, epoch)

        return drafts, change

    def _draft(self, command: RunCommand, kind: str, data: Mapping[str, Any]) -> Draft:
        ts = command.payload.get("ts") or db.now()
        return Draft(kind, data, round(ts, 3), source(self._run.attempt, command.arrival))

    # --- the end -------------------------------------------------------------------------------------------------------------

    def _is_overdue(self) -> bool:
        row = AgentRun.get_by_id(self._run.id)
        return bool(row.finished_at is None and (row.bound_until or 0) <= db.now())

    def _end(self) -> bool:
        """End the run as reported, or for its executor's silence; False where something arrived meanwhile."""
        run = self._run = AgentRun.get_by_id(self._run.id)
        finish = self._finish
        outcome, commands = (_lost(run), []) if finish is None else (_reported(finish.payload["data"]), [finish])
        told = {} if finish is None else finish.payload["data"].get("usage") or {}
        used = run_launch.usage_so_far(run.id)
        if told:
            used = usage.add((run.launch or {}).get("usageBefore") or {}, self._redactor.clean(told))
        if self._has_workspace():
            self._parts.sync.finish(run.attempt)
        try:
            self._parts.ending.end_external(outcome, _Said(used, run.message), [*commands, *_wishes(run)])
        except MoreArrived:
            return False
        return True

    def _has_workspace(self) -> bool:
        """Where no sandbox runs there is nothing that could have been written."""
        worker = worker_rows.find(self._run.session_id)
        return worker is not None and worker.status == WorkerStatus.RUNNING

    def _report(self) -> None:
        self._parts.sync.report(self._run.attempt)

    def _rest(self) -> None:
        self._report()
        self._parts.log.flush()
        runs.hand_back(self._run.id, self._parts.lease.epoch)
        self._parts.lease.lose()
        if runs.list_unapplied(self._run.id):  # it came in between: its bell was for this holder
            self._parts.bell.ring_runs()


def _wishes(run: AgentRun) -> list[RunCommand]:
    return [command for command in runs.list_unapplied(run.id) if command.kind != "external"]


def _lost(run: AgentRun) -> Outcome:
    if run.stop_requested_at is not None:
        return Outcome(RunStatus.CANCELED, "stopped; its executor did not say that it did")
    message = f"Executor {run.executor_id} was not heard of for too long."
    return Outcome(RunStatus.FAILED, "worker_lost", Failure(FailureCode.WORKER_LOST, message, LOST_REMEDY))


def _reported(data: Mapping[str, Any]) -> Outcome:
    status = RunStatus(data["status"])
    reason = data.get("stopReason") or str(status)
    if status != RunStatus.FAILED:
        return Outcome(status, reason)
    code = FailureCode(data.get("failureCode") or FailureCode.AGENT_ERROR)
    message = data.get("message") or f"The executor reported: {reason}."
    return Outcome(status, reason, Failure(code, message, data.get("remedy") or ""))

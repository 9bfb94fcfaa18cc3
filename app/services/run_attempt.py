"""One attempt as its holder lives it: journal records in, events and intents out. ARCHITECTURE decisions 4 and 5.

Every holder steps all records from 1. Events of records that the log has already are dropped; intents whose key has a record
already are done. So whoever drives, and however often the driver dies, the log comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app import ids
from app.domain import usage
from app.domain.events import SQL_FIRST, Draft, EventType, source
from app.domain.journal import Record, agent_id
from app.domain.lease import Lease
from app.domain.policy import Policy
from app.domain.redaction import Redactor
from app.domain.run_state import RunStatus
from app.domain.turn import NOTHING, AskPolicy, EndAgent, Intent, Launch, Outcome, SendInput, Step
from app.models import AgentRun, RunCommand, Todo
from app.ports import AGENT_EXITED, AgentHost, ExecutorError, Turn
from app.services import human_loop, policy, run_launch, runs, steering
from app.services.event_log import RunLog
from app.services.run_blobs import RunBlobs
from app.services.run_output import RunOutput

Change = Callable[[int], None]
STEER = "steer:"
"""Begins the key of the `ctl` record of a message to the agent; the command's id follows."""
GRANT = "grant:"
"""Begins the rule of a verdict that rests on an answer given while the agent was gone; the request's id follows."""


class Attempt:
    """Steps the journal of one attempt for one holder. `outcome` is set once the agent's turn has ended;
    `has_called_tools` once its model is known to have answered."""

    def __init__(self, run: AgentRun, launch: Launch, turn: Turn, parts: AttemptParts) -> None:
        self._run, self._launch, self._turn, self._parts = run, launch, turn, parts
        self.agent_id = agent_id(run.id, launch.attempt)
        self.status = RunStatus(run.status)
        self.outcome: Outcome | None = None
        self.has_called_tools = False
        self.message: str | None = run.message
        self.usage: dict[str, Any] = dict((run.launch or {}).get("usageBefore") or {})
        self.position = 0
        self._usage_before = dict(self.usage)
        self._in_log = parts.log.last_record(launch.attempt)
        self._caught_up_at = 0
        self._pending: dict[str, Intent | Shed] = {}
        self._open_requests: set[str] = set()
        self._open_tools: set[str] = set()
        self._steers: dict[str, bool] = {}  # in the journal: whether the agent has not answered for it
        self._policy = Policy()  # what held when the newest request was asked
        self._grants = {grant["key"]: grant for grant in (run.launch or {}).get("grants") or []}

    def resume_behind(self, last: int) -> None:
        """The journal holds records up to `last` that an earlier holder saw: intents wait until they are stepped."""
        self._caught_up_at = last

    @property
    def output(self) -> RunOutput:
        return self._parts.output

    @property
    def number(self) -> int:
        return self._launch.attempt

    def take(self, record: Record) -> bool:
        """Step one record: its events into the log, then its intents. True when a whole message is newly in the log."""
        self.position = record.n
        if record.key is not None:
            self._pending.pop(record.key, None)
        if record.kind == "ctl" and self._grants:
            self._use_grant(record)
        if record.kind == "ctl" and (record.key or "").startswith(STEER):
            self._steers[str(record.key).removeprefix(STEER)] = True
        step = self._step(record)
        self._note(step)
        if record.n > self._in_log:
            self._write(record, step)
        else:
            self._track_requests(step.events)
            self._remember(step)
        for intent in step.intents:
            self._pending[intent.key] = intent
        if record.n >= self._caught_up_at:
            self._carry_out()
        return record.n > self._in_log and any(kind == EventType.MESSAGE_STOP for kind, _ in step.events)

    def _step(self, record: Record) -> Step:
        output = self._parts.output
        cut_before = output.is_cut
        if output.leaves_out(record):
            return NOTHING
        step = self._turn.step(record)
        step = replace(step, events=output.admit(step.events))
        if output.is_cut and (record.n == 1 or not cut_before):
            self._pending[output.shed_key] = Shed(output.shed_key)
        return step

    def control(self, key: str, payload: Mapping[str, Any]) -> None:
        """Append what the adapter must learn; it meets it when it comes back in order."""
        self._parts.lease.require()
        data = orjson.dumps(payload)
        self._parts.host.write(self.agent_id, "ctl", key, data, epoch=self._parts.lease.epoch)

    def steer(self, command: RunCommand) -> None:
        """Tell the agent what a person said meanwhile; what is in the journal already is told."""
        if command.id not in self._steers:
            self.control(f"{STEER}{command.id}", steering.control_of(command))

    @property
    def has_open_tool(self) -> bool:
        """True while a tool was called that has no result."""
        return bool(self._open_tools)

    @property
    def is_steering(self) -> bool:
        """True while the agent has not answered for a message."""
        return any(self._steers.values())

    def _note(self, step: Step) -> None:
        if step.outcome is not None and self.outcome is None:
            self.outcome = step.outcome
        for kind, data in step.events:
            if kind == EventType.MESSAGE_STOP and data.get("role", "assistant") == "assistant":
                self.message = data["text"]
            elif kind == EventType.USAGE_UPDATE:
                self.usage = usage.add(self._usage_before, data)
            elif kind == EventType.TOOL_CALL:
                self.has_called_tools = True
                self._open_tools.add(data["toolCallId"])
            elif kind == EventType.TOOL_RESULT:
                self._open_tools.discard(data["toolCallId"])
            if "commandId" in data:
                self._steers[data["commandId"]] = False

    def _remember(self, step: Step) -> None:
        """An earlier holder may have died before it wrote down the agent's own name of the conversation."""
        if step.conversation_id is not None and step.conversation_id != self._run.conversation_id:
            self._parts.log.append([], self._change_conversation(step.conversation_id))

    def _change_conversation(self, conversation_id: str) -> Change:
        run_id, epoch = self._run.id, self._parts.lease.epoch
        return lambda _: runs.set_fields(run_id, epoch, {"conversation_id": conversation_id})

    # --- events ------------------------------------------------------------------------------------------------------------

    def _write(self, record: Record, step: Step) -> None:
        if not step.events and step.conversation_id is None:
            return
        src = source(self._launch.attempt, record.n)
        if any(kind == EventType.HUMAN_LOOP_REQUESTED for kind, _ in step.events):
            self._policy = policy.effective(policy.Place(self._run.tenant_id, self._run.session_id))
        drafts = [Draft(kind, self._shown(kind, data, record.t), record.t, src) for kind, data in step.events]
        was_waiting = bool(self._open_requests)
        self._track_requests(step.events)
        moved = self._status_after(was_waiting)
        if moved is not None:
            drafts.append(Draft(EventType.RUN_STATUS, {"status": moved}, record.t, source(self._launch.attempt)))
        self._parts.log.append(drafts, self._change(record, drafts, step, moved))
        if moved is not None:
            self.status = moved

    def _shown(self, kind: str, data: Mapping[str, Any], at: float) -> Mapping[str, Any]:
        if kind == EventType.USAGE_UPDATE:
            data = usage.add(self._usage_before, data)
        elif kind == EventType.HUMAN_LOOP_REQUESTED:
            data = human_loop.with_deadline(data, self._policy, at)
        cleaned: Mapping[str, Any] = self._parts.redactor.clean(data)
        return self._parts.blobs.shorten(cleaned) if kind == EventType.TOOL_RESULT else cleaned

    def _track_requests(self, events: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        for kind, data in events:
            if kind == EventType.HUMAN_LOOP_REQUESTED:
                self._open_requests.add(data["requestId"])
            elif kind == EventType.HUMAN_LOOP_RESOLVED:
                self._open_requests.discard(data["requestId"])

    def _status_after(self, was_waiting: bool) -> RunStatus | None:
        waiting = bool(self._open_requests)
        if waiting and not was_waiting and self.status == RunStatus.RUNNING:
            return RunStatus.WAITING_HUMAN
        if was_waiting and not waiting and self.status == RunStatus.WAITING_HUMAN:
            return RunStatus.RUNNING
        return None

    def _change(self, record: Record, drafts: list[Draft], step: Step, moved: RunStatus | None) -> Change | None:
        """Return what changes in other tables with these events; None where it is text alone."""
        if not any(map(_has_row, drafts)) and step.conversation_id is None:
            return None
        run, epoch, attempt, held = self._run, self._parts.lease.epoch, self._launch.attempt, self._policy

        def change(last_seq: int) -> None:
            for draft in drafts:
                if draft.type == EventType.HUMAN_LOOP_REQUESTED:
                    human_loop.opened(run, attempt, draft.data, record.t, held)
                elif draft.type == EventType.HUMAN_LOOP_RESOLVED:
                    human_loop.resolved(draft.data, record.t)
                elif draft.type == EventType.TODO_UPDATE:
                    _store_todos(run, draft, last_seq)
                else:
                    steering.settle(draft.type, draft.data, last_seq)
            if step.conversation_id is not None:
                runs.set_fields(run.id, epoch, {"conversation_id": step.conversation_id})
            if moved == RunStatus.WAITING_HUMAN:
                runs.to_waiting(run.id, epoch, record.t)
            elif moved == RunStatus.RUNNING:
                runs.to_running(run.id, epoch)

        return change

    # --- intents -----------------------------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        while self._pending:
            intent = self._pending.pop(next(iter(self._pending)))
            self._parts.lease.require()
            try:
                self._act(intent)
            except ExecutorError as error:
                if error.code != AGENT_EXITED:
                    raise

    def _act(self, intent: Intent | Shed) -> None:
        match intent:
            case SendInput(key=key, line=line):
                self._parts.host.write(self.agent_id, "in", key, line, epoch=self._parts.lease.epoch)
            case AskPolicy():
                self._ask_policy(intent)
            case EndAgent():
                self._end(intent)
            case Shed(key=key):
                self._shed(key)

    def _use_grant(self, record: Record) -> None:
        """A verdict that rests on a grant has used it up: it decides one request."""
        rule = str(record.json().get("rule") or "")
        if rule.startswith(GRANT):
            used = rule.removeprefix(GRANT)
            self._grants = {key: grant for key, grant in self._grants.items() if grant["id"] != used}

    def _ask_policy(self, intent: AskPolicy) -> None:
        grant = self._grants.get(run_launch.grant_key(intent.tool, self._parts.redactor.clean(intent.input)))
        verdict = policy.decide(intent, self._launch.options)
        said = {"verdict": verdict.verdict, "rule": verdict.rule}
        if grant is not None and verdict.verdict == "ask":
            said = {"verdict": "allow", "rule": GRANT + grant["id"], **grant.get("verdict", {})}
        self.control(intent.key, {"type": "verdict", "requestId": intent.request_id, **said})

    def _shed(self, key: str) -> None:
        output = self._parts.output
        try:
            self._parts.host.shed(self.agent_id, output.text_lines, key=key, epoch=self._parts.lease.epoch)
        except ExecutorError as error:
            if error.code != "no_such_route":
                raise
            output.is_refused = True  # a sandbox from before this version: `run_limits` ends what gets too much

    def _end(self, intent: EndAgent) -> None:
        self._parts.host.signal(self.agent_id, "TERM", key=intent.key, epoch=self._parts.lease.epoch)


@dataclass(frozen=True, slots=True)
class Shed:
    """The platform's own intent: no more text into the journal."""

    key: str


@dataclass(frozen=True, slots=True)
class AttemptParts:
    """What an attempt works with: the log and lease of its holder, the executor, the secrets to keep out, where long outputs
    go, and the meter of what goes into the log."""

    log: RunLog
    lease: Lease
    host: AgentHost
    redactor: Redactor
    blobs: RunBlobs
    output: RunOutput


def _has_row(draft: Draft) -> bool:
    return draft.type in SQL_FIRST or draft.type == EventType.TODO_UPDATE or "commandId" in draft.data


def _store_todos(run: AgentRun, draft: Draft, seq: int) -> None:
    row = {"items": draft.data["todos"], "seq": seq, "updated_at": draft.ts}
    Todo.insert(run_id=run.id, tenant_id=run.tenant_id, **row).on_conflict(
        conflict_target=[Todo.run_id], update=row
    ).execute()


def now_draft(kind: str, data: Mapping[str, Any], attempt: int) -> Draft:
    """Return an event that the driver makes itself, now."""
    return Draft(kind, data, round(ids.now().timestamp(), 3), source(attempt))

"""Runs and sandboxes moved at random by holders that hold, lost and never had their lease: only as SPEC §2 says (R17).

Hypothesis chooses the order of calls and who makes them. After each call all rows are compared with what they were: the tables
below are SPEC's, written down once more, so that the product's own table is not asked about itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app import db
from app.domain.failure import Failure, FailureCode
from app.domain.lease import Lease
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.errors import Conflict, Invalid, LeaseLost
from app.models import AgentRun, ChatSession, HumanLoopRequest, RunCommand, RunEvent, SessionWorker, UsageLog, User
from app.services import human_loop, run_claims, run_creation, runs, worker_rows
from app.services.event_log import RunLog
from app.services.run_attempt import now_draft
from app.services.run_creation import NewRun, NewSession
from app.services.run_ending import RunEnding
from tests.factories import SilentBell
from tests.support.verdicts import LONG, Figures
from tests.support.world import World, open_world

STEPS, EXAMPLES = (100, 120) if LONG else (25, 15)
TERMINAL = {"succeeded", "failed", "canceled", "blocked"}
RUN_MOVES = {
    "queued": {"claimed", "canceled"},
    "claimed": {"running", "queued", "blocked", "failed", "canceled"},
    "running": {"waiting_human", "queued", "succeeded", "failed", "canceled"},
    "waiting_human": {"running", "queued", "failed", "canceled"},
    **{status: set() for status in TERMINAL},
}
WORKER_MOVES = {
    "created": {"starting"},
    "starting": {"running"},
    "running": {"stopping"},
    "stopping": {"stopped", "running"},  # running again: what could not be saved is kept
    "stopped": {"starting", "removing"},
    "removing": {"deleted"},
    "deleted": {"created", "starting"},
    "error": {"starting"},
}
"""And any of them to `error`, and to `deleted` where the sandbox has vanished (all but `created`)."""
NEXT = {
    "created": ["start"],
    "starting": ["run", "run", "run", "error", "deleted"],
    "running": ["stop", "stop", "stop", "error", "deleted"],
    "stopping": ["stopped", "stopped", "kept", "again", "error", "deleted"],
    "stopped": ["start", "remove", "remove", "error", "deleted"],
    "removing": ["deleted", "deleted", "error"],
    "deleted": ["start", "start", "error"],
    "error": ["start", "salvage", "salvaged", "deleted"],
}
"""What an operation does to a sandbox in each state."""
MAY_CHANGE_AT_THE_END = {"stream_closed_at"}
TABLES = (RunEvent, RunCommand, HumanLoopRequest, UsageLog, AgentRun, SessionWorker, ChatSession)
PICK = st.integers(0, 1_000)


class Moves(RuleBasedStateMachine):
    """Three sessions, some runs in each, and every holder that ever was."""

    world: World
    steps = 0
    seen: set[tuple[str, str, str]]

    @initialize()
    def begin(self) -> None:
        for table in TABLES:
            table.delete().execute()  # type: ignore[no-untyped-call]
        self.bell = SilentBell()
        self.user = User.get()
        self.holders: list[tuple[AgentRun, Lease]] = []
        self.operators: list[SessionWorker] = []
        self.sessions: list[str] = []
        self.runs_before: dict[str, dict[str, Any]] = {}
        self.workers_before: dict[str, dict[str, Any]] = {}
        self.asked = 0
        for place in (0, 0, 1, 1):
            self.create(place, "enqueue", False)
        other = ChatSession.get_by_id(self.sessions[0])
        self.idle = "ses_idle"  # has no run, so nothing keeps its sandbox from being stopped
        ChatSession.insert(
            id=self.idle,
            tenant_id=other.tenant_id,
            user_id=other.user_id,
            provider="scripted",
            created_at=other.created_at,
            updated_at=other.updated_at,
        ).execute()
        self.runs_before = {row["id"]: row for row in _rows(AgentRun)}
        self.claim()

    # --- people ------------------------------------------------------------------------------------------------------------

    @rule(
        place=st.integers(0, 2),
        busy=st.sampled_from(["enqueue", "enqueue", "reject", "interrupt"]),
        first=st.booleans(),
    )
    def create(self, place: int, busy: Any, first: bool) -> None:
        session: str | NewSession = self.sessions[place] if place < len(self.sessions) else NewSession()
        new = NewRun(
            self.user.tenant_id, self.user.id, session, "scripted", "x", on_busy=busy, priority=5 if first else 0
        )
        try:
            run = run_creation.create(new, self.bell)
        except Conflict as conflict:
            if conflict.code != "session_busy":
                raise
            return
        if run.session_id not in self.sessions:
            self.sessions.append(run.session_id)

    @rule(pick=PICK)
    def ask_to_stop(self, pick: int) -> None:
        run = self._run(pick)
        if run is not None and run.finished_at is None:
            with db.transaction():
                run_creation.add_command(run.tenant_id, run.id, "stop", "stop", {"by": "x", "reason": "stopped"})

    @rule(pick=PICK, onto=PICK)
    def change_places(self, pick: int, onto: int) -> None:
        one, other = self._run(pick), self._run(onto)
        if one is not None and other is not None and one.id != other.id:
            self._refusable(lambda: runs.move(one, other))

    @rule(pick=PICK)
    def answer(self, pick: int) -> None:
        requests = list(HumanLoopRequest.select().order_by(HumanLoopRequest.id))
        if requests:
            reply = human_loop.Reply(decision="allow")
            self._refusable(lambda: human_loop.reply(requests[pick % len(requests)], reply, "x", self.bell))

    # --- leases ------------------------------------------------------------------------------------------------------------

    @rule()
    def claim(self) -> None:
        before = {row["id"]: row for row in _rows(AgentRun)}
        claim = run_claims.take_next("w", 60)
        if claim is None:
            return
        was = before[claim.run.id]
        assert claim.run.epoch == was["epoch"] + 1
        assert was["lease_until"] is None or was["lease_until"] < db.now()
        if claim.run.status != was["status"]:
            older = [row for row in before.values() if row["session_id"] == was["session_id"]]
            assert all(row["finished_at"] for row in older if row["session_seq"] < was["session_seq"])  # its turn
        self.holders.append((claim.run, Lease(claim.run.id, claim.run.epoch, "w", 3600)))

    @rule(pick=PICK)
    def renew(self, pick: int) -> None:
        self._held(pick, lambda run: runs.renew(run.id, run.epoch, 60))

    @rule(pick=PICK)
    def hand_back(self, pick: int) -> None:
        self._held(pick, lambda run: runs.hand_back(run.id, run.epoch))

    @rule(pick=PICK)
    def let_go(self, pick: int) -> None:
        self._held(pick, lambda run: runs.let_go(run.id, run.epoch, 1))

    @rule(pick=PICK)
    def take_up(self, pick: int) -> None:
        run = self._run(pick)
        if run is not None and run.let_go_at is not None:
            runs.take_up(run)

    @rule(pick=PICK)
    def expire(self, pick: int) -> None:
        """As if time had passed: the lease is over, the next try is due."""
        run = self._run(pick)
        if run is not None and run.finished_at is None:
            past = db.now() - 1
            AgentRun.update(lease_until=past).where(
                AgentRun.id == run.id, AgentRun.lease_until.is_null(False)
            ).execute()
            AgentRun.update(retry_at=past).where(AgentRun.id == run.id, AgentRun.retry_at.is_null(False)).execute()

    @rule()
    def forget_holders(self) -> None:
        """As after a restore; seldom, because it frees everything."""
        if self.steps % 10 == 0:
            runs.forget_holders()

    # --- a holder's moves ---------------------------------------------------------------------------------------------------

    @rule(pick=PICK, to=st.sampled_from([status for status in RunStatus if status != RunStatus.CLAIMED]))
    def move(self, pick: int, to: RunStatus) -> None:
        """Any holder, of now or of before, tries any move without asking what it is in."""
        self._held(pick, lambda run: _moves(run)[to]())

    @rule(pick=PICK, ways=st.lists(st.integers(0, 9), min_size=1, max_size=4))
    def go_on(self, pick: int, ways: list[int]) -> None:
        """The holder of a run makes moves that its table admits; where there is none, somebody claims."""
        open_runs = list(AgentRun.select().where(AgentRun.finished_at.is_null()).order_by(AgentRun.id))
        if not open_runs:
            return
        run_id = open_runs[pick % len(open_runs)].id
        for way in ways:
            self._go_on(AgentRun.get_by_id(run_id), way)
            self.runs_moved_only_as_the_table_says()

    def _go_on(self, run: AgentRun, way: int) -> None:
        moves = sorted(RUN_MOVES[run.status])
        if not moves:
            return
        to = moves[way % len(moves)]
        holder = next((held for held, _ in self.holders if (held.id, held.epoch) == (run.id, run.epoch)), None)
        if holder is None or to == "claimed" or (run.lease_until is None and run.status == "queued"):
            self.claim()
        else:
            _moves(holder)[RunStatus(to)]()
            assert AgentRun.get_by_id(run.id).status == to

    @rule(pick=PICK)
    def cancel_in_the_queue(self, pick: int) -> None:
        """A stop of a run that waits behind others is a command: whoever claims it for that ends it."""
        run = self._run(pick)
        if run is None or run.status != "queued":
            return
        self.ask_to_stop(pick)
        for _ in range(6):
            self.claim()
            held = self.holders[-1][0] if self.holders else None
            if held is not None and held.id == run.id and held.epoch > run.epoch:
                RunEnding(run.id, self._lease(held), self._log(held), self.world.settings).cancel("stopped", [])
                return

    @rule(pick=PICK)
    def start_agent(self, pick: int) -> None:
        self._held(pick, lambda run: runs.to_running(run.id, run.epoch, {"attempt": run.attempt + 1}))

    @rule(pick=PICK)
    def ask_a_person(self, pick: int) -> None:
        self.asked += 1
        data = {"requestId": f"hlr_{self.asked}", "kind": "approval", "title": "go on?", "options": ["allow", "deny"]}

        def ask(run: AgentRun) -> None:
            def change(_: int) -> None:
                runs.to_waiting(run.id, run.epoch, db.now())
                human_loop.opened(run, 1, data, db.now())

            self._log(run).append([now_draft("human_loop.requested", data, 1)], change)

        self._held(pick, ask)

    @rule(pick=PICK, how=st.sampled_from(["cancel", "refuse", "block", "succeed", "fail", "fail for now", "die"]))
    def end(self, pick: int, how: str) -> None:
        def end(run: AgentRun) -> None:
            ending = RunEnding(run.id, self._lease(run), self._log(run), self.world.settings)
            may_pass = Failure(FailureCode.TRANSPORT_ERROR, "x", retryable=True)
            for_good = Failure(FailureCode.MODEL_INVALID, "x", retryable=False)
            {
                "cancel": lambda: ending.cancel("stopped", runs.list_unapplied(run.id)),
                "refuse": lambda: ending.refuse(for_good),
                "block": lambda: ending.refuse(Failure(FailureCode.CAPABILITY_MISSING, "x")),
                "succeed": lambda: ending.end_attempt(None, Outcome(RunStatus.SUCCEEDED, "end_turn")),
                "fail": lambda: ending.end_attempt(None, Outcome(RunStatus.FAILED, "x", for_good)),
                "fail for now": lambda: ending.end_attempt(None, Outcome(RunStatus.FAILED, "x", may_pass)),
                "die": lambda: ending.give_up_dead(lambda: None),
            }[how]()

        self._held(pick, end)

    @rule(pick=PICK, status=st.sampled_from(["nonsense", "succeeded", "running", "claimed"]))
    def write_past_the_product(self, pick: int, status: str) -> None:
        """SQL itself refuses a word that is no state, and an end without its time."""
        run = self._run(pick)
        if run is None or ((status in TERMINAL) == (run.finished_at is not None) and status != "nonsense"):
            return
        with pytest.raises(peewee.IntegrityError), db.transaction():
            AgentRun.update(status=status).where(AgentRun.id == run.id).execute()

    # --- sandboxes ----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.sessions)
    @rule(pick=PICK, expire=st.booleans())
    def take_worker(self, pick: int, expire: bool) -> None:
        session = ChatSession.get_by_id(self.sessions[pick % len(self.sessions)])
        worker_rows.ensure(session)
        if expire:
            SessionWorker.update(lease_until=0).where(SessionWorker.session_id == session.id).execute()
        taken = worker_rows.take_lease(session.id, "w", 60)
        if taken is not None:
            self.operators.append(taken)

    @precondition(lambda self: self.sessions)
    @rule(pick=PICK, ways=st.lists(st.integers(0, 9), min_size=1, max_size=6))
    def go_on_with_worker(self, pick: int, ways: list[int]) -> None:
        """Whoever comes after an operation that was cut off takes the lease and does what the table admits next."""
        places = [self.idle, self.idle, *self.sessions]
        session_id = places[pick % len(places)]
        worker_rows.ensure(ChatSession.get_by_id(session_id))
        SessionWorker.update(lease_until=0).where(SessionWorker.session_id == session_id).execute()
        worker = worker_rows.take_lease(session_id, "w", 60)
        assert worker is not None
        self.operators.append(worker)
        for way in ways:
            steps = NEXT[worker_rows.get(session_id).status]
            self._operate(len(self.operators) - 1, steps[way % len(steps)])
            self.sandboxes_moved_only_as_the_table_says()

    @precondition(lambda self: self.operators)
    @rule(
        pick=PICK,
        step=st.sampled_from(sorted(["start", "run", "stop", "stopped", "kept", "remove", "deleted", "error"])),
    )
    def operate(self, pick: int, step: str) -> None:
        """An operation's next step, by whoever thinks that he still has the lease; mostly the latest."""
        at = len(self.operators) - 1 if pick % 3 else pick % len(self.operators)
        self._operate(at, step)

    @precondition(lambda self: self.operators)
    @rule(pick=PICK, step=st.sampled_from(["salvage", "salvaged", "again"]))
    def salvage(self, pick: int, step: str) -> None:
        self._operate(pick % len(self.operators), step)

    def _operate(self, at: int, step: str) -> None:
        worker = self.operators[at]
        receipt = {"generation": worker.generation, "startedAt": 0, "snapshotId": "snp_1"}
        steps: dict[str, Callable[[], SessionWorker]] = {
            "start": lambda: worker_rows.begin_start(worker),
            "run": lambda: worker_rows.mark_running(worker),
            "stop": lambda: worker_rows.begin_stop(worker),
            "stopped": lambda: worker_rows.mark_stopped(worker, receipt),
            "kept": lambda: worker_rows.stop_failed(worker, "x"),
            "remove": lambda: worker_rows.begin_remove(worker),
            "deleted": lambda: worker_rows.mark_deleted(worker),
            "error": lambda: worker_rows.mark_error(worker, "x"),
            "salvage": lambda: worker_rows.begin_salvage(worker),
            "salvaged": lambda: worker_rows.mark_salvaged(worker, receipt),
            "again": lambda: worker_rows.renew_generation(worker),
        }
        now = worker_rows.get(worker.session_id)
        try:
            self.operators[at] = steps[step]()
        except (LeaseLost, Conflict):
            return
        assert now.lease_epoch == worker.lease_epoch  # nobody else's

    # --- what holds always ---------------------------------------------------------------------------------------------------

    @invariant()
    def runs_moved_only_as_the_table_says(self) -> None:
        type(self).steps += 1
        now = {row["id"]: row for row in _rows(AgentRun)}
        for run_id, was in self.runs_before.items():
            row = now[run_id]
            assert row["status"] == was["status"] or row["status"] in RUN_MOVES[was["status"]], (was, row)
            self.seen.add(("run", was["status"], row["status"]))
            assert row["epoch"] >= was["epoch"]
            assert row["last_seq"] >= was["last_seq"]
            if was["status"] in TERMINAL:
                changed = {name for name in row if row[name] != was[name]}
                assert changed <= MAY_CHANGE_AT_THE_END, changed
        for row in now.values():
            assert (row["finished_at"] is not None) == (row["status"] in TERMINAL)
            assert row["status"] == "queued" or run_id_was_known(self.runs_before, row)
        active = [row["session_id"] for row in now.values() if row["status"] in {"claimed", "running", "waiting_human"}]
        assert len(active) == len(set(active))
        self.runs_before = now

    @invariant()
    def sandboxes_moved_only_as_the_table_says(self) -> None:
        now = {row["session_id"]: row for row in _rows(SessionWorker)}
        for session_id, was in self.workers_before.items():
            before, after = was["status"], now[session_id]["status"]
            vanished = after == "deleted" and before != "created"
            assert after in {before, "error"} | WORKER_MOVES[before] or vanished, (before, after)
            self.seen.add(("worker", before, after))
            assert now[session_id]["generation"] >= was["generation"]
            assert now[session_id]["lease_epoch"] >= was["lease_epoch"]
        self.workers_before = now

    # --- inside --------------------------------------------------------------------------------------------------------------

    def _run(self, pick: int) -> AgentRun | None:
        found = list(AgentRun.select().order_by(AgentRun.id))
        return found[pick % len(found)] if found else None

    def _held(self, pick: int, act: Callable[[AgentRun], object]) -> None:
        """Somebody who had a lease acts on it; mostly one of the latest. What he may not do changes nothing."""
        if not self.holders:
            return
        at = -1 - pick % min(3, len(self.holders)) if pick % 4 else pick % len(self.holders)
        run = self.holders[at][0]
        before = {row["id"]: row for row in _rows(AgentRun)}[run.id]
        try:
            act(run)
        except (LeaseLost, peewee.IntegrityError):
            after = {row["id"]: row for row in _rows(AgentRun)}[run.id]
            assert after["status"] == before["status"]
            return
        after = {row["id"]: row for row in _rows(AgentRun)}[run.id]
        assert after["status"] == before["status"] or before["epoch"] == run.epoch  # nobody else moved it

    def _lease(self, run: AgentRun) -> Lease:
        return next(lease for held, lease in self.holders if held.id == run.id and held.epoch == run.epoch)

    def _log(self, run: AgentRun) -> RunLog:
        lease = Lease(run.id, run.epoch, "w", 3600)
        return RunLog.open(run, lease, self.world.container.stream)

    def _refusable(self, act: Callable[[], object]) -> None:
        with suppress(Conflict, Invalid):
            act()


def run_id_was_known(before: dict[str, dict[str, Any]], row: dict[str, Any]) -> bool:
    """A run that is not queued was there before: every run begins queued."""
    return row["id"] in before


def _moves(run: AgentRun) -> dict[RunStatus, Callable[[], None]]:
    """Each move of `runs` by itself, as its holder would write it in a transaction of the log."""

    def to_terminal(status: RunStatus) -> Callable[[], None]:
        return lambda: runs.to_terminal(run.id, run.epoch, status, now=db.now(), fields={})

    return {
        RunStatus.QUEUED: lambda: runs.to_queued(run.id, run.epoch, retry_at=db.now(), counters={}),
        RunStatus.RUNNING: lambda: runs.to_running(run.id, run.epoch),
        RunStatus.WAITING_HUMAN: lambda: runs.to_waiting(run.id, run.epoch, db.now()),
        **{status: to_terminal(status) for status in (RunStatus.SUCCEEDED, RunStatus.FAILED)},
        **{status: to_terminal(status) for status in (RunStatus.CANCELED, RunStatus.BLOCKED)},
    }


def _rows(table: Any) -> list[dict[str, Any]]:
    return list(table.select().dicts())


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, retry_delay_ms=1.0) as world:
        yield world


@pytest.mark.promise("R17")
@pytest.mark.timeout(3600)
def test_states_move_only_as_their_tables_say(world: World, figures: Figures) -> None:
    machine = type("Machine", (Moves,), {"world": world, "steps": 0, "seen": set()})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],  # shrinking takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
    tables = {"run": RUN_MOVES, "worker": WORKER_MOVES}
    all_moves = {(of, source, to) for of, table in tables.items() for source, moves in table.items() for to in moves}
    all_moves.remove(("worker", "deleted", "created"))  # nothing does that: a deleted one starts
    missed = all_moves - machine.seen
    seen = f"{len(all_moves) - len(missed)} of {len(all_moves)}"
    figures.add("kinds of moves seen", seen)
    figures.add("steps", machine.steps, bar=">= 10,000" if LONG else "", met=not LONG or machine.steps >= 10_000)
    figures.add("illegal transitions", 0, bar="= 0")

"""Creating, claiming and ordering runs in SQL, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading

import peewee
import pytest

from app import db
from app.domain.run_state import TRANSITIONS, RunStatus
from app.errors import Conflict
from app.models import AgentRun, ChatSession, RunCommand, RunEvent
from app.services import human_loop, run_claims, runs
from app.services.identity import bootstrap
from app.services.run_creation import NewRun, NewSession, create

LEASE = 30.0


class SilentBell:
    """Counts rings; nobody listens."""

    def __init__(self) -> None:
        self.rings: list[str] = []

    def ring_runs(self) -> None:
        self.rings.append("runs")

    def ring_session_worker(self, session_id: str) -> None:
        self.rings.append(session_id)

    def ring_command(self, run_id: str) -> None:
        self.rings.append(run_id)


@pytest.fixture
def bell(database: peewee.Database) -> SilentBell:
    bootstrap("pdk_test")
    return SilentBell()


def owner() -> tuple[str, str]:
    row = db.proxy.obj.execute_sql("SELECT tenant_id, id FROM users").fetchone()
    return row[0], row[1]


def new_run(session: str | NewSession | None = None, **more: object) -> NewRun:
    tenant_id, user_id = owner()
    return NewRun(tenant_id, user_id, session or NewSession(), "scripted", "hello", **more)  # type: ignore[arg-type]


def test_a_new_run_has_its_first_event_and_rings(bell: SilentBell) -> None:
    run = create(new_run(), bell)
    assert run.status == RunStatus.QUEUED
    events = list(RunEvent.select().where(RunEvent.run_id == run.id))
    assert [(event.seq, event.type, event.data["status"]) for event in events] == [(1, "run.status", "queued")]
    assert bell.rings == ["runs"]
    assert ChatSession.get_by_id(run.session_id).title == "hello"


def test_a_claim_takes_the_head_of_each_session_only(bell: SilentBell) -> None:
    first = create(new_run(), bell)
    second = create(new_run(first.session_id), bell)
    other = create(new_run(), bell)
    claimed = [run_claims.take_next("w", LEASE), run_claims.take_next("w", LEASE), run_claims.take_next("w", LEASE)]
    assert [claim.run.id if claim else None for claim in claimed] == [first.id, other.id, None]
    runs.to_terminal(first.id, 1, RunStatus.CANCELED, now=db.now(), fields={})
    claim = run_claims.take_next("w", LEASE)
    assert claim is not None
    assert (claim.run.id, claim.run.epoch, claim.run.status) == (second.id, 1, RunStatus.CLAIMED)


def test_priority_orders_sessions_and_never_runs_within_one(bell: SilentBell) -> None:
    low = create(new_run(), bell)
    create(new_run(low.session_id, priority=9), bell)
    high = create(new_run(priority=5), bell)
    order = [run_claims.take_next("w", LEASE), run_claims.take_next("w", LEASE)]
    assert [claim.run.id for claim in order if claim] == [high.id, low.id]


def test_a_run_that_waits_for_its_retry_keeps_its_place(bell: SilentBell) -> None:
    first = create(new_run(), bell)
    create(new_run(first.session_id), bell)
    claim = run_claims.take_next("w", LEASE)
    assert claim is not None
    runs.to_queued(first.id, 1, retry_at=db.now() + 60, counters={"failures": 1})
    assert run_claims.take_next("w", LEASE) is None
    AgentRun.update(retry_at=db.now() - 1).where(AgentRun.id == first.id).execute()
    again = run_claims.take_next("w", LEASE)
    assert again is not None
    assert (again.run.id, again.run.epoch) == (first.id, 2)


def test_a_lease_that_is_over_is_claimed_with_the_next_epoch_and_counts_as_lost(bell: SilentBell) -> None:
    run = create(new_run(), bell)
    assert run_claims.take_next("a", LEASE) is not None
    assert run_claims.take_next("b", LEASE) is None
    AgentRun.update(lease_until=db.now() - 1).where(AgentRun.id == run.id).execute()
    taken = run_claims.take_next("b", LEASE)
    assert taken is not None
    assert (taken.run.epoch, taken.lost_lease, taken.run.lease_owner) == (2, True, "b")
    assert not runs.renew(run.id, 1, LEASE)
    assert runs.renew(run.id, 2, LEASE)
    assert runs.hand_back(run.id, 2)
    back = run_claims.take_next("c", LEASE)
    assert back is not None
    assert not back.lost_lease


def test_reject_refuses_a_busy_session_and_leaves_nothing(bell: SilentBell) -> None:
    first = create(new_run(), bell)
    with pytest.raises(Conflict) as refused:
        create(new_run(first.session_id, on_busy="reject"), bell)
    assert refused.value.code == "session_busy"
    assert AgentRun.select().count() == 1
    assert ChatSession.get_by_id(first.session_id).last_seq == 1


def test_interrupt_wishes_a_stop_for_every_older_open_run(bell: SilentBell) -> None:
    first = create(new_run(), bell)
    second = create(new_run(first.session_id), bell)
    third = create(new_run(first.session_id, on_busy="interrupt"), bell)
    stops = RunCommand.select().where(RunCommand.kind == "stop")
    assert {command.run_id for command in stops} == {first.id, second.id}
    assert AgentRun.get_by_id(first.id).stop_requested_at is not None
    assert AgentRun.get_by_id(third.id).stop_requested_at is None


def test_a_queued_run_with_a_command_is_claimed_for_the_command_alone(bell: SilentBell) -> None:
    first = create(new_run(), bell)
    second = create(new_run(first.session_id), bell)
    assert run_claims.take_next("w", LEASE) is not None
    create(new_run(first.session_id, on_busy="interrupt"), bell)
    claim = run_claims.take_next("w", LEASE)
    assert claim is not None
    assert (claim.run.id, claim.turn, claim.run.status) == (second.id, False, RunStatus.QUEUED)


def test_a_queued_run_can_be_moved_before_another_of_its_session(bell: SilentBell) -> None:
    first = create(new_run(), bell)
    second = create(new_run(first.session_id), bell)
    third = create(new_run(first.session_id), bell)
    runs.move(AgentRun.get_by_id(third.id), AgentRun.get_by_id(second.id))
    order = AgentRun.select().where(AgentRun.session_id == first.session_id).order_by(AgentRun.session_seq)
    assert [run.id for run in order] == [first.id, third.id, second.id]
    run_claims.take_next("w", LEASE)
    with pytest.raises(Conflict):
        runs.move(AgentRun.get_by_id(first.id), AgentRun.get_by_id(second.id))


def test_the_database_itself_refuses_two_active_runs_of_a_session(bell: SilentBell) -> None:
    first = create(new_run(), bell)
    second = create(new_run(first.session_id), bell)
    run_claims.take_next("w", LEASE)
    with pytest.raises(peewee.IntegrityError), db.transaction():
        AgentRun.update(status=RunStatus.RUNNING).where(AgentRun.id == second.id).execute()


def test_sql_knows_the_same_states_as_the_domain(bell: SilentBell) -> None:
    run = create(new_run(), bell)
    for status in TRANSITIONS:
        finished = db.now() if not TRANSITIONS[status] else None
        with db.transaction():
            AgentRun.update(status=status, finished_at=finished).where(AgentRun.id == run.id).execute()
    with pytest.raises(peewee.IntegrityError), db.transaction():
        AgentRun.update(status="dead").where(AgentRun.id == run.id).execute()


def test_terminal_states_never_change(bell: SilentBell) -> None:
    run = create(new_run(), bell)
    run_claims.take_next("w", LEASE)
    runs.to_terminal(run.id, 1, RunStatus.FAILED, now=db.now(), fields={})
    for move in (
        lambda: runs.to_running(run.id, 1),
        lambda: runs.to_waiting(run.id, 1, 0.0),
        lambda: runs.to_queued(run.id, 1, retry_at=0, counters={}),
        lambda: runs.to_terminal(run.id, 1, RunStatus.SUCCEEDED, now=db.now(), fields={}),
    ):
        with pytest.raises(Exception, match="not this holder's"):
            move()
    assert AgentRun.get_by_id(run.id).status == RunStatus.FAILED


def test_many_claimers_never_share_a_session(bell: SilentBell) -> None:
    sessions = [create(new_run(), bell).session_id for _ in range(8)]
    for session_id in sessions:
        for _ in range(4):
            create(new_run(session_id), bell)
    order: dict[str, list[int]] = {session_id: [] for session_id in sessions}
    errors: list[Exception] = []
    lock = threading.Lock()

    def work() -> None:
        try:
            with db.connection():
                while AgentRun.select().where(AgentRun.finished_at.is_null()).exists():
                    claim = run_claims.take_next("w", LEASE)
                    if claim is None:
                        continue
                    with lock:
                        order[claim.run.session_id].append(claim.run.session_seq)
                    runs.to_running(claim.run.id, claim.run.epoch)
                    runs.to_terminal(claim.run.id, claim.run.epoch, RunStatus.SUCCEEDED, now=db.now(), fields={})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(seen == [1, 2, 3, 4, 5] for seen in order.values())


def test_one_of_many_replies_wins_and_the_others_get_it_back(bell: SilentBell) -> None:
    run = create(new_run(), bell)
    data = {"requestId": "hlr_1", "kind": "approval", "title": "write a.txt", "options": ["allow", "deny"]}
    human_loop.opened(run, 1, data, db.now())
    request = human_loop.HumanLoopRequest.get_by_id("hlr_1")
    results: list[human_loop.ReplyResult] = []

    def answer(number: int) -> None:
        with db.connection():
            decision = "allow" if number % 2 else "deny"
            results.append(human_loop.reply(request, human_loop.Reply(decision=decision), f"usr_{number}", bell))

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.duplicate for result in results) == [False] + [True] * 19
    assert len({str(result.reply) for result in results}) == 1
    assert RunCommand.select().where(RunCommand.kind == "answer").count() == 1

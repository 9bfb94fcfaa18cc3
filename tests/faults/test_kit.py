"""The fault kit itself: the checker finds what is planted, and says nothing of an installation that is well; the nemesis does what its
seed says and leaves nobody stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.domain import storage
from app.domain.journal import agent_id
from app.models import AgentRun, RunEvent
from app.ports import EVERY_GENERATION, SandboxSpec
from executor import processes
from tests.faults.kit import evidence
from tests.faults.kit.checker import Scope, Verdict, examine
from tests.faults.kit.nemesis import Nemesis, Threat
from tests.support.waiting import eventually
from tests.support.world import World, open_world

ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PROMPT = "/say begun\n/run echo made > made.txt\n/run seq 1 9000\n/say done"


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url) as world:
        yield world


@pytest.fixture
def run(world: World) -> AgentRun:
    """A run that has ended well, with a file, and with an output that is too long for its event."""
    world.create(PROMPT, options={"approval": "all"})
    return world.drive()


def verdict(world: World, run: AgentRun) -> Verdict:
    return examine(world.container, Scope([run.id]))


def first_seq(run: AgentRun, kind: str) -> int:
    rows = RunEvent.select().where(RunEvent.run_id == run.id, RunEvent.type == kind)
    return int(rows.order_by(RunEvent.seq).get().seq)


def lose_an_event(world: World, run: AgentRun) -> None:
    RunEvent.delete().where(RunEvent.run_id == run.id, RunEvent.seq == first_seq(run, "message.delta")).execute()


def double_an_event(world: World, run: AgentRun) -> None:
    """As a writer without a fence would: the same again, under the next number."""
    row = RunEvent.get(RunEvent.run_id == run.id, RunEvent.type == "message.stop")
    RunEvent.insert(
        run_id=run.id,
        seq=run.last_seq + 1,
        tenant_id=run.tenant_id,
        type=row.type,
        ts=row.ts,
        src=row.src,
        data=row.data,
    ).execute()


def finish_again(world: World, run: AgentRun) -> None:
    RunEvent.update(type="run.finished").where(
        RunEvent.run_id == run.id, RunEvent.seq == first_seq(run, "run.status")
    ).execute()


def begin_again(world: World, run: AgentRun) -> None:
    RunEvent.update(type="run.started").where(
        RunEvent.run_id == run.id, RunEvent.seq == first_seq(run, "context.restored")
    ).execute()


def spawn_again(world: World, run: AgentRun) -> None:
    """As an executor would that starts an agent of the same run under another attempt's name."""
    journals = world.settings.root / "sandboxes" / run.session_id / "state/journals"
    second = journals / agent_id(run.id, 2)
    second.mkdir()
    for segment in (journals / agent_id(run.id, 1)).glob("*.seg"):
        (second / segment.name).write_bytes(segment.read_bytes())
    AgentRun.update(attempt=2).where(AgentRun.id == run.id).execute()


def forget_the_journal(world: World, run: AgentRun) -> None:
    AgentRun.update(attempt=3).where(AgentRun.id == run.id).execute()


def lose_a_blob(world: World, run: AgentRun) -> None:
    snapshot = world.container.snapshots.newest(run.session_id)
    assert snapshot is not None
    sha256 = min(world.container.snapshots.manifest(snapshot).hashes())
    world.container.store.delete(storage.blob_key(run.tenant_id, run.session_id, sha256))


def lose_an_events_blob(world: World, run: AgentRun) -> None:
    rows = RunEvent.select().where(RunEvent.run_id == run.id, RunEvent.type == "tool.result")
    blob_id = next(row.data["blobId"] for row in rows if "blobId" in row.data)
    world.container.store.delete(storage.blob_key(run.tenant_id, run.session_id, blob_id))


def reopen(world: World, run: AgentRun) -> None:
    AgentRun.update(status="running", finished_at=None).where(AgentRun.id == run.id).execute()


def fail(world: World, run: AgentRun) -> None:
    AgentRun.update(status="failed", failure_code="poison").where(AgentRun.id == run.id).execute()


def change_the_stream(world: World, run: AgentRun) -> None:
    world.container.redis.delete(f"paddock:run:{run.id}:events")
    world.container.redis.xadd(
        f"paddock:run:{run.id}:events",
        {"type": "message.delta", "ts": "2026-01-01T00:00:00.000Z", "src": "1:1", "data": "{}"},
        id=f"1-{run.last_seq}",
    )


PLANTED: dict[str, tuple[Callable[[World, AgentRun], None], str]] = {
    "a lost event": (lose_an_event, "gaps"),
    "a doubled event": (double_an_event, "doubled"),
    "a second end": (finish_again, "finished_twice"),
    "a second begin": (begin_again, "doubled"),
    "a second agent": (spawn_again, "restarted"),
    "a journal that is gone": (forget_the_journal, "unseen"),
    "a lost blob": (lose_a_blob, "missing_blobs"),
    "a lost blob of an event": (lose_an_events_blob, "missing_blobs"),
    "a run that failed": (fail, "failed"),
    "a stream that tells otherwise": (change_the_stream, "differing"),
    "a run that never ended": (reopen, "lost"),
}


@ONE
def test_an_installation_that_is_well_gets_a_clean_verdict(world: World, run: AgentRun) -> None:
    found = verdict(world, run)
    assert found.wrong == {}, str(found)
    assert (found.runs, found.events, found.starts, found.executor_deaths) == (1, run.last_seq, 1, 0)


@ONE
def test_the_checker_finds_each_fault_that_is_planted(world: World, run: AgentRun) -> None:
    before = verdict(world, run).wrong
    for fault, (plant, named) in PLANTED.items():
        plant(world, world.run(run.id))
        after = verdict(world, run).wrong
        assert set(after.get(named, ())) - set(before.get(named, ())), (fault, after)
        before = after


@ONE
def test_a_run_without_a_row_is_lost(world: World) -> None:
    assert examine(world.container, Scope(["run_unknown"])).lost == ("run_unknown has no row",)


@ONE
def test_what_is_left_running_is_found(world: World, run: AgentRun) -> None:
    mark = world.container.sandboxes._mark(SandboxSpec(run.session_id, 1, {}, {}))  # type: ignore[attr-defined]
    older = f"{mark.rpartition('.')[0]}.0"
    with _sleeper(env={processes.SANDBOX_MARK: mark}) as agent, _sleeper(older) as executor:
        found = eventually(lambda: verdict(world, run).leftover, what="leftovers are found")
        assert [int(left.split()[1]) for left in found] == sorted([agent.pid, executor.pid])
        agent.kill()
        executor.kill()
    world.container.sandboxes.stop(run.session_id, EVERY_GENERATION)
    assert verdict(world, run).wrong == {}


@ONE
def test_an_executor_that_died_explains_another_agent(world: World) -> None:
    run = world.drop("/say begun\n/slow 20 50")
    [pid] = evidence.executors(world.container, [run.id])
    processes.send(pid, 9)
    eventually(lambda: world.container.sandboxes.connect(run.session_id) is None, what="the executor is gone")
    world.drive()  # which puts it back into the queue
    AgentRun.update(retry_at=0).where(AgentRun.id == run.id).execute()
    world.drive()
    found = verdict(world, run)
    assert found.wrong == {}, str(found)
    assert (found.starts, found.executor_deaths) == (2, 1)


def test_a_nemesis_does_what_its_seed_says_and_leaves_nobody_stopped() -> None:
    with ExitStack() as sleepers:
        pids = sorted(sleepers.enter_context(_sleeper()).pid for _ in range(3))
        orders = [stopped_in_turn(pids, seed) for seed in (7, 7, 8)]
        assert orders[0] == orders[1] != orders[2]
        with Nemesis(Threat("sleeper", lambda: pids, 0.01), seed=1) as nemesis:
            eventually(lambda: nemesis.count("kill", "sleeper"), what="one is killed")
        eventually(lambda: processes.look(nemesis.history[0].pid).state == "Z", what="it died")  # type: ignore[union-attr]
        for pid in pids:
            processes.send(pid, 9)


def stopped_in_turn(pids: list[int], seed: int) -> list[int]:
    threat = Threat("sleeper", lambda: pids, 0.01, "stop", hold_seconds=0.001)
    with Nemesis(threat, seed=seed) as nemesis:
        eventually(lambda: nemesis.count("stop", "sleeper") >= 8, what="eight were stopped")
    assert nemesis.count("stop", "sleeper") == nemesis.count("continue", "sleeper")
    assert not any(processes.look(pid).state == "T" for pid in pids)  # type: ignore[union-attr]
    return [pids.index(deed.pid) for deed in nemesis.history if deed.act == "stop"][:8]


def _sleeper(*words: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words], env=env)

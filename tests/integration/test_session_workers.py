"""The life cycle of session workers: started, reused, stopped through the gate, removed on a receipt, brought back whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.domain import storage
from app.domain.worker_state import TRANSITIONS, WorkerStatus
from app.errors import Conflict, Invalid, LeaseLost, Unavailable
from app.log import logger
from app.models import SessionWorker, Snapshot
from app.ports import EVERY_GENERATION, ExecutorError, SandboxSpec
from app.services import session_workers, worker_parts, worker_rows
from app.services.snapshots import Order
from tests.support.folder_host import FolderHost, FolderSandboxes
from tests.support.waiting import eventually
from tests.support.workspace_house import House, bound, bundle_of, sandboxes_of, tree_of, upload, write

PAIRS = [("sqlite", "folder"), ("postgres", "folder"), ("sqlite", "local")]


@pytest.fixture(params=PAIRS, ids="-".join)
def house(request: pytest.FixtureRequest, new_database_url: Callable[[str], str], tmp_path: Path) -> Iterator[House]:
    engine, kind = request.param
    with bound(new_database_url(engine)), sandboxes_of(kind, tmp_path) as sandboxes:
        yield House(tmp_path, sandboxes, idle_seconds=100, remove_after_seconds=1000)


@pytest.fixture
def folder_house(new_database_url: Callable[[str], str], tmp_path: Path) -> Iterator[House]:
    with bound(new_database_url("sqlite")):
        yield House(tmp_path, FolderSandboxes(tmp_path / "sandboxes"), lease_seconds=0.6)


@pytest.fixture
def errors() -> Iterator[list[Any]]:
    """What was logged as an error: (message, facts)."""
    seen: list[Any] = []
    sink = logger.add(lambda m: seen.append((m.record["message"], m.record["extra"])), level="ERROR")
    yield seen
    logger.remove(sink)


def fill(house: House, session: Any) -> dict[str, Any]:
    """Work in the running sandbox; return what it holds then."""
    write(house.folder(session), {"src/main.py": "print(1)", "empty": "", "ä/ü.txt": b"\0\xff"})
    (house.folder(session) / "bare").mkdir(exist_ok=True)
    write(house.folder(session, "agent"), {".claude/projects/p/c.jsonl": '{"said": "hello"}'})
    return contents(house, session)


def contents(house: House, session: Any) -> dict[str, Any]:
    return {root: tree_of(house.folder(session, root)) for root in ("workspace", "agent")}


def stop_and_remove(house: House, session: Any) -> None:
    house.workers.stop(session.id)
    house.workers.remove(session.id)


# --- starting ----------------------------------------------------------------------------------------------------------


def test_a_new_session_begins_empty_and_is_reused(house: House) -> None:
    session = house.session()
    phases: list[str] = []
    first = house.workers.ensure_running(session, labels={"x-run-id": "run_1"}, on_phase=phases.append)
    assert (first.restored, first.worker.status, first.worker.generation) == ("fresh", "running", 1)
    assert phases == ["starting"]
    second = house.start(session)
    assert (second.restored, second.worker.generation) == ("reused", 1)
    assert house.row(session).lease_until is None


def test_a_stopped_sandbox_goes_on_with_its_files(house: House) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    receipt = house.workers.stop(session.id)
    row = house.row(session)
    assert row.status == "stopped"
    assert row.receipt == receipt == {"generation": 1, "startedAt": row.started_at, "snapshotId": row.snapshot_id}
    assert house.sandboxes.list_running() == []
    again = house.start(session)
    assert (again.restored, again.snapshot_id) == ("restored", row.snapshot_id)
    assert (again.worker.generation, again.worker.receipt) == (2, None)
    assert contents(house, session) == before


def test_a_removed_sandbox_comes_back_with_files_and_memory(house: House) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    stop_and_remove(house, session)
    assert house.row(session).status == "deleted"
    assert not house.folder(session).parent.exists()
    assert house.start(session).restored == "restored"
    assert contents(house, session) == before


def test_idle_sandboxes_are_stopped_then_removed_and_come_back(house: House) -> None:
    session, busy, queued = house.session(), house.session(), house.session()
    for each in (session, busy, queued):
        house.start(each)
    house.run(busy, "waiting_human")
    house.run(queued, "queued")
    before = fill(house, session)
    now = db.now()
    assert house.workers.stop_idle(now).checked == 0
    swept = house.workers.stop_idle(now + 101)
    assert (swept.checked, swept.done, [item["sessionId"] for item in swept.items]) == (1, 1, [session.id])
    assert house.workers.remove_stopped(now + 500).checked == 0
    assert house.workers.remove_stopped(now + 1102).done == 1
    assert not house.folder(session).parent.exists()
    house.start(session)
    assert contents(house, session) == before
    assert {house.row(busy).status, house.row(queued).status} == {"running"}


def test_a_run_that_ended_lately_keeps_its_sandbox(house: House) -> None:
    session = house.session()
    house.start(session)
    run = house.run(session)
    house.finish(run)
    SessionWorker.update(last_used_at=0).execute()
    assert house.workers.stop_idle(db.now() + 50).checked == 0
    assert house.workers.stop_idle(db.now() + 101).done == 1


def test_two_processes_that_start_one_session_start_one_sandbox(house: House) -> None:
    session = house.session()
    worker_rows.ensure(session)
    readies: list[Any] = []

    def start(workers: Any) -> None:
        with db.connection():
            readies.append(workers.ensure_running(session, labels={}))

    threads = [threading.Thread(target=start, args=(house.another_process(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ready.restored for ready in readies) == ["fresh", "reused", "reused", "reused"]
    assert {ready.worker.generation for ready in readies} == {1}


def test_a_start_waits_for_the_stop_that_is_going_on(house: House) -> None:
    session = house.session()
    host: Any = house.start(session).executor
    before = fill(house, session)
    phases: list[str] = []
    waited = threading.Event()

    def start() -> None:
        with db.connection():
            house.another_process().ensure_running(session, labels={}, on_phase=hear)

    def hear(phase: str) -> None:
        phases.append(phase)
        waited.set()

    starter = threading.Thread(target=start)
    halt = host.halt

    def slow_halt() -> int:
        starter.start()
        assert waited.wait(30)
        return int(halt())

    host.halt = slow_halt
    house.workers.stop(session.id)
    starter.join()
    assert phases[0] == "waiting"
    assert "starting" in phases
    assert (house.row(session).status, house.row(session).generation) == ("running", 2)
    assert contents(house, session) == before


def test_a_driver_that_gives_up_while_waiting_is_let_go(house: House) -> None:
    session = house.session()
    worker_rows.ensure(session)
    worker_rows.take_lease(session.id, "somebody", 1000)

    def give_up(phase: str) -> None:
        raise LeaseLost(phase)

    with pytest.raises(LeaseLost, match="waiting"):
        house.workers.ensure_running(session, labels={}, on_phase=give_up)


def test_who_looked_at_the_row_before_a_restart_ends_nobodys_sandbox(house: House) -> None:
    session = house.session()
    before = house.start(session).worker
    house.workers.stop(session.id)
    house.start(session)
    assert worker_parts.connect(house.sandboxes, before) is None
    with pytest.raises(ExecutorError):
        house.sandboxes.start(SandboxSpec(session.id, before.generation, {}, {}))
    assert house.workers.connect(session.id) is not None


def test_an_executor_of_another_generation_is_ended(house: House) -> None:
    session = house.session()
    old = house.start(session).executor
    before = fill(house, session)
    SessionWorker.update(generation=7).execute()
    again = house.start(session)
    with pytest.raises(ExecutorError):
        old.health()
    assert again.worker.generation == 8
    assert contents(house, session) == before


# --- seeding -----------------------------------------------------------------------------------------------------------


def test_a_session_begins_with_its_repository_once(house: House, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    session = house.session(bundle_id=bundle_of(house, repository, {"README.md": "hello\n", "src/a.py": "1\n"}))
    ready = house.start(session)
    assert ready.restored == "fresh"
    assert (house.folder(session) / "README.md").read_text() == "hello\n"
    head = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert house.row(session).baseline == head.stdout.strip()
    (house.folder(session) / "README.md").write_text("changed")
    stop_and_remove(house, session)
    house.start(session)
    assert (house.folder(session) / "README.md").read_text() == "changed"
    assert [row.reason for row in house.snapshot_rows(session)] == ["seed", "stop"]


def test_a_repository_that_cannot_be_cloned_is_told_and_leaves_nothing(house: House) -> None:
    session = house.session(repo_url="https://nowhere.example/x.git")
    with pytest.raises(Invalid, match="host") as refused:
        house.start(session)
    assert refused.value.code == "repo_address_refused"
    assert house.row(session).status == "error"
    assert "host" in house.row(session).error
    path = house.var / "broken.bundle"
    path.write_bytes(b"# v2 git bundle\n" + b"1" * 40 + b" refs/heads/main\n\nPACK rubbish")
    broken = house.session(bundle_id=upload(house, path))
    with pytest.raises(Invalid) as refused:
        house.start(broken)
    assert refused.value.code == "repo_unavailable"
    assert house.snapshot_rows(broken) == []


# --- the gates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["claimed", "running", "waiting_human"])
def test_a_sandbox_at_work_is_not_stopped(house: House, status: str) -> None:
    session = house.session()
    house.start(session)
    house.run(session, status)
    with pytest.raises(Conflict) as refused:
        house.workers.stop(session.id)
    assert refused.value.code == "run_active"
    assert house.row(session).status == "running"


def test_a_file_written_between_the_two_scans_keeps_the_sandbox(house: House) -> None:
    session = house.session()
    host: Any = house.start(session).executor
    fill(house, session)
    scan = host.scan

    def scan_and_write(roots: Any, *, reason: str, known: Any = None) -> Any:
        if reason == "gate":
            write(house.folder(session), {"late.txt": "the last write"})
        return scan(roots, reason=reason, known=known)

    host.scan = scan_and_write
    with pytest.raises(Conflict, match="written to"):
        house.workers.stop(session.id)
    row = house.row(session)
    assert (row.status, row.receipt, row.last_sync_status) == ("running", None, "failed")
    assert house.sandboxes.connect(session.id) is host
    host.scan = scan
    receipt = house.workers.stop(session.id)
    manifest = house.snapshots.manifest(Snapshot.get_by_id(receipt["snapshotId"]))
    assert manifest.find("workspace", "late.txt") is not None


def test_an_upload_behind_the_last_scan_is_refused_and_one_after_a_failed_stop_is_taken(house: House) -> None:
    session = house.session()
    host: Any = house.start(session).executor
    fill(house, session)
    scan, codes = host.scan, []

    def scan_then_upload(roots: Any, *, reason: str, known: Any = None) -> Any:
        found = scan(roots, reason=reason, known=known)
        if reason == "gate":
            with pytest.raises(Conflict) as refused:
                host.write_file("late.txt", b"never acknowledged")
            codes.append(refused.value.code)
            if len(codes) == 1:
                write(house.folder(session), {"new.txt": "keeps the sandbox this time"})
                return scan(roots, reason=reason, known=known)
        return found

    host.scan = scan_then_upload
    with pytest.raises(Conflict, match="written to"):
        house.workers.stop(session.id)
    host.write_file("late.txt", b"acknowledged")
    receipt = house.workers.stop(session.id)
    assert codes == ["worker_not_active"] * 2
    stream, _ = house.snapshots.open_file(Snapshot.get_by_id(receipt["snapshotId"]), "late.txt")
    with stream:
        assert stream.read() == b"acknowledged"


def test_same_size_same_second_writes_do_not_slip_through_the_gate(house: House) -> None:
    session = house.session()
    host: Any = house.start(session).executor
    write(house.folder(session), {"a": "111"})
    scan = host.scan

    def scan_and_write(roots: Any, *, reason: str, known: Any = None) -> Any:
        if reason == "gate":
            with (house.folder(session) / "a").open("r+") as file:
                file.write("222")
        return scan(roots, reason=reason, known=known)

    host.scan = scan_and_write
    with pytest.raises(Conflict):
        house.workers.stop(session.id)


def test_nothing_is_removed_without_a_receipt_that_fits(house: House) -> None:
    session = house.session()
    house.start(session)
    fill(house, session)

    def refused(code: str) -> None:
        with pytest.raises(Conflict) as conflict:
            house.workers.remove(session.id)
        assert conflict.value.code == code
        assert house.folder(session).exists()

    refused("receipt_missing")
    receipt = dict(house.workers.stop(session.id))
    for wrong in (None, {**receipt, "generation": 9}, {**receipt, "snapshotId": "snp_other"}, {}):
        SessionWorker.update(receipt=wrong).execute()
        refused("receipt_missing")
    SessionWorker.update(receipt=receipt).execute()
    blob = next(iter(house.store.list_keys(storage.blobs_prefix(session.tenant_id, session.id))))
    (house.var / "objects" / blob).rename(house.var / "kept")
    refused("snapshot_incomplete")
    (house.var / "kept").rename(house.var / "objects" / blob)
    house.workers.remove(session.id)
    assert house.row(session).status == "deleted"
    house.workers.remove(session.id)  # again: nothing to do


def test_a_store_that_is_down_keeps_the_sandbox_and_says_so(house: House) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    (house.var / "objects").rename(house.var / "away")
    for act in (
        lambda: house.workers.sync(session.id, "message.stop", "run_1"),
        lambda: house.workers.stop(session.id),
    ):
        with pytest.raises(Unavailable):
            act()
        row = house.row(session)
        assert (row.status, row.last_sync_status) == ("running", "failed")
        assert "object store" in row.last_sync_error
        shown = session_workers.view(row)
        assert (shown["syncState"], shown["lastSyncStatus"]) == ("local_only", "failed")
    assert house.row(session).snapshot_id is None
    (house.var / "away").rename(house.var / "objects")
    assert house.workers.sync_stale(db.now() + 100).done == 1
    assert session_workers.view(house.row(session))["syncState"] == "synced"
    stop_and_remove(house, session)
    house.start(session)
    assert contents(house, session) == before


def test_a_sync_during_a_run_takes_the_workspace_and_at_its_end_the_memory_too(house: House) -> None:
    session = house.session()
    house.start(session)
    fill(house, session)
    run = house.run(session)
    first = house.workers.sync(session.id, "message.stop", run.id)
    assert {root for root, _ in first.manifest.entries()} == {"workspace"}
    last = house.workers.sync(session.id, "run.finished", run.id, ended=True)
    assert {root for root, _ in last.manifest.entries()} == {"workspace", "agent"}
    assert last.bytes_sent == len('{"said": "hello"}')
    rows = house.snapshot_rows(session)
    assert [(row.reason, row.run_id, row.parent_id) for row in rows] == [
        ("message.stop", run.id, None),
        ("run.finished", run.id, rows[0].id),
    ]


def test_nothing_is_synced_where_nothing_runs(house: House) -> None:
    session = house.session()
    worker_rows.ensure(session)
    with pytest.raises(Conflict) as refused:
        house.workers.sync(session.id, "wish")
    assert refused.value.code == "worker_not_active"
    assert not house.folder(session).parent.exists()


# --- what died ---------------------------------------------------------------------------------------------------------


def kill(house: House, session: Any) -> None:
    """As `kill -9` of the executor: its files stay."""
    sandboxes: Any = house.sandboxes
    if isinstance(sandboxes, FolderSandboxes):
        sandboxes.kill(session.id)
        return
    pid = json.loads((house.folder(session).parent / "sandbox.json").read_bytes())["executor_pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: sandboxes.connect(session.id) is None)


def test_a_sandbox_that_died_is_saved_before_it_goes_on(house: House) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    kill(house, session)
    phases: list[str] = []
    ready = house.workers.ensure_running(session, labels={}, on_phase=phases.append)
    assert phases == ["salvaging"]
    assert (ready.restored, ready.worker.generation, ready.worker.status) == ("restored", 2, "running")
    assert [row.reason for row in house.snapshot_rows(session)] == ["salvage"]
    assert contents(house, session) == before


def test_a_sandbox_that_cannot_be_salvaged_now_is_not_given_up(house: House) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    kill(house, session)
    (house.var / "objects").rename(house.var / "away")
    for _ in range(2):
        with pytest.raises(Unavailable):
            house.start(session)
        assert house.row(session).status == "error"
        assert contents(house, session) == before
    with pytest.raises(Conflict):
        house.workers.remove(session.id)
    (house.var / "away").rename(house.var / "objects")
    house.start(session)
    assert contents(house, session) == before


def test_a_dead_idle_sandbox_is_salvaged_and_stopped(house: House) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    kill(house, session)
    assert house.workers.stop_idle(db.now() + 101).done == 1
    assert house.row(session).status == "stopped"
    house.workers.remove(session.id)
    house.start(session)
    assert contents(house, session) == before


def test_a_vanished_folder_is_said_loudly_and_brought_back(house: House, errors: list[Any]) -> None:
    session = house.session()
    house.start(session)
    fill(house, session)
    saved = house.workers.sync(session.id, "run.finished", ended=True)
    before = contents(house, session)
    kill(house, session)
    house.sandboxes.remove(session.id, EVERY_GENERATION)
    ready = house.start(session)
    assert ready.restored == "restored"
    assert contents(house, session) == before
    assert ("sandbox has vanished with its files", saved.snapshot_id) in [
        (message, facts.get("last_snapshot_id")) for message, facts in errors
    ]


def test_a_vanished_sandbox_is_marked_deleted_by_the_sweep(house: House, errors: list[Any]) -> None:
    session = house.session()
    house.start(session)
    house.sandboxes.remove(session.id, EVERY_GENERATION)
    swept = house.workers.stop_idle(db.now() + 101)
    assert (swept.failed, house.row(session).status) == (1, "deleted")
    assert errors


def test_an_empty_folder_in_place_of_a_stopped_one_is_filled_again(house: House) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    house.workers.stop(session.id)
    house.sandboxes.remove(session.id, EVERY_GENERATION)
    for root in ("workspace", "agent"):
        house.folder(session, root).mkdir(parents=True)
    house.start(session)
    assert contents(house, session) == before


def test_files_changed_behind_a_stopped_sandbox_are_kept_aside(house: House, errors: list[Any]) -> None:
    session = house.session()
    house.start(session)
    before = fill(house, session)
    house.workers.stop(session.id)
    write(house.folder(session), {"src/main.py": "somebody else's work"})
    house.start(session)
    assert contents(house, session) == before
    found = [row for row in house.snapshot_rows(session) if row.reason == "found"]
    with house.snapshots.open_file(found[0], "src/main.py")[0] as stream:
        assert stream.read() == b"somebody else's work"
    assert errors


def test_a_start_that_was_cut_off_in_a_restore_does_not_save_the_half(folder_house: House) -> None:
    house = folder_house
    session = house.session()
    house.start(session)
    before = fill(house, session)
    stop_and_remove(house, session)
    sandboxes: Any = house.sandboxes
    sandboxes._make = BreaksInRestore
    with pytest.raises(ExecutorError):
        house.start(session)
    assert house.row(session).status == "error"
    sandboxes._make = FolderHost
    house.start(session)
    assert contents(house, session) == before
    assert [row.reason for row in house.snapshot_rows(session)] == ["stop"]


class BreaksInRestore(FolderHost):
    """Dies after a few files."""

    def _called(self, name: str) -> None:
        super()._called(name)
        if name.startswith("restore:") and len([call for call in self.calls if call.startswith("restore:")]) == 3:
            self.alive = False
            raise ExecutorError("network", name, 1, 1)


# --- wishes and leases -------------------------------------------------------------------------------------------------


def test_wishes_are_granted_or_refused_with_a_word(house: House) -> None:
    session = house.session()
    for kind, status in (("activate", "running"), ("sync", "running"), ("stop", "stopped"), ("remove", "deleted")):
        house.workers.wish(session.id, kind)
        assert house.bell.rung[-1] == session.id
        assert house.row(session).wish == kind
        assert house.another_process().grant_wishes() == 1
        row = house.row(session)
        assert (row.wish, row.wish_error, row.status) == (None, None, status)
    house.workers.wish(session.id, "stop")
    house.workers.grant_wishes(10)
    assert session_workers.view(house.row(session))["wishError"].startswith("worker_not_active: ")


def test_a_wish_waits_while_the_sandbox_is_busy(house: House) -> None:
    session = house.session()
    house.start(session)
    house.workers.wish(session.id, "stop")
    worker_rows.take_lease(session.id, "somebody", 1000)
    assert house.workers.grant_wishes() == 0
    assert house.row(session).wish == "stop"
    house.expire_lease(session)
    assert house.workers.grant_wishes() == 1
    assert house.row(session).status == "stopped"


def test_a_holder_that_lost_its_lease_touches_nothing(house: House) -> None:
    session = house.session()
    host: Any = house.start(session).executor
    fill(house, session)
    halt = host.halt

    def overtaken() -> int:
        house.expire_lease(session)
        assert worker_rows.take_lease(session.id, "somebody", 1000) is not None
        return int(halt())

    host.halt = overtaken
    with pytest.raises(LeaseLost):
        house.workers.stop(session.id)
    row = house.row(session)
    assert (row.status, row.lease_owner, row.receipt) == ("stopping", "somebody", None)
    assert house.sandboxes.connect(session.id) is host


def test_a_holder_that_slept_past_its_lease_stores_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = house.session()
    host: Any = house.start(session).executor
    fill(house, session)
    scan = host.scan

    def sleeps(*arguments: Any, **more: Any) -> Any:
        from app.services import worker_lease

        monkeypatch.setattr(worker_lease.Lease, "held", lambda self: False)
        return scan(*arguments, **more)

    host.scan = sleeps
    with pytest.raises(LeaseLost):
        house.workers.sync(session.id, "x")
    assert list(house.store.list_keys("")) == []
    assert house.snapshot_rows(session) == []


def test_a_lease_is_renewed_while_an_operation_lasts(folder_house: House) -> None:
    house = folder_house
    session = house.session()
    host: Any = house.start(session).executor
    fill(house, session)
    scan, first = host.scan, {}

    def long_scan(*arguments: Any, **more: Any) -> Any:
        until = house.row(session).lease_until
        first.setdefault("until", until)
        eventually(lambda: house.row(session).lease_until > first["until"] + 0.6)
        return scan(*arguments, **more)

    host.scan = long_scan
    assert house.workers.stop(session.id)["generation"] == 1


def test_every_status_in_sql_moves_only_as_the_table_of_states_says(house: House) -> None:
    moves = {
        WorkerStatus.STARTING: worker_rows.begin_start,
        WorkerStatus.RUNNING: worker_rows.mark_running,
        WorkerStatus.STOPPING: worker_rows.begin_stop,
        WorkerStatus.STOPPED: lambda row: worker_rows.mark_stopped(row, {}),
        WorkerStatus.REMOVING: worker_rows.begin_remove,
        WorkerStatus.DELETED: worker_rows.mark_deleted,
        WorkerStatus.ERROR: lambda row: worker_rows.mark_error(row, "x"),
    }
    session = house.session()
    worker_rows.ensure(session)
    again = {
        WorkerStatus.STARTING,
        WorkerStatus.STOPPING,
        WorkerStatus.REMOVING,
        WorkerStatus.DELETED,
        WorkerStatus.ERROR,
    }
    for source in WorkerStatus:
        for target, move in moves.items():
            SessionWorker.update(status=source).execute()
            row = house.row(session)
            if target in TRANSITIONS[source] or (source == target and target in again):
                assert move(row).status == target
            else:
                with pytest.raises(LeaseLost):
                    move(row)
                assert house.row(session).status == source


def test_the_view_speaks_the_words_of_the_api(house: House) -> None:
    session = house.session()
    house.start(session)
    fill(house, session)
    house.workers.stop(session.id)
    shown = session_workers.view(house.row(session))
    assert shown["workspaceS3Prefix"] == f"{session.tenant_id}/{session.id}"
    assert (shown["status"], shown["syncState"], shown["generation"]) == ("stopped", "synced", 1)
    assert shown["stoppedAt"].endswith("Z")
    assert shown["snapshotId"] == shown["receipt"]["snapshotId"]
    assert shown["receipt"]["startedAt"] == shown["startedAt"]  # both as the wire has times


def test_sandboxes_that_outlived_their_stop_are_ended(house: House) -> None:
    session = house.session()
    house.start(session)
    sandboxes: Any = house.sandboxes
    sandboxes.stop = lambda name, generation: None  # the process dies between the receipt and the kill
    house.workers.stop(session.id)
    assert house.sandboxes.list_running() == [session.id]
    del sandboxes.stop
    house.workers.stop_idle(db.now())
    assert house.sandboxes.list_running() == []
    assert house.row(session).status == "stopped"


def test_an_order_to_keep_aside_leaves_the_newest_as_it_is(house: House) -> None:
    session = house.session()
    host = house.start(session).executor
    fill(house, session)
    house.workers.sync(session.id, "x", ended=True)
    newest = house.row(session).snapshot_id
    write(house.folder(session), {"more": "m"})
    aside = house.snapshots.save(host, house.row(session), Order("found", frozen=True, aside=True))
    assert house.row(session).snapshot_id == newest != aside.snapshot_id

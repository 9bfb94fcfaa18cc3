"""Agents under an executor: journal, keyed input, fence, signals, whole trees, both kinds of local sandbox."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.httpx_executor import HttpxExecutor
from app.adapters.local_sandboxes import LocalSandboxes
from app.domain.journal import Record
from app.domain.turn import AgentCommand
from app.errors import LeaseLost
from app.ports import ExecutorError
from tests.support.sandboxes import (
    executor_pid,
    local_sandboxes,
    processes_of,
    python,
    run_to_end,
    said,
    spec,
    start,
    wait_for,
)
from tests.support.waiting import eventually

ECHO = "import sys\nprint('ready')\nfor line in sys.stdin: print('got', line, end='')\n"
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)', MARK])
    os._exit(0)
os.wait()
import subprocess
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', MARK])
print('ready')
"""
STAY = "time.sleep(600)\n"


def test_a_journal_tells_the_whole_life_of_an_agent(executor: HttpxExecutor) -> None:
    records = run_to_end(executor, python("import sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.exit(3)"))
    assert [record.n for record in records] == list(range(1, len(records) + 1))
    assert records[0].kind == "spawn"
    assert records[0].epoch == 1
    assert said(records) == [b"one"]
    assert said(records, "err") == [b"two"]
    assert records[-1].kind == "exit"
    assert records[-1].json() == {"exit": "code:3"}
    state = executor.find_agent("run_1.1")
    assert state is not None
    assert (state.running, state.exit, state.last) == (False, "code:3", records[-1].n)


def test_secrets_are_named_and_never_written(executor: HttpxExecutor, tmp_path: Path) -> None:
    secret = uuid.uuid4().hex
    command = AgentCommand(["/bin/sh", "-c", 'test -n "$KEY" && echo has it'], {"KEY": secret, "B": "1"}, ("KEY",))
    records = run_to_end(executor, command)
    assert said(records) == [b"has it"]
    assert records[0].json()["env"] == ["B", "KEY"]
    assert records[0].json()["secrets"] == ["KEY"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_the_last_line_counts_without_its_newline(executor: HttpxExecutor) -> None:
    records = run_to_end(executor, python("import sys; sys.stdout.write('a\\n\\nend')"))
    assert said(records) == [b"a", b"", b"end"]


def test_an_agent_has_its_home_its_workspace_and_its_files(executor: HttpxExecutor) -> None:
    code = "import os; print(open(os.environ['HOME'] + '/.conf/a').read()); open('made', 'w').write('x')"
    command = AgentCommand(["/opt/paddock/python", "-c", code], {}, files={".conf/a": "text"})
    assert said(run_to_end(executor, command)) == [b"text"]
    assert executor.read_file("made", offset=0, limit=10)[0] == b"x"


def test_paths_of_the_sandbox_work_in_arguments_and_environment(executor: HttpxExecutor) -> None:
    executor.write_file("a.txt", b"content")
    code = "import os, sys; print(open(sys.argv[1]).read(), open(os.environ['FILE']).read())"
    command = AgentCommand(["/opt/paddock/python", "-c", code, "/workspace/a.txt"], {"FILE": "/workspace/a.txt"})
    assert said(run_to_end(executor, command)) == [b"content content"]


def test_what_cannot_be_started_is_an_exit(executor: HttpxExecutor) -> None:
    records = run_to_end(executor, AgentCommand(["/no/such/program"]))
    assert [record.kind for record in records] == ["spawn", "exit"]
    assert "spawn_failed: there is no such program: /no/such/program" in records[-1].json()["exit"]
    records = run_to_end(executor, AgentCommand(["/bin/true"], cwd="/workspace/missing"), "run_1.2")
    assert records[-1].json()["exit"].startswith("spawn_failed")


def test_records_arrive_while_the_agent_works(executor: HttpxExecutor) -> None:
    start(executor, python(ECHO))
    seen: list[bytes] = []
    for record in executor.follow("run_1.1", 0):
        if record.kind == "out":
            seen.append(record.data)
            if len(seen) < 4:
                executor.write("run_1.1", "in", f"k{len(seen)}", b"%d" % len(seen), epoch=1)
            else:
                executor.signal("run_1.1", "TERM", key="end", epoch=1)
    assert seen == [b"ready", b"got 1", b"got 2", b"got 3"]


def test_following_can_begin_anywhere(executor: HttpxExecutor) -> None:
    records = run_to_end(executor, python("for i in range(200): print(i)"))
    for after in (0, 1, 57, len(records) - 1):
        assert list(executor.follow("run_1.1", after)) == records[after:]
    with pytest.raises(ExecutorError) as caught:
        next(executor.follow("run_1.1", len(records) + 5))
    assert caught.value.code == "ahead"


def test_silence_is_recorded_once(executor: HttpxExecutor) -> None:
    start(executor, python("import time\nprint('a')\ntime.sleep(0.4)\nprint('b')\ntime.sleep(600)"))
    kinds = []
    for record in executor.follow("run_1.1", 0):
        kinds.append(record.kind)
        if kinds.count("idle") == 2:
            break
    assert kinds == ["spawn", "out", "idle", "out", "idle"]


def test_a_known_key_is_written_once(executor: HttpxExecutor) -> None:
    start(executor, python(ECHO))
    wait_for(executor, b"ready")
    first = executor.write("run_1.1", "in", "k", b"once", epoch=1)
    again = executor.write("run_1.1", "in", "k", b"once", epoch=1)
    assert (again.n, first.duplicate, again.duplicate) == (first.n, False, True)
    control = executor.write("run_1.1", "ctl", "c", b'{"type":"verdict"}', epoch=1)
    assert executor.write("run_1.1", "ctl", "c", b"other", epoch=1) == type(control)(control.n, True)
    executor.write("run_1.1", "in", "end", b"last", epoch=1)
    wait_for(executor, b"got last")
    executor.signal("run_1.1", "KILL", key="x", epoch=1)
    records = list(executor.follow("run_1.1", 0))
    assert said(records) == [b"ready", b"got once", b"got last"]
    assert [record.key for record in records if record.kind == "ctl"] == ["c", "x"]
    assert executor.write("run_1.1", "in", "k", b"once", epoch=1).n == first.n
    with pytest.raises(ExecutorError) as caught:
        executor.write("run_1.1", "in", "new", b"too late", epoch=1)
    assert (caught.value.status, caught.value.code) == (409, "agent_exited")


def test_an_agent_is_not_started_twice(executor: HttpxExecutor) -> None:
    command = python("import os; print(os.getpid())")
    records = run_to_end(executor, command)
    assert start(executor, command).last == records[-1].n
    assert list(executor.follow("run_1.1", 0)) == records


@pytest.mark.promise("R2")
def test_a_lower_epoch_has_lost_the_run(executor: HttpxExecutor) -> None:
    start(executor, python(ECHO), epoch=2)
    executor.fence("run_1", 5)
    for act in (
        lambda: executor.fence("run_1", 4),
        lambda: executor.write("run_1.1", "in", "k", b"x", epoch=4),
        lambda: executor.acknowledge("run_1.1", 1, epoch=2),
        lambda: executor.signal("run_1.1", "KILL", key="k", epoch=4),
        lambda: start(executor, python(ECHO), "run_1.2", epoch=4),
    ):
        with pytest.raises(LeaseLost):
            act()
    assert executor.find_agent("run_1.2") is None
    executor.write("run_1.1", "in", "k", b"x", epoch=6)
    with pytest.raises(LeaseLost):
        executor.fence("run_1", 5)


def test_signals_reach_the_agent_and_kill_its_whole_tree(executor: HttpxExecutor) -> None:
    code = "import signal, time\nsignal.signal(2, lambda *_: print('interrupted'))\nprint('ready')\n"
    start(executor, python(code + "while True: time.sleep(0.1)"))
    wait_for(executor, b"ready")
    executor.signal("run_1.1", "INT", key="i", epoch=1)
    wait_for(executor, b"interrupted")
    assert executor.signal("run_1.1", "INT", key="i", epoch=1).duplicate
    executor.signal("run_1.1", "TERM", key="t", epoch=1)
    records = list(executor.follow("run_1.1", 0))
    assert records[-1].json() == {"exit": "signal:15"}
    assert [record.json()["signal"] for record in records if record.kind == "ctl"] == ["INT", "TERM"]
    assert said(records).count(b"interrupted") == 1


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_daemons_go_with_their_agent(executor: HttpxExecutor, how: str) -> None:
    mark = uuid.uuid4().hex
    code = DAEMON.replace("MARK", repr(mark))
    start(executor, python(code + (STAY if how == "kill" else "")))
    wait_for(executor, b"ready")
    if how == "kill":
        assert len(processes_of(mark)) >= 3
        executor.signal("run_1.1", "KILL", key="k", epoch=1)
    assert list(executor.follow("run_1.1", 0))[-1].kind == "exit"
    eventually(lambda: not processes_of(mark), what="no process of the agent")


def test_a_killed_executor_takes_all_its_agents_along(sandboxes: LocalSandboxes) -> None:
    executor, mark = sandboxes.start(spec()), uuid.uuid4().hex
    start(executor, python(DAEMON.replace("MARK", repr(mark)) + STAY))
    wait_for(executor, b"ready")
    assert len(processes_of(mark)) >= 3
    os.kill(executor_pid(sandboxes), signal.SIGKILL)
    eventually(lambda: not processes_of(mark), what="no process of the agent")
    with pytest.raises(ExecutorError) as caught:
        list(executor.follow("run_1.1", 0))
    assert caught.value.kind == "network"
    assert sandboxes.connect("ses_1") is None


def test_a_new_executor_closes_and_serves_the_journals_of_the_one_before(sandboxes: LocalSandboxes) -> None:
    executor = sandboxes.start(spec())
    start(executor, python(ECHO))
    wait_for(executor, b"ready")
    first = executor.write("run_1.1", "in", "k", b"hello", epoch=7)
    wait_for(executor, b"got hello")
    boot = executor.health()["bootId"]
    os.kill(executor_pid(sandboxes), signal.SIGKILL)
    eventually(lambda: sandboxes.connect("ses_1") is None, what="the executor is gone")
    again = sandboxes.start(spec(generation=2))
    assert again.health()["bootId"] != boot
    records = list(again.follow("run_1.1", 0))
    assert said(records) == [b"ready", b"got hello"]
    assert records[-1].json() == {"exit": "executor_lost"}
    assert again.write("run_1.1", "in", "k", b"hello", epoch=7).n == first.n
    with pytest.raises(LeaseLost):
        again.fence("run_1", 6)


def test_a_grandchild_with_the_pipe_in_hand_does_not_hold_the_end_up(executor: HttpxExecutor) -> None:
    code = "import subprocess, sys\nsubprocess.Popen(['/bin/sleep', '600'])\nprint('done')"
    assert said(run_to_end(executor, python(code))) == [b"done"]


def test_input_that_nobody_reads_holds_up_nothing_else(executor: HttpxExecutor) -> None:
    start(executor, python("import time; print('ready'); time.sleep(600)"))
    wait_for(executor, b"ready")
    for number in range(8):
        executor.write("run_1.1", "in", f"k{number}", b"x" * 1_000_000, epoch=1)
    assert executor.health()["agents"] == 1
    executor.signal("run_1.1", "KILL", key="k", epoch=1)
    assert [record.kind for record in executor.follow("run_1.1", 0)].count("in") == 8


def test_an_agent_that_closes_its_input_goes_on(executor: HttpxExecutor) -> None:
    start(executor, python("import os, time\nos.close(0)\nprint('closed')\ntime.sleep(0.5)\nprint('end')"))
    wait_for(executor, b"closed")
    executor.write("run_1.1", "in", "k", b"lost on it", epoch=1)
    assert said(list(executor.follow("run_1.1", 0)))[-1] == b"end"


def test_many_followers_see_the_same(executor: HttpxExecutor) -> None:
    start(executor, python("import time\nfor i in range(50):\n print(i)\n time.sleep(0.005)"))
    seen: list[list[Record]] = [[] for _ in range(6)]
    threads = [threading.Thread(target=lambda at=at: seen[at].extend(executor.follow("run_1.1", 0))) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(records == seen[0] and records[-1].kind == "exit" for records in seen)


def test_the_executor_knows_nobody_without_its_token(sandboxes: LocalSandboxes) -> None:
    from app.adapters.executor_address import ExecutorAddress

    sandboxes.start(spec())
    socket = sandboxes._sandbox("ses_1") / "run/executor.sock"
    stranger = HttpxExecutor(ExecutorAddress("wrong", 1, socket=socket))
    assert set(stranger.health()) == {"protocol", "status"}
    with pytest.raises(ExecutorError) as caught:
        stranger.find_agent("run_1.1")
    assert caught.value.status == 401
    stranger.close()


def test_an_agent_finds_neither_token_nor_journal(sandboxes: LocalSandboxes, sandbox_mode: str) -> None:
    if sandbox_mode == "plain":
        pytest.skip("plain mode is no boundary")
    running = sandboxes.start(spec())
    token = sandboxes._read("ses_1").token  # type: ignore[union-attr]
    code = f"""
import os
found = []
for pid in os.listdir('/proc'):
    if not pid.isdigit(): continue
    for name in ('environ', 'cmdline', 'root/state/journals', 'root/run/paddock', 'maps'):
        path = f'/proc/{{pid}}/{{name}}'
        try:
            data = ' '.join(os.listdir(path)).encode() if name.startswith('root') else open(path, 'rb').read()
        except OSError:
            continue
        wanted = [{token[::-1]!r}[::-1], '1.1_nur'[::-1], 'kcos.rotucexe'[::-1]]
        if any(word.encode() in data for word in wanted): found.append(path)
print('state', os.listdir('/state'), os.listdir('/run/paddock'), 'found', found)
for pid in range(1, 50):
    try: os.kill(pid, 9) if pid not in (1, os.getpid()) else None
    except OSError: pass
"""
    records = run_to_end(running, python(code))
    assert said(records) == [b"state [] [] found []"]
    assert running.health()["status"] == "ok"


@pytest.fixture
def small(tmp_path: Path, sandbox_mode: str) -> Iterator[LocalSandboxes]:
    limits = {
        "line_bytes": 100_000,
        "segment_bytes": 50_000,
        "unacknowledged_bytes": 400_000,
        "unread_bytes": 1_000_000,
    }
    with local_sandboxes(tmp_path / "small", sandbox_mode, limits=limits) as made:
        yield made


def test_a_line_beyond_the_limit_is_cut(small: LocalSandboxes) -> None:
    code = (
        "import sys\nprint('a')\nsys.stdout.write('x' * 350_001 + '\\n')\nprint('b')\nsys.stderr.write('y' * 100_001)"
    )
    records = run_to_end(small.start(spec()), python(code))
    assert said(records) == [b"a", b"b"]
    cuts = {record.json()["stream"]: record.json() for record in records if record.kind == "cut"}
    digest = hashlib.sha256(b"x" * 350_001).hexdigest()
    assert cuts["out"] == {"size": 350_001, "sha256": digest, "stream": "out", "head": "x" * 4096}
    assert cuts["err"]["size"] == 100_001


def test_back_pressure_holds_the_agent_up_and_loses_nothing(small: LocalSandboxes, tmp_path: Path) -> None:
    executor = small.start(spec())
    start(executor, python("for i in range(20_000): print('%07d' % i + 'z' * 100)"))

    def full() -> bool:
        state = executor.find_agent("run_1.1")
        return state is not None and state.last > 2_000 and state.last == seen_last.setdefault(state.last, state.last)

    seen_last: dict[int, int] = {}
    eventually(full, what="the agent is held up")
    held = executor.find_agent("run_1.1")
    assert held is not None
    assert held.running
    assert held.last < 10_000
    numbers, n = [], 0
    while True:
        for record in executor.follow("run_1.1", n):
            n = record.n
            if record.kind == "out":
                numbers.append(int(record.data[:7]))
            if n % 500 == 0:
                executor.acknowledge("run_1.1", n, epoch=1)
            if record.kind == "exit":
                break
        break
    assert numbers == list(range(20_000))
    executor.acknowledge("run_1.1", n, epoch=1)
    segments = list((tmp_path / "small/ses_1/state/journals/run_1.1").glob("*.seg"))
    assert len(segments) == 1
    with pytest.raises(ExecutorError) as caught:
        next(executor.follow("run_1.1", 0))
    assert (caught.value.status, caught.value.code) == (410, "records_gone")


def test_keys_outlive_their_segments_and_the_executor(small: LocalSandboxes) -> None:
    executor = small.start(spec())
    start(
        executor, python("import sys\nfor line in sys.stdin:\n for i in range(1500): print('z' * 100)\n print('end')")
    )
    first = executor.write("run_1.1", "in", "k", b"go", epoch=1)
    end = wait_for(executor, b"end")
    executor.acknowledge("run_1.1", end.n, epoch=1)
    assert executor.write("run_1.1", "in", "k", b"go", epoch=1).n == first.n
    again = small.start(spec(generation=2))
    assert again.write("run_1.1", "in", "k", b"go", epoch=1).n == first.n
    assert next(again.follow("run_1.1", end.n)).n == end.n + 1


def test_orphans_are_interrupted_and_their_journal_is_kept(tmp_path: Path, sandbox_mode: str) -> None:
    folder = tmp_path / "orphans"
    limits = {"orphan_step_seconds": 0.5}
    code = "import signal, time\nsignal.signal(2, lambda *_: print('asked'))\nsignal.signal(15, signal.SIG_IGN)\n"
    with local_sandboxes(folder, sandbox_mode, orphan_seconds=1.0, limits=limits) as made:
        executor = made.start(spec())
        start(executor, python(code + "print('ready')\nwhile True: time.sleep(0.1)"))
        wait_for(executor, b"ready")
        closed = folder / "ses_1/state/journals/run_1.1/closed"
        eventually(closed.exists, what="the orphan is ended")
        records = list(executor.follow("run_1.1", 0))
        told = [json.loads(record.data) for record in records if record.kind == "ctl"]
        assert [record["signal"] for record in told] == ["INT", "TERM", "KILL"]
        assert {record["reason"] for record in told} == {"orphaned"}
        assert b"asked" in said(records)
        assert records[-1].json() == {"exit": "signal:9"}


def test_an_open_follower_is_contact(tmp_path: Path, sandbox_mode: str) -> None:
    with local_sandboxes(tmp_path / "followed", sandbox_mode, orphan_seconds=1.0) as made:
        executor = made.start(spec())
        start(executor, python("import time\nprint('ready')\ntime.sleep(3.5)\nprint('end')"))
        records = list(executor.follow("run_1.1", 0))
        assert said(records) == [b"ready", b"end"]
        assert not [record for record in records if record.kind == "ctl"]

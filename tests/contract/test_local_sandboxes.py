"""Local sandboxes: found, adopted, fenced by generation, stopped without a trace; they outlive whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from app.adapters.bubblewrap import bubblewrap_usable, sandbox_mode
from app.adapters.local_sandboxes import LocalSandboxes
from app.ports import EVERY_GENERATION, ExecutorError
from tests.support.processes import is_alive
from tests.support.sandboxes import executor_pid, local_sandboxes, processes_of, python, said, spec, start, wait_for
from tests.support.waiting import eventually

STARTER = """
import sys
from pathlib import Path
from tests.support.sandboxes import local_sandboxes, python, spec, start
from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
made = LocalSandboxes(LocalSandboxSettings(Path(sys.argv[1]), bubblewrap=sys.argv[2]))
start(made.start(spec()), python("print('ready')\\nimport sys\\nfor line in sys.stdin: print('got', line)"))
import os; os.kill(os.getpid(), 9)
"""


def test_the_mode_is_told() -> None:
    assert sandbox_mode("off") == "plain"
    assert sandbox_mode("auto") == ("bubblewrap" if bubblewrap_usable() else "plain")


def test_a_generation_is_started_once(sandboxes: LocalSandboxes, tmp_path: Path) -> None:
    first = sandboxes.start(spec())
    assert sandboxes.start(spec()) is first
    other = LocalSandboxes(sandboxes._settings)
    assert other.start(spec()).health() == first.health()
    assert other.connect("ses_1") is not None
    assert sandboxes.connect("ses_2") is None
    assert sandboxes.list_running() == ["ses_1"]


def test_two_workers_that_start_at_once_get_one_executor(sandboxes: LocalSandboxes) -> None:
    boots: list[str] = []

    def begin() -> None:
        boots.append(LocalSandboxes(sandboxes._settings).start(spec()).health()["bootId"])

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(boots) == 6
    assert len(set(boots)) == 1


def test_a_higher_generation_ends_the_one_before_and_a_lower_one_is_refused(sandboxes: LocalSandboxes) -> None:
    old = sandboxes.start(spec(generation=3))
    mark = uuid.uuid4().hex
    start(old, python(f"import time; print('ready'); time.sleep(600) # {mark}"))
    wait_for(old, b"ready")
    old.write_file("kept", b"x")
    pid = executor_pid(sandboxes)
    new = sandboxes.start(spec(generation=4))
    assert not is_alive(pid)
    assert not processes_of(mark)
    assert new.read_file("kept", offset=0, limit=1)[0] == b"x"
    assert new.health()["generation"] == 4
    with pytest.raises(ExecutorError) as caught:
        sandboxes.start(spec(generation=3))
    assert caught.value.code == "wrong_generation"


def test_a_sandbox_outlives_the_process_that_started_it(sandboxes: LocalSandboxes) -> None:
    bubblewrap = sandboxes._settings.bubblewrap
    folder = sandboxes._settings.folder
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(folder), bubblewrap], cwd=root, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    executor = sandboxes.connect("ses_1")
    assert executor is not None
    executor.write("run_1.1", "in", "k", b"hello", epoch=1)
    wait_for(executor, b"got hello")


def test_a_sandbox_outlives_the_thread_that_started_it(sandboxes: LocalSandboxes) -> None:
    thread = threading.Thread(
        target=lambda: start(sandboxes.start(spec()), python("import time\ntime.sleep(0.3)\nprint(1)"))
    )
    thread.start()
    thread.join()
    executor = sandboxes.connect("ses_1")
    assert executor is not None
    assert said(list(executor.follow("run_1.1", 0))) == [b"1"]


def test_stop_leaves_the_files_and_nothing_else(sandboxes: LocalSandboxes) -> None:
    executor, mark = sandboxes.start(spec()), uuid.uuid4().hex
    executor.write_file("a", b"x")
    code = (
        f"import os, time\nif os.fork() == 0:\n os.setsid()\n time.sleep(600) # {mark}\nprint('ready')\ntime.sleep(600)"
    )
    start(executor, python(code))
    wait_for(executor, b"ready")
    sandboxes.stop("ses_1", EVERY_GENERATION)
    assert not processes_of(mark)
    assert not processes_of(sandboxes._mark(spec()))
    assert sandboxes.connect("ses_1") is None
    assert sandboxes.list_running() == []
    assert sandboxes.exists("ses_1")
    sandboxes.stop("ses_1", EVERY_GENERATION)
    assert sandboxes.start(spec(generation=2)).read_file("a", offset=0, limit=1)[0] == b"x"


def test_remove_deletes_everything_however_it_is_locked(sandboxes: LocalSandboxes) -> None:
    executor = sandboxes.start(spec())
    lock = "mkdir -p d/e && touch d/e/f && chmod 0 d/e/f && chmod 0500 d/e && chmod 0 d"
    assert executor.execute(lock, cwd="/workspace", timeout_ms=10_000).exit_code == 0
    sandboxes.remove("ses_1", EVERY_GENERATION)
    sandboxes.remove("ses_1", EVERY_GENERATION)
    assert not sandboxes.exists("ses_1")
    assert not sandboxes._sandbox("ses_1").exists()


@pytest.mark.parametrize("victim", ["monitor", "executor"])
def test_whatever_is_killed_nothing_goes_on_unseen(sandboxes: LocalSandboxes, victim: str) -> None:
    executor, mark = sandboxes.start(spec()), uuid.uuid4().hex
    start(executor, python(f"import time; print('ready'); time.sleep(600) # {mark}"))
    wait_for(executor, b"ready")
    running = sandboxes._read("ses_1")
    assert running is not None
    os.kill(running.pid if victim == "monitor" else running.executor_pid, signal.SIGKILL)
    eventually(lambda: not processes_of(mark), what="no agent")
    eventually(lambda: not processes_of(sandboxes._mark(spec())), what="no executor")
    assert sandboxes.connect("ses_1") is None
    again = sandboxes.start(spec())
    assert list(again.follow("run_1.1", 0))[-1].json() == {"exit": "executor_lost"}


def test_a_half_started_sandbox_is_cleared_away(sandboxes: LocalSandboxes) -> None:
    sandboxes.start(spec())
    pid = executor_pid(sandboxes)
    (sandboxes._sandbox("ses_1") / "sandbox.json").unlink()
    assert sandboxes.connect("ses_1") is None
    fresh = LocalSandboxes(sandboxes._settings)
    assert fresh.start(spec()).health()["status"] == "ok"
    assert not is_alive(pid)


def test_an_executor_ends_when_its_folder_is_gone(sandboxes: LocalSandboxes) -> None:
    import shutil

    sandboxes.start(spec())
    shutil.rmtree(sandboxes._sandbox("ses_1"))
    eventually(lambda: not processes_of(sandboxes._mark(spec())), what="no executor")


def test_mounts_are_where_they_are_promised(tmp_path: Path, sandboxes: LocalSandboxes) -> None:
    tool = tmp_path / "tools/tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho tool works\n")
    tool.chmod(0o755)
    executor = sandboxes.start(spec(**{"/opt/agents/deep/tool": str(tool)}))
    from app.domain.turn import AgentCommand

    start(executor, AgentCommand(["/opt/agents/deep/tool"]))
    assert said(list(executor.follow("run_1.1", 0))) == [b"tool works"]


def test_an_agent_that_is_not_installed_keeps_no_sandbox_from_starting(
    tmp_path: Path, sandboxes: LocalSandboxes
) -> None:
    executor = sandboxes.start(spec(**{"/opt/agents/gone": str(tmp_path / "gone")}))
    assert executor.health()["status"] == "ok"


def test_a_long_folder_is_no_problem(tmp_path: Path, sandbox_mode: str) -> None:
    with local_sandboxes(tmp_path / ("long" * 30), sandbox_mode) as made:
        assert made.start(spec()).health()["status"] == "ok"


def test_an_executor_is_small(sandboxes: LocalSandboxes) -> None:
    executor = sandboxes.start(spec())
    executor.scan(["workspace"], reason="test")
    status = Path(f"/proc/{executor_pid(sandboxes)}/status").read_text()
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert kilobytes < 25 * 1024


def test_no_secret_is_in_a_command_line_or_an_environment(sandboxes: LocalSandboxes) -> None:
    sandboxes.start(spec())
    running = sandboxes._read("ses_1")
    assert running is not None
    for pid in {running.pid, running.executor_pid}:
        for name in ("cmdline", "environ"):
            with contextlib.suppress(PermissionError):  # better still: only root may look at all
                assert running.token.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()


def test_bubblewrap_hides_the_machine(tmp_path: Path) -> None:
    if not bubblewrap_usable():
        pytest.skip("bubblewrap cannot be used on this machine")
    with local_sandboxes(tmp_path / "sandboxes", "bubblewrap") as made:
        executor = made.start(spec())
        done = executor.execute(
            f"ls {tmp_path} /root /home; cat /etc/shadow; id; pwd; echo $HOME; touch /usr/x; grep CapEff /proc/self/status; hostname",
            cwd="/workspace",
            timeout_ms=10_000,
        )
        assert done.stdout.startswith("/home:\nagent\n")
        assert "uid=1000(agent)" in done.stdout
        assert "\n/workspace\n/home/agent\n" in done.stdout
        assert "CapEff:\t0000000000000000" in done.stdout
        assert "root:" not in done.stdout

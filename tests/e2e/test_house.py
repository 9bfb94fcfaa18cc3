"""`make up` for real: ready, idempotent, healed after kill -9 of any process, nothing lost by `down` and `up`."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator

import httpx
import pytest

from cli.supervisor import Record
from tests.support.stack import Stack, envelopes, stack
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack() as started:
        yield started


def hello(running: Stack, *words: str) -> str:
    """Run the scripted agent to its end and return the run's id."""
    done = running.paddock("run", "--provider", "scripted", "--json", *words, "hello")
    assert done.returncode == 0, done.stdout + done.stderr
    events = envelopes(done.stdout)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "run.closed"
    return str(events[0]["runId"])


def test_up_prints_what_a_person_does_next_and_does_so_again(running: Stack) -> None:
    first, second = (json.loads(running.paddock("up", "--json").stdout) for _ in range(2))
    assert first["address"] == second["address"] == running.url
    assert first["loginLink"] != second["loginLink"]
    assert "run --provider scripted" in first["example"]
    assert "XRANGE" in first["redisCli"]


def test_the_login_link_logs_in_once(running: Stack) -> None:
    link = json.loads(running.paddock("up", "--json").stdout)["loginLink"]
    answers = []
    for _ in range(2):
        with httpx.Client(follow_redirects=True, trust_env=False) as browser:
            browser.get(link)
            code = link.partition("code=")[2]
            browser.post(f"{running.url}/api/auth/login", json={"code": code}, headers={"Origin": running.url})
            answers.append(browser.get(f"{running.url}/api/me").status_code)
    assert answers == [200, 401]


def test_a_run_streams_to_its_end(running: Stack) -> None:
    run_id = hello(running)
    tail = running.paddock("tail", run_id)
    assert tail.returncode == 0
    assert "hello" in tail.stdout
    assert "succeeded" in tail.stdout


def test_the_redis_line_that_up_prints_reads_like_a_log(running: Stack) -> None:
    run_id = hello(running)
    done = running.paddock("redis-cli", "XRANGE", f"paddock:run:{run_id}:events", "-", "+")
    assert '"run.started"' in done.stdout
    assert '"message.delta"' in done.stdout


def test_nobody_else_on_the_machine_reaches_redis_or_the_token(running: Stack) -> None:
    assert stat.S_IMODE((running.var / "redis").stat().st_mode) == 0o700
    assert stat.S_IMODE((running.var / "redis" / "redis.sock").stat().st_mode) == 0o700
    assert stat.S_IMODE((running.var / "owner-token").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["web", "worker-1", "maintenance", "scheduler", "redis"])
def test_a_killed_process_comes_back_and_runs_go_on(running: Stack, name: str) -> None:
    running.restart(name)
    running.wait_until_ready()
    hello(running)


def test_up_heals_after_the_supervisor_was_killed(running: Stack) -> None:
    record = Record(running.var / "run")
    before = running.processes()
    supervisor = record.supervisor()
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(lambda: not supervisor.is_alive)
    running.up()
    after = running.processes()
    assert set(after) == set(before)
    assert not any(mark.is_alive for mark in before.values())
    hello(running)


def test_down_and_up_lose_nothing(running: Stack) -> None:
    run_id = hello(running)
    before = running.paddock("tail", "--json", run_id).stdout
    running.down()
    assert running.processes() == {}
    refused = running.paddock("runs")
    assert refused.returncode == 2
    assert "make up" in refused.stderr
    running.up()
    assert running.paddock("tail", "--json", run_id).stdout == before


def test_two_installations_live_side_by_side_and_a_taken_port_is_told(running: Stack) -> None:
    with stack() as other:
        assert other.url != running.url
        assert hello(other) not in running.paddock("runs", "--json").stdout
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        lonely = Stack(running.var / "lonely", taken.getsockname()[1])
        done = lonely.paddock("up")
    assert done.returncode == 2
    assert "taken by another program" in done.stderr
    assert "PADDOCK_PORT=" in done.stderr
    assert lonely.processes() == {}

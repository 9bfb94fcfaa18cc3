"""One run through every process of a real installation: its trace in their logs, what /metrics and /health say meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.prometheus import Scrape
from tests.support.stack import Stack, stack
from tests.support.waiting import eventually

TRACE = "4b" * 16
KEY = "sk-ant-not-for-any-log-0123456789"
LABELS = {"ts", "level", "message", "component", "traceId", "sessionId", "runId", "executorId"}
ENV = {
    "PADDOCK_WEDGED_SECONDS": "3",
    "PADDOCK_SWEEP_SECONDS": "1",
    "PADDOCK_HEARTBEAT_SECONDS": "1",
    "PADDOCK_WORKER_PROCESSES": "1",
    "ANTHROPIC_API_KEY": KEY,
    "PADDOCK_LOG_LEVEL": "DEBUG",
}


@pytest.fixture(scope="module")
def here() -> Iterator[Stack]:
    with stack(ENV) as running:
        yield running


@pytest.fixture(scope="module")
def client(here: Stack) -> Iterator[httpx.Client]:
    with here.client() as opened:
        yield opened


def finished(client: httpx.Client, run_id: str) -> dict[str, Any]:
    return eventually(lambda: (run := client.get(f"/api/runs/{run_id}").json()).get("finishedAt") and run)


def scrape(client: httpx.Client) -> Scrape:
    return Scrape(client.get("/metrics").text)


def lines(text: str) -> list[dict[str, Any]]:
    """Every line is JSON with the names that all lines have."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(set(line) >= LABELS for line in found), [line for line in found if not set(line) >= LABELS]
    return found


def health(client: httpx.Client) -> tuple[int, str]:
    answer = client.get("/health")
    return answer.status_code, str(answer.json()["checks"]["processes"].get("error", ""))


def test_one_trace_is_found_in_every_process_and_in_the_agents_environment(here: Stack, client: httpx.Client) -> None:
    with here.client() as traced:
        traced.headers["traceparent"] = f"00-{TRACE}-{'a1' * 8}-01"
        run_id = here.start(traced, "/run echo $TRACEPARENT\n/stderr odd", providerOptions={"approval": "all"})
    run = finished(client, run_id)
    session = run["sessionId"]
    assert run["status"] == "succeeded"
    events = client.get(f"/api/runs/{run_id}/events").json()["items"]
    (output,) = [each["data"]["output"] for each in events if each["type"] == "tool.result"]
    assert f"00-{TRACE}-" in output
    assert {each["traceId"] for each in events} == {TRACE}

    executor_log = here.var / "sandboxes" / session / "executor.log"
    logs = {name: here.log(name) for name in ("web", "worker-1", "maintenance", "scheduler", "supervisor")}
    logs["executor"] = executor_log.read_text()
    told = {name: lines(text) for name, text in logs.items()}
    for name, component in (("web", "web"), ("worker-1", "worker"), ("executor", "executor")):
        mine = [line for line in told[name] if line["traceId"] == TRACE]
        assert mine, f"{name} says nothing of the trace"
        assert {line["component"] for line in mine} == {component}
        assert any((line["runId"], line["sessionId"]) == (run_id, session) for line in mine)
    assert any(line["executorId"] == f"{session}.1" for line in told["worker-1"] if line["runId"] == run_id)
    assert all(line["executorId"] == f"{session}.1" for line in told["executor"])
    assert not any(secret in text for text in logs.values() for secret in (KEY, here.token))


def test_the_metrics_of_a_run_move_and_no_series_names_it(here: Stack, client: httpx.Client) -> None:
    finished(client, here.start(client, "hello"))
    before = eventually(lambda: settled(client))
    run = finished(client, here.start(client, "/say one\n/say two", providerOptions={"approval": "all"}))
    client.get(f"/api/runs/{run['runId']}/nothing-here")
    after = eventually(
        lambda: (
            (now := scrape(client)).value("paddock_events_total", {"type": "run.closed"})
            == 2 + before_closed(before) - 1
            and now
        )
    )
    moved = {
        "paddock_claims_total": {"kind": "turn"},
        "paddock_events_total": {"type": "message.stop"},
        "paddock_syncs_total": {"result": "succeeded"},
        "paddock_http_requests_total": {"route": "POST /api/runs/start", "status": "202"},
        "paddock_http_request_seconds_count": {"route": "POST /api/runs/start"},
        "paddock_event_append_seconds_count": {},
        "paddock_event_flush_lag_seconds_count": {},
        "paddock_runs": {"status": "succeeded"},
    }
    for name, labels in moved.items():
        assert after.value(name, labels) > before.value(name, labels), name
    assert after.value("paddock_processes", {"state": "ok"}) >= 4
    assert after.value("paddock_sandboxes", {"state": "running"}) >= 1
    finished(client, here.start(client, "/say three"))
    labels = {value for each in scrape(client).samples for value in each.labels.values()}
    assert not any(
        word in label for label in labels for word in ("run_0", "ses_0", run["runId"], "nothing-here", "usr_")
    )
    assert {each.labels["route"] for each in after.samples if "route" in each.labels} >= {"GET /api/runs/<run_id>", "-"}


def before_closed(scraped: Scrape) -> float:
    return scraped.value("paddock_events_total", {"type": "run.closed"})


def settled(client: httpx.Client) -> Scrape | None:
    """Return the metrics once all processes have told what they counted."""
    now = scrape(client)
    return now if now.value("paddock_events_total", {"type": "run.closed"}) >= 2 else None


@pytest.mark.parametrize("name", ["worker-1", "scheduler", "maintenance"])
def test_a_stopped_process_is_named_and_forgiven_when_it_goes_on(here: Stack, client: httpx.Client, name: str) -> None:
    eventually(lambda: health(client)[0] == 200)
    mark = here.processes()[name]
    os.kill(mark.pid, signal.SIGSTOP)
    try:
        status, why = eventually(lambda: (found := health(client))[0] == 503 and found)
        assert status == 503
        assert f"{name.partition('-')[0]} " in why
        assert f":{mark.pid} wedged for " in why
        assert client.get("/ready").status_code == 200
        if name == "scheduler":
            shown = here.paddock("status")
            assert f":{mark.pid} wedged" in shown.stdout.replace("\n", "")
    finally:
        os.kill(mark.pid, signal.SIGCONT)
    eventually(lambda: health(client)[0] == 200)
    assert here.processes()[name] == mark


def test_a_killed_process_that_is_started_again_is_missed_by_nobody(here: Stack, client: httpx.Client) -> None:
    here.restart("worker-1")
    eventually(lambda: scrape(client).value("paddock_processes", {"component": "worker", "state": "ok"}) == 1)
    assert health(client) == (200, "")

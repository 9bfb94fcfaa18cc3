"""`paddock stress`: what one stream is taken for, and what a report makes of many."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.client import Client
from cli.stress import pages
from cli.stress.course import Course
from cli.stress.findings import Failure, Plan, Report, Watched
from cli.stress.watching import Watch

PLAN = Plan("scripted", iterations=3, timeout_seconds=60, prompt="hello")
PATIENCE_SECONDS = 30
STARTED = {"type": "run.started", "data": {}}
FINISHED = {"type": "run.finished", "data": {"status": "succeeded", "usage": {"output": 3}}}
CLOSED = {"type": "run.closed", "data": {}}
HEARTBEAT = "event: heartbeat\ndata: {}\n\n"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.client.time.sleep", lambda _: None)


def finished(status: str, **data: Any) -> dict[str, Any]:
    return {"type": "run.finished", "data": {"status": status, **data}}


def as_sse(*events: dict[str, Any]) -> str:
    told = [{"runId": "run_1", "sessionId": "ses_1", "seq": n, **event} for n, event in enumerate(events, 1)]
    return "".join(f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in told)


class Body(httpx.SyncByteStream):
    """Texts, and functions that are called in between: one may wait, or break off."""

    def __init__(self, *parts: str | Callable[[], object]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, str):
                yield part.encode()
            else:
                part()


def breaks() -> None:
    raise httpx.ReadError("connection reset")


class Server:
    """Answers a start with one body, and notes the stops."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer
        self.stopped = threading.Event()
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/runs/start":
            self.asked.append(json.loads(request.content))
            return self._answer
        if request.url.path == "/api/runs/run_1/explain":
            return httpx.Response(200, json={"summary": "It waits for a worker."})
        assert request.url.path == "/api/runs/run_1/stop"
        self.stopped.set()
        return httpx.Response(200, json={})


def watched(server: Server, plan: Plan = PLAN) -> Watched:
    return Watch(
        Client("http://paddock.test", "t", transport=httpx.MockTransport(server)), plan, "scripted", "1/3"
    ).run()


def streamed(*parts: str | Callable[[], object]) -> Server:
    return Server(httpx.Response(200, stream=Body(*parts)))


def test_a_run_that_is_seen_to_its_end_succeeded() -> None:
    delta = {"type": "message.delta", "data": {"text": "x"}}
    server = streamed("retry: 1000\n\n", HEARTBEAT, as_sse(STARTED, delta, FINISHED, CLOSED))
    run = watched(server)
    assert (run.outcome, run.failure, run.run_id, run.session_id) == ("succeeded", None, "run_1", "ses_1")
    assert run.first_delta_seconds is not None
    assert run.usage == {"output": 3}
    assert len(run.events) == 4
    assert not server.stopped.is_set()
    assert server.asked[0]["providerOptions"] == {"approval": "all"}
    assert server.asked[0]["budget"]["maxSeconds"] > PLAN.timeout_seconds


@pytest.mark.parametrize("status", ["failed", "blocked"])
def test_a_failure_has_the_run_s_own_class_words_and_remedy(status: str) -> None:
    warning = {"type": "run.warning", "data": {"code": "auth_missing", "message": "No key is set."}}
    end = finished(status, failureCode="auth_missing", remedy="Set it.", stopReason="error")
    run = watched(streamed(as_sse(STARTED, warning, end, CLOSED)))
    assert run.outcome == status
    assert run.failure == Failure("auth_missing", "No key is set.", "Set it.")


def test_a_run_that_somebody_stopped_was_canceled() -> None:
    run = watched(streamed(as_sse(STARTED, finished("canceled", stopReason="stopped"), CLOSED)))
    assert run.outcome == "canceled"
    assert run.failure is not None
    assert run.failure.failure_class == "canceled"


def test_a_connection_that_breaks_is_a_transport_error_and_the_run_is_stopped() -> None:
    server = streamed(as_sse(STARTED), breaks)
    run = watched(server)
    assert (run.outcome, run.run_id) == ("transport_error", "run_1")
    assert server.stopped.is_set()


def test_a_stream_that_ends_without_run_closed_is_incomplete_and_the_run_is_stopped() -> None:
    server = streamed(as_sse(STARTED, FINISHED))
    run = watched(server)
    assert run.outcome == "incomplete"
    assert run.failure is not None
    assert run.failure.failure_class == "incomplete"
    assert "paddock tail" in run.failure.suggestion
    assert server.stopped.is_set()


def test_what_the_server_refuses_failed_with_its_code_and_remedy() -> None:
    problem = {"title": "No.", "code": "provider_unknown", "remedy": "Choose another."}
    run = watched(Server(httpx.Response(422, json=problem)))
    assert run.outcome == "failed"
    assert run.failure == Failure("provider_unknown", "No.", "Choose another.")


def test_a_server_that_restarts_is_a_transport_error() -> None:
    assert watched(Server(httpx.Response(503, json={"title": "restarting"}))).outcome == "transport_error"


def test_a_run_that_takes_too_long_is_stopped_and_incomplete() -> None:
    server = Server(httpx.Response(500))
    ends = as_sse(STARTED, STARTED, finished("canceled"), CLOSED).partition("id: 2")
    server._answer = httpx.Response(
        200, stream=Body(ends[0], lambda: server.stopped.wait(PATIENCE_SECONDS), ends[1] + ends[2])
    )
    run = watched(server, Plan("scripted", 1, 0.01, "hello"))
    assert run.outcome == "incomplete"
    assert run.failure is not None
    assert run.failure.failure_class == "timed_out"
    assert run.failure.message == "Given up. It waits for a worker."


def test_a_run_that_asks_a_person_is_stopped_and_incomplete() -> None:
    asked = {"type": "human_loop.requested", "data": {"requestId": "hlr_1"}}
    server = streamed(as_sse(STARTED, asked, finished("canceled"), CLOSED))
    run = watched(server)
    assert server.stopped.is_set()
    assert run.outcome == "incomplete"
    assert run.failure is not None
    assert run.failure.failure_class == "waiting_human"


def test_checks_that_are_new_are_shown_as_the_others() -> None:
    told = {"kind": "x", "ok": False, "checks": [{"name": "trial", "ok": False, "message": "no", "seconds": 3}]}
    handler = httpx.MockTransport(lambda _: httpx.Response(200, json=told))
    course = Course(Client("http://paddock.test", "t", transport=handler), PLAN, lambda _: None)
    assert course.look() == {"ok": False, "checks": [{"name": "trial", "ok": False, "message": "no", "remedy": None}]}


def report_of(*outcomes: Any, strict: bool = True, threshold: float = 0.5) -> Report:
    plan = Plan("scripted", len(outcomes), 60, "hello", strict=strict, threshold=threshold)
    report = Report(
        plan, "http://paddock.test", "2026-01-31T09:00:00Z", "2026-01-31T09:01:00Z", {"ok": True, "checks": []}
    )
    for number, outcome in enumerate(outcomes, 1):
        failure = None if outcome == "succeeded" else Failure(f"why_{outcome}", "a | b\n<i>", "Mend it.")
        report.runs.append(Watched(f"{number}/{len(outcomes)}", outcome, 1.0, f"run_{number}", failure=failure))
    return report


@pytest.mark.parametrize(
    ("outcomes", "passed"),
    [(["succeeded", "failed"], True), (["succeeded", "failed", "failed"], False), (["incomplete"], False), ([], False)],
)
def test_as_many_must_succeed_as_the_threshold_says(outcomes: list[str], passed: bool) -> None:
    assert report_of(*outcomes).passed is passed


def test_what_was_broken_off_has_shown_nothing() -> None:
    report = report_of("succeeded")
    report.interrupted = True
    assert not report.passed


def test_the_classes_come_commonest_first_with_their_runs() -> None:
    classes = report_of("blocked", "failed", "succeeded", "failed").failure_classes
    assert [(each["failureClass"], each["count"], each["runs"]) for each in classes] == [
        ("why_failed", 2, ["run_2", "run_4"]),
        ("why_blocked", 1, ["run_1"]),
    ]


def test_logs_of_runs_that_did_not_succeed_are_kept_and_linked_and_no_report_is_written_over(tmp_path: Path) -> None:
    log = {"items": [{"seq": 1}, {"seq": 2}], "nextCursor": None}
    client = Client("http://paddock.test", "t", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=log)))
    first = pages.write(report_of("succeeded", "failed"), tmp_path, client)
    second = pages.write(report_of("succeeded"), tmp_path, client)
    assert first.json != second.json
    told = json.loads(first.json.read_text())
    assert "log" not in told["runs"][0]
    link = told["runs"][1]["log"]
    assert [json.loads(line)["seq"] for line in (tmp_path / link).read_text().splitlines()] == [1, 2]
    text = first.markdown.read_text()
    assert f"[log]({link})" in text
    assert "a \\| b &lt;i>" in text
    assert "| failed | 1 |" in text


def test_of_a_server_that_is_gone_the_log_is_what_the_stream_showed(tmp_path: Path) -> None:
    def gone(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    report = report_of("transport_error")
    report.runs[0].events = [{"seq": 1}]
    client = Client("http://paddock.test", "t", transport=httpx.MockTransport(gone))
    written = pages.write(report, tmp_path, client)
    link = json.loads(written.json.read_text())["runs"][0]["log"]
    assert json.loads((tmp_path / link).read_text()) == {"seq": 1}

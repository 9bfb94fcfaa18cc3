"""The form of a log line: JSON, the same names everywhere, and no secret in it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app import config, log, trace
from app.log import logger
from cli import log_files
from executor.log_lines import labels_of

NAMES = {"ts", "level", "message", "component", "traceId", "sessionId", "runId", "executorId"}


@pytest.fixture(autouse=True)
def own_logger() -> Iterator[None]:
    yield
    logger.remove()
    logger.configure(extra={})
    log.start_context()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_has_the_names_and_what_is_known_is_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("worker")
    log.start_context()
    logger.info("worker ready", queue="runs")
    with logger.contextualize(trace_id="trc_1", session_id="ses_1", run_id="run_1"):
        log.label(executor_id="ses_1.2")
        logger.info("run ended", stop_reason="end_turn")
    logger.info("worker stops")
    first, second, third = lines(capsys)
    assert set(first) == NAMES | {"queue"}
    assert {first["traceId"], first["runId"]} == {None}
    assert second["executorId"] == "ses_1.2"
    assert (second["component"], second["runId"], second["stopReason"]) == ("worker", "run_1", "end_turn")
    assert third["executorId"] is None  # a label ends with its context


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("web")
    try:
        int("first\nsecond")
    except ValueError:
        logger.exception("request failed")
    (line,) = lines(capsys)
    assert "first" in line["exception"]
    assert "ValueError" in line["trace"]


def test_what_libraries_say_has_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("web")
    handler = log.LibraryHandler()
    record = logging.LogRecord("gunicorn.error", logging.CRITICAL, __file__, 1, "WORKER %s {x}", ("TIMEOUT",), None)
    handler.emit(record)
    (line,) = lines(capsys)
    assert set(line) == NAMES | {"library", "text"}
    assert (line["level"], line["message"], line["text"]) == ("error", "library said", "WORKER TIMEOUT {x}")


def test_a_secret_is_not_written_whatever_brings_it(capsys: pytest.CaptureFixture[str]) -> None:
    settings = config.Settings(
        anthropic_api_key="sk-ant-0123456789",
        database_url='postgres://paddock:pass"word-9@db/paddock',
        redis_url="redis://:redis-password@host/0",
        _env_file=None,
    )
    log.configure("worker", secrets=settings.secrets)
    logger.error("database did not answer", error='FATAL: no "pass"word-9"', url=settings.database_url)
    logger.error("x", nested={"key": ["sk-ant-0123456789"]}, other="redis-password")
    text = capsys.readouterr().err
    assert text.count("***") == 4
    for secret in ("sk-ant", "word-9", "redis-password"):
        assert secret not in text
    assert all(json.loads(line) for line in text.splitlines())


def test_labels_reach_another_thread_only_where_they_are_brought(capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    log.configure("worker")

    def say() -> None:
        logger.info("said")

    with logger.contextualize(run_id="run_1"):
        for target in (log.in_this_context(say), say):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert [line["runId"] for line in lines(capsys)] == ["run_1", None]


def test_a_process_that_dies_says_so_in_one_line() -> None:
    script = (
        "import threading; from app import log; log.configure('worker'); log.capture();"
        "t = threading.Thread(target=lambda: 1 / 0, name='keeper'); t.start(); t.join();"
        "import warnings; warnings.warn('old'); raise SystemError('broken')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["message"] for line in told] == ["thread died", "library said", "process died"]
    assert all(set(line) >= NAMES for line in told)


def test_the_supervisor_and_the_executor_write_the_same_form() -> None:
    line = json.loads(log_files.line("supervisor", "process ended", {"process": "web", "code": -9}))
    assert set(line) == NAMES | {"process", "code"}
    assert line["ts"].endswith("Z")
    assert len(line["ts"]) == len("2026-11-20T11:04:31.535Z")
    script = (
        "import os; from executor.log_lines import ExecutorLog; ExecutorLog('ses_1.1').write('info', 'executor ready')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    told = json.loads(done.stderr)
    assert set(told) == NAMES
    assert (told["component"], told["executorId"]) == ("executor", "ses_1.1")


def test_labels_of_a_call_are_named_as_in_logs_and_bounded() -> None:
    headers = {"x-trace-id": "trc_1", "x-run-id": "r" * 1000, "authorization": "Bearer secret", "x-session-id": "-"}
    assert labels_of(headers) == {"traceId": "trc_1", "runId": "r" * 128}


def test_an_executors_log_does_not_grow_without_bound(tmp_path: Any) -> None:
    path = tmp_path / "executor.log"
    script = (
        "from executor import log_lines; log_lines.LOG_BYTES = 2000; log = log_lines.ExecutorLog('ses_1.1')\n"
        "for number in range(200): log.write('info', 'call served', number=number)"
    )
    with path.open("wb") as file:
        subprocess.run([sys.executable, "-c", script], stderr=file, check=True, env={**os.environ})
    assert path.stat().st_size < 2500
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()][-1] == 199


@pytest.mark.parametrize(
    ("parent", "own", "expected"),
    [
        (f"00-{'4b' * 16}-{'a1' * 8}-01", "mine-12345", "4b" * 16),
        (f"cc-{'4b' * 16}-{'a1' * 8}-01-more", "", "4b" * 16),
        (f"ff-{'4b' * 16}-{'a1' * 8}-01", "mine-12345", "mine-12345"),
        (f"00-{'0' * 32}-{'a1' * 8}-01", "no spaces", None),
    ],
)
def test_a_caller_s_trace_goes_on(parent: str, own: str, expected: str | None) -> None:
    found = trace.of_request(parent, own, "req_1")
    assert found == expected or (expected is None and found.startswith("trc_"))


def test_a_trace_is_passed_on_with_a_span_of_its_own() -> None:
    first, second = trace.parent("4b" * 16), trace.parent("4b" * 16)
    assert first != second
    for told in (first, trace.parent("trc_01M7WA27HG4X5N6MED0J9JNNQR")):
        version, trace_id, span, flags = told.split("-")
        assert (version, len(trace_id), len(span), flags) == ("00", 32, 16, "01")
    assert trace.of_request(first, "", "req_1") == "4b" * 16

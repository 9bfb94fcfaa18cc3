"""What `paddock explain` prints: the words first, each fact on a line of its own, nothing of an agent's that a terminal obeys."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from cli import explanation

NOW = "2026-01-02T03:04:05.000Z"


def printed(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> list[str]:
    found: dict[str, Any] = {
        "runId": "run_1",
        "sessionId": "ses_1",
        "traceId": "trc_1",
        "status": "failed",
        "summary": "It failed: no route (transport_error)",
        "advice": "Check the address.",
        "lastSeq": 9,
        "lease": {"epoch": 2},
        "attempts": [],
        "failures": {"count": 0, "deaths": 0},
        "journal": {"state": "not_started"},
        "requests": [],
        "commands": [],
        **facts,
    }
    sink = io.StringIO()
    monkeypatch.setattr(explanation, "out", Console(file=sink, width=80, highlight=False, soft_wrap=True))
    explanation.show(found)
    return sink.getvalue().splitlines()


def test_the_words_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch)[:5] == [
        "run_1 is failed in ses_1, trace trc_1",
        "It failed: no route (transport_error)",
        "→ Check the address.",
        "  lease      epoch 2, nobody holds it",
        "  journal    no agent was started yet; last seq 9",
    ]


def test_every_fact_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(
        monkeypatch,
        lease={"epoch": 3, "owner": "host:1:ab", "until": NOW, "over": True},
        sandbox={"status": "error", "generation": 4, "lastSyncStatus": "failed", "lastSyncError": "store is away"},
        attempts=[
            {"attempt": 1, "startedAt": NOW, "provider": "scripted", "status": "queued", "endedAt": NOW, "code": "x"},
            {"attempt": 2, "startedAt": NOW, "provider": "scripted", "context": "native_resume"},
        ],
        failures={"count": 2, "deaths": 1, "code": "worker_lost", "failureClass": "execution_issue", "message": "gone"},
        journal={"state": "ended", "exit": "code:0", "last": 70, "inLog": 69},
        lastInput={"kind": "answer", "at": NOW, "text": "Red"},
        requests=[{"requestId": "hlr_1", "title": "Colour?", "outcome": "answered", "by": "usr_1", "byName": "bob"}],
        commands=[{"kind": "stop", "createdAt": NOW}, {"kind": "answer", "createdAt": NOW, "appliedSeq": 7}],
        callbacks={"count": 4321, "waiting": 2, "firstAt": NOW, "lastAt": NOW},
    )
    text = "\n".join(lines)
    for words in (
        "epoch 3, held by host:1:ab over since",
        "store is away",
        "1. scripted, began",
        "native resume",
        "worker_lost",
        "the agent has ended (code:0), last record 70, in the log up to 69",
        "answer 2026-01-02: Red",
        "hlr_1 answered by bob, not delivered yet: Colour?",
        "not taken up yet",
        "took effect at seq 7",
        "4321 of its executor, first 2026-01-02, last 2026-01-02, 2 not taken up yet",
    ):
        assert words in text


def test_what_an_agent_wrote_does_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(
        monkeypatch,
        summary="It waits: \x1b[2J[red]x[/]",
        lastInput={"kind": "message", "at": NOW, "text": "\x1b]0;t\x07[b]"},
    )
    assert lines[1] == "It waits: [red]x[/]"
    assert lines[-1].endswith(": [b]")

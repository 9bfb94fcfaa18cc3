"""The UI message stream: one table of events and the chunks that a strict reader takes."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.events import Event, EventType
from web.projections.ui_message import INTERRUPTED, UiMessageStream

RUN = "run_1"
ALLOWED = {
    "start": {"messageId", "messageMetadata"},
    "start-step": set(),
    "finish-step": set(),
    "finish": {"messageMetadata"},
    "abort": set(),
    "error": {"errorText"},
    "text-start": {"id"},
    "text-delta": {"id", "delta"},
    "text-end": {"id"},
    "reasoning-start": {"id"},
    "reasoning-delta": {"id", "delta"},
    "reasoning-end": {"id"},
    "tool-input-available": {"toolCallId", "toolName", "input", "dynamic", "providerMetadata"},
    "tool-output-available": {"toolCallId", "output", "dynamic"},
    "tool-output-error": {"toolCallId", "errorText", "dynamic"},
    "tool-output-denied": {"toolCallId"},
    "tool-approval-request": {"approvalId", "toolCallId"},
}
START = {"type": "start", "messageId": RUN, "messageMetadata": {"runId": RUN}}
CALL = {"toolCallId": "t1", "name": "Write", "kind": "edit", "title": "Write a.txt", "input": {"path": "a.txt"}}
MADE = {
    "type": "tool-input-available",
    "toolCallId": "t1",
    "toolName": "Write",
    "input": {"path": "a.txt"},
    "dynamic": True,
    "providerMetadata": {"paddock": {"title": "Write a.txt", "kind": "edit"}},
}
ASKED = {"requestId": "h1", "kind": "approval", "title": "Write?", "toolCallId": "t1"}


def project(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    stream = UiMessageStream()
    return [
        chunk
        for seq, (kind, data) in enumerate(events, 1)
        for chunk in stream.project(Event(RUN, seq, kind, data, 1.0, "1:1"))
    ]


TABLE: list[tuple[list[tuple[str, dict[str, Any]]], list[dict[str, Any]]]] = [
    (
        [("message.delta", {"messageId": "m", "text": "a"}), ("message.stop", {"messageId": "m", "text": "a"})],
        [
            {"type": "text-start", "id": "m"},
            {"type": "text-delta", "id": "m", "delta": "a"},
            {"type": "text-end", "id": "m"},
        ],
    ),
    (
        [("message.stop", {"messageId": "m", "role": "user", "text": "blue", "commandId": "cmd_1"})],
        [
            {
                "type": "data-user-message",
                "id": "m",
                "data": {"messageId": "m", "role": "user", "text": "blue", "commandId": "cmd_1"},
            }
        ],
    ),
    (
        [("message.stop", {"messageId": "m", "text": "whole"})],
        [
            {"type": "text-start", "id": "m"},
            {"type": "text-delta", "id": "m", "delta": "whole"},
            {"type": "text-end", "id": "m"},
        ],
    ),
    (
        [("thinking.delta", {"messageId": "m", "text": "a"}), ("thinking.stop", {"messageId": "m", "text": "a"})],
        [
            {"type": "reasoning-start", "id": "m:reasoning"},
            {"type": "reasoning-delta", "id": "m:reasoning", "delta": "a"},
            {"type": "reasoning-end", "id": "m:reasoning"},
        ],
    ),
    (
        [("tool.call", CALL), ("tool.result", {"toolCallId": "t1", "status": "ok", "output": "done"})],
        [MADE, {"type": "tool-output-available", "toolCallId": "t1", "output": "done", "dynamic": True}],
    ),
    (
        [("tool.call", CALL), ("tool.result", {"toolCallId": "t1", "status": "error", "output": "no"})],
        [MADE, {"type": "tool-output-error", "toolCallId": "t1", "errorText": "no", "dynamic": True}],
    ),
    (
        [("tool.call", CALL), ("tool.result", {"toolCallId": "t1", "status": "denied", "output": ""})],
        [MADE, {"type": "tool-output-denied", "toolCallId": "t1"}],
    ),
    (
        [("tool.call", CALL), ("tool.output", {"toolCallId": "t1", "text": "…"})],
        [MADE, {"type": "data-tool-output", "data": {"toolCallId": "t1", "text": "…"}, "transient": True}],
    ),
    (
        [("tool.result", {"toolCallId": "unseen", "status": "ok", "output": "x"})],
        [{"type": "data-tool-result", "data": {"toolCallId": "unseen", "status": "ok", "output": "x"}}],
    ),
    (
        [("tool.call", CALL), ("human_loop.requested", ASKED)],
        [
            MADE,
            {"type": "data-human-loop-requested", "id": "h1", "data": ASKED},
            {"type": "tool-approval-request", "approvalId": "h1", "toolCallId": "t1"},
        ],
    ),
    ([("human_loop.requested", ASKED)], [{"type": "data-human-loop-requested", "id": "h1", "data": ASKED}]),
    (
        [("human_loop.resolved", {"requestId": "h1", "outcome": "answered"})],
        [{"type": "data-human-loop-resolved", "id": "h1", "data": {"requestId": "h1", "outcome": "answered"}}],
    ),
    ([("todo.update", {"todos": []})], [{"type": "data-todo-update", "id": "todos", "data": {"todos": []}}]),
    ([("usage.update", {"input": 1})], [{"type": "data-usage-update", "id": "usage", "data": {"input": 1}}]),
    (
        [("run.status", {"status": "queued"})],
        [{"type": "data-run-status", "id": "status", "data": {"status": "queued"}}],
    ),
    ([("run.warning", {"code": "x"})], [{"type": "data-run-warning", "data": {"code": "x"}}]),
    ([("context.restored", {"mode": "fresh"})], [{"type": "data-context-restored", "data": {"mode": "fresh"}}]),
    ([("workspace.synced", {"snapshotId": "s"})], [{"type": "data-workspace-synced", "data": {"snapshotId": "s"}}]),
    ([("workspace.sync_failed", {"error": "e"})], [{"type": "data-workspace-sync-failed", "data": {"error": "e"}}]),
    ([("from.the_future", {"a": 1})], [{"type": "data-from-the-future", "data": {"a": 1}}]),
    (
        [("run.started", {"attempt": 1}), ("run.finished", {"status": "succeeded", "usage": {}}), ("run.closed", {})],
        [
            {"type": "start-step"},
            {"type": "data-run-started", "data": {"attempt": 1}},
            {"type": "finish-step"},
            {"type": "data-run-finished", "data": {"status": "succeeded", "usage": {}}},
            {"type": "finish", "messageMetadata": {"status": "succeeded", "usage": {}}},
        ],
    ),
    (
        [("run.finished", {"status": "failed", "remedy": "Try again."})],
        [
            {"type": "data-run-finished", "data": {"status": "failed", "remedy": "Try again."}},
            {"type": "error", "errorText": "Try again."},
            {"type": "finish", "messageMetadata": {"status": "failed", "remedy": "Try again."}},
        ],
    ),
    (
        [("run.finished", {"status": "canceled"})],
        [
            {"type": "data-run-finished", "data": {"status": "canceled"}},
            {"type": "abort"},
            {"type": "finish", "messageMetadata": {"status": "canceled"}},
        ],
    ),
    (
        [
            ("run.started", {"attempt": 1}),
            ("message.delta", {"messageId": "m", "text": "a"}),
            ("tool.call", CALL),
            ("run.started", {"attempt": 2}),
        ],
        [
            {"type": "start-step"},
            {"type": "data-run-started", "data": {"attempt": 1}},
            {"type": "text-start", "id": "m"},
            {"type": "text-delta", "id": "m", "delta": "a"},
            MADE,
            {"type": "text-end", "id": "m"},
            {"type": "tool-output-error", "toolCallId": "t1", "errorText": INTERRUPTED, "dynamic": True},
            {"type": "finish-step"},
            {"type": "start-step"},
            {"type": "data-run-started", "data": {"attempt": 2}},
        ],
    ),
]


@pytest.mark.parametrize(("events", "chunks"), TABLE)
def test_events_become_these_chunks(events: list[tuple[str, dict[str, Any]]], chunks: list[dict[str, Any]]) -> None:
    assert project(*events) == [START, *chunks]


def test_every_published_type_is_in_a_row_of_the_table() -> None:
    shown = {kind for events, _ in TABLE for kind, _ in events}

    assert set(EventType) <= shown


def test_no_chunk_holds_a_key_that_a_strict_reader_does_not_know() -> None:
    for events, _ in TABLE:
        for chunk in project(*events):
            allowed = {"id", "data", "transient"} if chunk["type"].startswith("data-") else ALLOWED[chunk["type"]]
            assert set(chunk) - {"type"} <= allowed

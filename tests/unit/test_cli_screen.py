"""How runs look on the terminal, how people answer there, and how Redis's replies are printed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from cli import redis_command, screen
from cli.asking import Asking, answer_of, decision_of
from cli.screen import RunScreen


def shown(*events: tuple[str, dict[str, Any]]) -> str:
    sink = io.StringIO()
    run = RunScreen(Console(file=sink, width=200, highlight=False, soft_wrap=True))
    for kind, data in events:
        run.show({"seq": 1, "type": kind, "data": data})
    run.end_line()
    return sink.getvalue()


def test_deltas_are_printed_as_they_come_and_the_whole_message_not_again() -> None:
    text = shown(
        ("message.delta", {"messageId": "m1", "text": "Hello "}),
        ("message.delta", {"messageId": "m1", "text": "[red]world"}),
        ("message.stop", {"messageId": "m1", "text": "Hello [red]world"}),
    )
    assert text == "Hello [red]world\n"


def test_a_message_without_deltas_is_printed_whole() -> None:
    assert shown(("message.stop", {"messageId": "m1", "text": "Hi"})) == "Hi\n"


def test_what_a_person_said_meanwhile_stands_apart_from_the_agent_s_text() -> None:
    text = shown(
        ("message.delta", {"messageId": "m1", "text": "Painting it red"}),
        ("message.stop", {"messageId": "m2", "role": "user", "text": "[blue]", "by": "usr_1", "commandId": "cmd_1"}),
        ("message.stop", {"messageId": "m1", "text": "Painting it red"}),
    )
    assert text == "Painting it red\n» usr_1: [blue]\n"


def test_a_tool_call_is_one_line_between_texts() -> None:
    text = shown(
        ("message.delta", {"messageId": "m1", "text": "Let me see"}),
        ("tool.call", {"toolCallId": "t1", "name": "Bash", "kind": "execute", "title": "ls\n-la", "input": {}}),
        ("tool.result", {"toolCallId": "t1", "status": "denied", "output": "no"}),
    )
    assert text.splitlines() == ["Let me see", "⏺ ls -la execute", "  ⎿ denied ls -la no"]


def test_the_end_says_why_it_failed_and_what_to_do() -> None:
    data = {
        "status": "failed",
        "stopReason": "error",
        "usage": {"input": 10, "cacheRead": 5, "output": 2, "costUsd": 0.5},
        "failureCode": "auth_missing",
        "remedy": "Set ANTHROPIC_API_KEY.",
    }
    assert shown(("run.finished", data)).splitlines() == [
        "failed 15 tokens in, 2 out · $0.5000",
        "auth_missing error",
        "→ Set ANTHROPIC_API_KEY.",
    ]


def test_usage_of_which_something_is_estimated_says_so() -> None:
    data = {"status": "canceled", "stopReason": "stopped", "usage": {"input": 30, "output": 2, "estimated": 32}}
    assert shown(("run.finished", data)).splitlines()[0] == "canceled about 30 tokens in, 2 out"


def test_an_unknown_event_is_named_and_harms_nothing() -> None:
    assert shown(("brand.new", {"a": 1})) == '· brand.new {"a": 1}\n'


def test_what_a_terminal_would_obey_is_left_out() -> None:
    assert screen.clean("a\x1b[31mb\x1b]0;title\x07c\x9b2Jd\x00e\tf\n") == "abc2Jde\tf\n"


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("y", {"decision": "allow"}),
        ("YES", {"decision": "allow"}),
        ("always", {"decision": "allow_always"}),
        ("no, use tabs", {"decision": "deny", "message": "use tabs"}),
        ("n", {"decision": "deny"}),
        ("maybe", None),
        ("", None),
    ],
)
def test_a_decision_is_read_from_a_line(line: str, body: dict[str, str] | None) -> None:
    assert decision_of(line) == body


@pytest.mark.parametrize(
    ("line", "multiple", "chosen"),
    [
        ("2", False, ["blue"]),
        ("3", False, ["3"]),
        ("my own words, please", False, ["my own words, please"]),
        ("1, 2", True, ["red", "blue"]),
        ("", True, []),
    ],
)
def test_an_answer_is_a_number_or_words(line: str, multiple: bool, chosen: list[str]) -> None:
    question = {"id": "q1", "options": [{"label": "red"}, {"label": "blue"}], "multiple": multiple}
    assert answer_of(question, line) == chosen


def test_questions_are_asked_one_by_one_and_answered_together() -> None:
    asking = Asking(RunScreen(Console(file=io.StringIO())))
    questions = [{"id": "q1", "question": "Color?", "options": [{"label": "red"}]}, {"id": "q2", "question": "Size?"}]
    asking.ask({"requestId": "hlr_1", "kind": "question", "questions": questions})
    assert asking.take("") is None
    assert asking.take("1") is None
    assert asking.take("tall") == {"requestId": "hlr_1", "answers": {"q1": ["red"], "q2": ["tall"]}}


def test_another_person_s_answer_closes_the_request_here() -> None:
    asking = Asking(RunScreen(Console(file=io.StringIO())))
    for name in ("hlr_1", "hlr_2"):
        asking.ask({"requestId": name, "kind": "approval", "toolCall": {"input": {"command": "ls"}}})
    asking.close("hlr_1")
    assert asking.take("y") == {"requestId": "hlr_2", "decision": "allow"}
    asking.close("hlr_2")
    assert not asking.is_open


def test_redis_replies_look_as_in_redis_cli() -> None:
    reply = [[b"1-1", [b"type", b"run.status", b"data", '{"a":"ü"}'.encode()]], [b"1-2", []], None, 3]
    assert list(redis_command.lines(reply)) == [
        '1) 1) "1-1"',
        '   2) 1) "type"',
        '      2) "run.status"',
        '      3) "data"',
        '      4) "{\\"a\\":\\"ü\\"}"',
        '2) 1) "1-2"',
        "   2) (empty array)",
        "3) (nil)",
        "4) (integer) 3",
    ]
    assert redis_command.quoted(b"\xff\x00a") == '"\\xff\\x00a"'


def test_redis_replies_are_json_where_that_is_wanted() -> None:
    reply = [[b"1-1", [b"type", "ü".encode()]], None, 3, b"\xff"]
    assert redis_command.plain(reply) == [["1-1", ["type", "ü"]], None, 3, "\\xff"]


def test_a_long_output_says_how_to_read_the_whole() -> None:
    sink = io.StringIO()
    run = RunScreen(Console(file=sink, width=200, highlight=False))
    data = {"toolCallId": "t1", "status": "ok", "output": "1 2 3", "blobId": "ab" * 32}
    run.show({"runId": "run_1", "seq": 1, "type": "tool.result", "data": data})
    assert sink.getvalue().splitlines()[1] == "    the whole output: paddock blob run_1 abababababab"


def test_a_person_is_told_by_name() -> None:
    sink = io.StringIO()
    run = RunScreen(Console(file=sink, width=200), name_of={"usr_1": "you", "usr_2": "otto"}.__getitem__)
    for by in ("usr_1", "usr_2"):
        data = {"requestId": "hlr_1", "outcome": "answered", "by": by, "reply": {"decision": "allow"}}
        run.show({"seq": 1, "type": "human_loop.resolved", "data": data})
    assert sink.getvalue().split() == ["answered", "by", "you:", "allow", "answered", "by", "otto:", "allow"]

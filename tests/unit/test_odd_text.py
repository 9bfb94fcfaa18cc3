"""Text that JSON may hold and UTF-8 may not: no line is lost, no character that came in two halves either."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain import jsontext
from app.domain.journal import Record
from app.domain.run_state import RunStatus
from app.domain.turn import AskPolicy, Launch, SendInput, Step
from app.providers.claude_code.provider import ClaudeCodeProvider

LAUNCH = Launch("run_1", "ses_1", 1, "hello")


def steps_of(*lines: str) -> list[Step]:
    turn = ClaudeCodeProvider().begin(LAUNCH)
    turn.step(Record(1, 1.0, "spawn", b"{}"))
    return [turn.step(Record(number, 1.0, "out", line.encode())) for number, line in enumerate(lines, 2)]


def events_of(steps: list[Step]) -> list[tuple[str, Any]]:
    return [event for step in steps for event in step.events]


def delta(text: str) -> str:
    """`text` as it stands in JSON text, escapes and all."""
    event = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"' + text + '"}}'
    return '{"type":"stream_event","event":' + event + "}"


START = (
    '{"type":"stream_event","event":{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}}'
)
RESULT = '{"type":"result","subtype":"success","is_error":false,"stop_reason":"end_turn","result":"RESULT"}'


def block(text: str) -> str:
    return '{"type":"assistant","message":{"content":[{"type":"text","text":"' + text + '"}]}}'


def texts(steps: list[Step]) -> tuple[str, str]:
    said = "".join(data["text"] for kind, data in events_of(steps) if kind == "message.delta")
    (whole,) = [data["text"] for kind, data in events_of(steps) if kind == "message.stop"]
    return said, whole


def test_a_character_in_two_deltas_is_one_character() -> None:
    whole = "Hello. Smile \\ud83d\\ude00 and then the rest."
    parts = ("Hello. ", "Smile \\ud83d", "\\ude00 and then ", "the rest.")
    said, told = texts(steps_of(START, *map(delta, parts), block(whole), RESULT))
    assert said == told == "Hello. Smile 😀 and then the rest."


@pytest.mark.parametrize("parts", [("lone \\ud83d here",), ("lone \\ud83d", " here"), ("lone ", "\\ud83d here")])
def test_a_half_that_stays_alone_is_replaced_and_nothing_else_is_lost(parts: tuple[str, ...]) -> None:
    steps = steps_of(START, *map(delta, parts), block("lone \\ud83d here"), RESULT.replace("RESULT", "lone \\ud83d"))
    assert texts(steps) == ("lone \ufffd here", "lone \ufffd here")
    assert steps[-1].outcome is not None
    assert steps[-1].outcome.status == RunStatus.SUCCEEDED


def test_a_half_at_the_very_end_is_told() -> None:
    assert texts(steps_of(START, delta("end \\ud83d"), block("end \\ud83d"), RESULT)) == ("end \ufffd", "end \ufffd")


def test_a_request_with_half_a_character_is_asked_and_answered_as_it_came() -> None:
    request = (
        '{"type":"control_request","request_id":"r1","request":{"subtype":"can_use_tool","tool_name":"Write",'
        '"tool_use_id":"t1","input":{"file_path":"/workspace/s.txt","content":"lone \\ud83d end"}}}'
    )
    turn = ClaudeCodeProvider().begin(LAUNCH)
    turn.step(Record(1, 1.0, "spawn", b"{}"))
    (asked,) = turn.step(Record(2, 1.0, "out", request.encode())).intents
    assert isinstance(asked, AskPolicy)
    assert asked.input["content"] == "lone \ufffd end"
    verdict = jsontext.encode({"type": "verdict", "requestId": "r1", "verdict": "allow", "rule": "test"})
    (reply,) = turn.step(Record(3, 1.0, "ctl", verdict, asked.key)).intents
    assert isinstance(reply, SendInput)
    assert b"lone \\ud83d end" in reply.line


def test_a_request_that_is_not_understood_is_refused_so_that_the_agent_goes_on() -> None:
    (step,) = steps_of('{"type":"control_request","request_id":"r1","request":null}')
    assert [data["code"] for _, data in step.events] == ["output_unreadable"]
    (refusal,) = step.intents
    assert isinstance(refusal, SendInput)
    assert b'"r1"' in refusal.line


def test_equal_todos_stay_apart() -> None:
    todos = '[{"content":"Same","status":"pending"},{"content":"Same","status":"in_progress"},{"content":"Other","status":"pending"}]'
    call = (
        '{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"TodoWrite","input":{"todos":'
        + todos
        + "}}]}}"
    )
    result = (
        '{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"ok"}]},'
        '"tool_use_result":{"oldTodos":[],"newTodos":' + todos + "}}"
    )
    (listed,) = [data["todos"] for kind, data in events_of(steps_of(call, result)) if kind == "todo.update"]
    assert [(todo["id"], todo["content"], todo["status"]) for todo in listed] == [
        ("1", "Same", "pending"),
        ("2", "Same", "in_progress"),
        ("3", "Other", "pending"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("plain", "plain"), ("é😀", "é😀"), ("\ud83d", "\ufffd"), ({"a": ["\udc00b"]}, {"a": ["\ufffdb"]}), (7, 7)],
)
def test_what_no_encoding_can_say_is_replaced(value: Any, expected: Any) -> None:
    assert jsontext.sayable(value) == expected


def test_lone_halves_survive_reading_and_writing() -> None:
    assert jsontext.parse(b'{"a":"\\ud83d"}') == {"a": "\ud83d"}
    assert jsontext.encode({"a": "\ud83d"}) == b'{"a":"\\ud83d"}'
    with pytest.raises(ValueError):
        jsontext.parse(b'{"a":')

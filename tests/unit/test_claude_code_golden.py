"""Claude Code's adapter against journals that were recorded from the real binary."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.run_state import RunStatus
from app.domain.turn import SendInput
from app.providers.claude_code import ClaudeCodeProvider
from tests.golden import transcripts

GOLDEN = transcripts.paths("claude_code")


def by_name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", GOLDEN, ids=by_name)
def test_a_recorded_journal_gives_the_recorded_steps(path: Path) -> None:
    golden = transcripts.read(path)
    turn = ClaudeCodeProvider().begin(golden.launch)
    assert [transcripts.plain(turn.step(record)) for record in golden.records] == golden.steps


@pytest.mark.parametrize("path", GOLDEN, ids=by_name)
def test_what_was_sent_is_what_the_steps_intend(path: Path) -> None:
    """The recording driver wrote what the adapter wanted then; a take-over must want the same under the same keys."""
    golden = transcripts.read(path)
    turn = ClaudeCodeProvider().begin(golden.launch)
    intents = [intent for record in golden.records for intent in turn.step(record).intents]
    sent = {record.key: record.data for record in golden.records if record.kind == "in"}
    wanted = {intent.key: intent.line for intent in intents if isinstance(intent, SendInput)}
    assert sent.keys() == wanted.keys()
    assert len({intent.key for intent in intents}) == len(intents)


@pytest.mark.parametrize("path", GOLDEN, ids=by_name)
def test_deltas_join_to_the_whole_and_calls_have_one_result(path: Path) -> None:
    golden = transcripts.read(path)
    events = [event for step in golden.steps for event in step.get("events", [])]
    joined: dict[str, str] = {}
    whole: dict[str, str] = {}
    for type_, data in events:
        if type_.endswith(".delta"):
            joined[data["messageId"]] = joined.get(data["messageId"], "") + data["text"]
        elif type_ in {"message.stop", "thinking.stop"}:
            assert data["messageId"] not in whole
            whole[data["messageId"]] = data["text"]
    assert joined == whole
    calls = [data["toolCallId"] for type_, data in events if type_ == "tool.call"]
    results = [data["toolCallId"] for type_, data in events if type_ == "tool.result"]
    assert sorted(calls) == sorted(results)
    asked = [data["requestId"] for type_, data in events if type_ == "human_loop.requested"]
    assert asked == [data["requestId"] for type_, data in events if type_ == "human_loop.resolved"]


@pytest.mark.parametrize("path", GOLDEN, ids=by_name)
def test_every_journal_cut_at_any_record_has_an_outcome_at_its_exit(path: Path) -> None:
    """The agent can die anywhere; and the outcome comes exactly once."""
    golden = transcripts.read(path)
    last = golden.records[-1]
    assert last.kind == "exit"
    for end in range(1, len(golden.records)):
        turn = ClaudeCodeProvider().begin(golden.launch)
        steps = [turn.step(record) for record in [*golden.records[:end], last]]
        (outcome,) = [step.outcome for step in steps if step.outcome]
        assert (outcome.failure is not None) == (outcome.status is RunStatus.FAILED)


def test_there_are_recordings() -> None:
    assert {"text", "thinking", "write_allowed", "write_denied", "question", "stop_while_pending", "resume"} <= {
        path.stem for path in GOLDEN
    }

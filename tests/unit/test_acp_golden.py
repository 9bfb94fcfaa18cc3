"""The adapter of the Agent Client Protocol against journals that were recorded from claude-agent-acp and Claude Code."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.run_state import RunStatus
from app.domain.turn import SendInput
from app.providers.acp import AcpProvider
from tests.golden import transcripts

GOLDEN = transcripts.paths("acp")


def by_name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", GOLDEN, ids=by_name)
def test_a_recorded_journal_gives_the_recorded_steps(path: Path) -> None:
    golden = transcripts.read(path)
    turn = AcpProvider().begin(golden.launch)
    assert [transcripts.plain(turn.step(record)) for record in golden.records] == golden.steps


@pytest.mark.parametrize("path", GOLDEN, ids=by_name)
def test_what_was_sent_is_what_the_steps_intend(path: Path) -> None:
    golden = transcripts.read(path)
    turn = AcpProvider().begin(golden.launch)
    intents = [intent for record in golden.records for intent in turn.step(record).intents]
    sent = {record.key for record in golden.records if record.kind == "in"}
    assert sent == {intent.key for intent in intents if isinstance(intent, SendInput)}
    assert len({intent.key for intent in intents}) == len(intents)


@pytest.mark.parametrize("path", GOLDEN, ids=by_name)
def test_every_journal_cut_at_any_record_has_an_outcome_at_its_exit(path: Path) -> None:
    golden = transcripts.read(path)
    last = golden.records[-1]
    assert last.kind == "exit"
    for end in range(1, len(golden.records)):
        turn = AcpProvider().begin(golden.launch)
        steps = [turn.step(record) for record in [*golden.records[:end], last]]
        (outcome,) = [step.outcome for step in steps if step.outcome]
        assert (outcome.failure is not None) == (outcome.status is RunStatus.FAILED)


def test_there_are_recordings() -> None:
    assert {"text", "thinking", "write_allowed", "write_denied", "question", "stop_while_pending", "resume"} <= {
        path.stem for path in GOLDEN
    }


def test_what_a_loaded_conversation_replays_makes_no_events() -> None:
    (path,) = [path for path in GOLDEN if path.stem == "resume"]
    golden = transcripts.read(path)
    replayed = [record.data for record in golden.records if b"user_message_chunk" in record.data]
    assert replayed
    told = [data["text"] for step in golden.steps for type_, data in step.get("events", []) if type_ == "message.stop"]
    assert told == ["Earlier you said: the door is blue"]

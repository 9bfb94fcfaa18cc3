"""The adapters against journals that were recorded from the real binaries."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from app.domain.journal import Record
from app.domain.run_state import RunStatus
from app.domain.turn import SendInput
from tests.contract.providers.subjects import KEY
from tests.golden import transcripts
from tests.golden.record import ADAPTERS, AGENTS
from tests.golden.transcripts import Transcript

GOLDEN = [(adapter, path) for adapter in ADAPTERS for path in transcripts.paths(adapter)]
every_journal = pytest.mark.parametrize(
    ("adapter", "path"), GOLDEN, ids=[f"{adapter}/{path.stem}" for adapter, path in GOLDEN]
)
every_adapter = pytest.mark.parametrize("adapter", ADAPTERS)


def steps_of(adapter: str, golden: Transcript, records: list[Record]) -> list[Any]:
    turn = AGENTS[adapter].make().begin(golden.launch)
    return [turn.step(record) for record in records]


def told(golden: Transcript) -> list[Any]:
    return [event for step in golden.steps for event in step.get("events", [])]


@every_journal
def test_a_recorded_journal_gives_the_recorded_steps(adapter: str, path: Path) -> None:
    golden = transcripts.read(path)
    assert [transcripts.plain(step) for step in steps_of(adapter, golden, golden.records)] == golden.steps


@every_journal
def test_what_was_sent_is_what_the_steps_intend(adapter: str, path: Path) -> None:
    """The recording driver wrote what the adapter wanted then; a take-over must want the same under the same keys."""
    golden = transcripts.read(path)
    intents = [intent for step in steps_of(adapter, golden, golden.records) for intent in step.intents]
    sent = {record.key for record in golden.records if record.kind == "in"}
    assert sent == {intent.key for intent in intents if isinstance(intent, SendInput)}
    assert len({intent.key for intent in intents}) == len(intents)


@every_journal
def test_deltas_join_to_the_whole_and_calls_and_requests_have_one_end(adapter: str, path: Path) -> None:
    events = told(transcripts.read(path))
    joined: dict[str, str] = {}
    whole: dict[str, str] = {}
    for type_, data in events:
        if type_ in {"message.delta", "thinking.delta"}:
            joined[data["messageId"]] = joined.get(data["messageId"], "") + data["text"]
        elif type_ in {"message.stop", "thinking.stop"}:
            assert data["messageId"] not in whole
            whole[data["messageId"]] = data["text"]
    assert joined == whole
    for begin, end, key in (
        ("tool.call", "tool.result", "toolCallId"),
        ("human_loop.requested", "human_loop.resolved", "requestId"),
    ):
        assert sorted(data[key] for type_, data in events if type_ == begin) == sorted(
            data[key] for type_, data in events if type_ == end
        )


@every_journal
def test_every_journal_cut_at_any_record_has_an_outcome_at_its_exit(adapter: str, path: Path) -> None:
    """The agent can die anywhere; and the outcome comes exactly once."""
    golden = transcripts.read(path)
    last = golden.records[-1]
    assert last.kind == "exit"
    for end in range(1, len(golden.records)):
        steps = steps_of(adapter, golden, [*golden.records[:end], last])
        (outcome,) = [step.outcome for step in steps if step.outcome]
        assert (outcome.failure is not None) == (outcome.status is RunStatus.FAILED)


@every_journal
def test_a_journal_names_no_machine_and_no_key(adapter: str, path: Path) -> None:
    text = path.read_text()
    assert [word for word in ("var/tmp", "/root", "site-packages", platform.node() + '"', KEY) if word in text] == []


@every_adapter
def test_there_is_a_recording_of_every_scene(adapter: str) -> None:
    assert {path.stem for path in transcripts.paths(adapter)} == set(ADAPTERS[adapter])


@every_adapter
def test_what_was_said_before_makes_no_events_in_a_conversation_that_goes_on(adapter: str) -> None:
    golden = transcripts.read(transcripts.FOLDER / adapter / "resume.json")
    said = [data["text"] for type_, data in told(golden) if type_ == "message.stop"]
    assert said == ["Earlier you said: the door is blue"]


def test_a_conversation_that_is_loaded_over_acp_replays_itself() -> None:
    golden = transcripts.read(transcripts.FOLDER / "acp" / "resume.json")
    assert any(b"user_message_chunk" in record.data for record in golden.records)

"""The published forms of events and messages, against what real agents' recordings give: types that lie are worse than none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from app.domain.events import Event, EventType, envelope
from app.domain.failure import FailureCode as Code
from app.models import AgentRun
from app.services.chat_pages import SHOWN, Turn
from tests.golden import transcripts
from tests.golden.record import ADAPTERS
from web.projections.messages import messages_of
from web.schemas.events import AnyEvent, EventPage
from web.schemas.messages import ChatMessage
from web.schemas.runs import FailureCode, TodoView, WaitingReason
from web.schemas.sessions import ChatWithMessages
from web.schemas.workspaces import Diff

EVENT: TypeAdapter[Any] = TypeAdapter(AnyEvent)
MESSAGE: TypeAdapter[Any] = TypeAdapter(ChatMessage)
GOLDEN = [path for adapter in ADAPTERS for path in transcripts.paths(adapter)]
every_journal = pytest.mark.parametrize("path", GOLDEN, ids=[f"{path.parent.name}/{path.stem}" for path in GOLDEN])

PLATFORM: list[tuple[str, dict[str, Any]]] = [
    ("run.status", {"status": "queued", "reason": "timed_out"}),
    ("run.started", {"provider": "x", "model": None, "attempt": 1, "capabilities": {"stream": True, "fork": False}}),
    ("context.restored", {"mode": "native_resume"}),
    (
        "workspace.synced",
        {"snapshotId": "snp_1", "reason": "message.stop", "filesChanged": 1, "bytesSent": 2, "seconds": 0.1},
    ),
    ("workspace.sync_failed", {"error": "no room", "retryAt": "2026-01-31T09:00:00.000Z"}),
    ("run.warning", {"code": "context_lost", "message": "gone"}),
    ("run.warning", {"code": "not_steered", "message": "late", "commandId": "cmd_1"}),
    ("message.stop", {"messageId": "m", "role": "user", "text": "blue", "commandId": "cmd_1", "by": "usr_1"}),
    (
        "run.finished",
        {"status": "failed", "stopReason": "error", "usage": {"cacheWrite5m": 1}, "failureCode": "poison"},
    ),
    ("run.closed", {}),
]


def enveloped(seq: int, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return envelope(Event("run_1", seq, kind, data, 1.0, "1:1"), "ses_1", "trc_1")


def told(path: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, data) for step in transcripts.read(path).steps for kind, data in step.get("events", [])]


@every_journal
def test_what_real_agents_say_has_the_published_form(path: Path) -> None:
    for seq, (kind, data) in enumerate(told(path), 1):
        read = EVENT.validate_python(enveloped(seq, kind, data))
        unknown = set(read.data.model_extra or {}) - {"timeoutSeconds"}
        assert unknown == set(), f"{kind} has more than is published"


@pytest.mark.parametrize(("kind", "data"), PLATFORM)
def test_what_the_platform_says_has_the_published_form(kind: str, data: dict[str, Any]) -> None:
    assert EVENT.validate_python(enveloped(1, kind, data)).data.model_extra == {}


def test_every_type_is_published_and_another_is_none_of_them() -> None:
    union = get_args(get_args(AnyEvent)[0])
    assert sorted(kind for each in union for kind in get_args(each.model_fields["type"].annotation)) == sorted(
        EventType
    )
    with pytest.raises(ValidationError):
        EVENT.validate_python(enveloped(1, "from.the_future", {}))


@every_journal
def test_messages_of_what_real_agents_say_have_the_published_form(path: Path) -> None:
    events = [Event("run_1", seq, kind, data, 1.0, "1:1") for seq, (kind, data) in enumerate(told(path), 1)]
    fields = {"id": "run_1", "user_id": "usr_1", "status": "succeeded", "prompt": "x", "provider": "p", "attempt": 1}
    run = AgentRun(**fields, created_at=1.0, finished_at=2.0, last_seq=len(events))
    shown = [event for event in events if event.type in SHOWN]
    for message in messages_of([Turn(run, shown, 1, len(events), begins=True, ends=True)], {}):
        read = MESSAGE.validate_python(message)
        assert read.model_dump(by_alias=True, exclude_unset=True) == message, "and nothing that is not published"


def test_words_are_published_as_the_product_has_them() -> None:
    assert sorted(get_args(FailureCode)) == sorted(Code)
    assert "session_busy" in get_args(WaitingReason)


def test_the_document_names_what_events_and_messages_are() -> None:
    for model, field, name in (
        (EventPage, "items", "RunEvent"),
        (ChatWithMessages, "messages", "ChatMessage"),
        (Diff, "files", "DiffFile"),
        (TodoView, "todos", "TodoItem"),
    ):
        schema = model.model_json_schema(mode="serialization")
        assert schema["properties"][field]["items"] == {"$ref": f"#/$defs/{name}"}
        assert name in schema["$defs"]

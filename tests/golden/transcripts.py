"""Golden transcripts as files: reading, writing, and a step's plain form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.domain.journal import Record
from app.domain.turn import AskPolicy, Launch, ResumePoint, SendInput, Step

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Transcript:
    launch: Launch
    records: list[Record]
    steps: list[dict[str, Any]]


def plain(step: Step) -> dict[str, Any]:
    """Return a step as JSON values, without what is empty."""
    told: dict[str, Any] = {}
    if step.events:
        told["events"] = [[type_, dict(data)] for type_, data in step.events]
    if step.intents:
        told["intents"] = [_plain_intent(intent) for intent in step.intents]
    if step.outcome:
        told["outcome"] = asdict(step.outcome)
    if step.conversation_id:
        told["conversationId"] = step.conversation_id
    return json.loads(json.dumps(told))  # type: ignore[no-any-return]


def _plain_intent(intent: Any) -> list[Any]:
    match intent:
        case SendInput(key, line):
            return ["send", key, json.loads(line)]
        case AskPolicy(key, request_id, tool, kind, given):
            return ["policy", key, request_id, tool, kind, dict(given)]
    return ["end", intent.key]


def write(path: Path, launch: Launch, records: list[Record], steps: list[Step]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "launch": asdict(launch) | {"settings": {}},
        "records": [
            {"n": record.n, "kind": record.kind, "key": record.key, "data": record.data.decode()} for record in records
        ],
        "steps": {str(record.n): plain(step) for record, step in zip(records, steps, strict=True) if plain(step)},
    }
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Transcript:
    told = json.loads(path.read_text())
    launch = told["launch"]
    resume = ResumePoint(**launch.pop("resume")) if launch["resume"] else launch.pop("resume")
    records = [Record(item["n"], 0.0, item["kind"], item["data"].encode(), item["key"]) for item in told["records"]]
    steps = [told["steps"].get(str(record.n), {}) for record in records]
    return Transcript(Launch(resume=resume, **launch), records, steps)


def paths(adapter: str) -> list[Path]:
    return sorted((FOLDER / adapter).glob("*.json"))

"""The portal's tools for tests: Node of the virtual environment, and what is made for the portal from the server's code.

`python -m tests.support.portal` writes the files that are committed: the types of the API and the recorded runs with the message
that the server makes of them.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Flask

from app.domain.events import Event, envelope
from app.models import AgentRun
from app.services import chat_pages
from app.services.chat_pages import Turn
from cli import install
from tests.golden import transcripts
from web import nouns, openapi, routing
from web.projections.messages import messages_of

PORTAL = Path(__file__).resolve().parents[2] / "portal"
TYPES = PORTAL / "src" / "api" / "schema.d.ts"
RECORDED = PORTAL / "src" / "events" / "recorded"
SCENES = ("text", "thinking", "write_allowed", "write_denied", "bash_fails", "question", "sub_agent", "error_401")
START = 1_767_225_600.0
Told = tuple[int, str, dict[str, Any]]
EVERY_TYPE: tuple[Told, ...] = (
    (1, "run.status", {"status": "running"}),
    (1, "run.started", {"provider": "scripted", "model": "scripted", "attempt": 1, "capabilities": {}}),
    (1, "context.restored", {"mode": "fresh"}),
    (1, "thinking.delta", {"messageId": "m1", "role": "assistant", "text": "let me "}),
    (1, "thinking.stop", {"messageId": "m1", "text": "let me see"}),
    (1, "todo.update", {"todos": [{"id": "1", "content": "look", "status": "in_progress"}]}),
    (
        1,
        "tool.call",
        {"toolCallId": "c1", "name": "Bash", "kind": "execute", "title": "ls", "input": {"command": "ls"}},
    ),
    (1, "human_loop.requested", {"requestId": "h1", "kind": "approval", "title": "ls", "toolCallId": "c1"}),
    (1, "human_loop.resolved", {"requestId": "h1", "outcome": "answered", "reply": {"decision": "allow"}}),
    (1, "tool.output", {"toolCallId": "c1", "text": "hello"}),
    (1, "tool.result", {"toolCallId": "c1", "status": "ok", "output": "hello.txt"}),
    (
        1,
        "workspace.synced",
        {"snapshotId": "s", "reason": "message.stop", "filesChanged": 1, "bytesSent": 2, "seconds": 0},
    ),
    (1, "run.warning", {"code": "output_cut", "message": "A line was too long and was cut."}),
    (1, "run.status", {"status": "queued", "reason": "worker_lost"}),
    (2, "run.started", {"provider": "scripted", "model": "scripted", "attempt": 2, "capabilities": {}}),
    (2, "context.restored", {"mode": "native_resume"}),
    (2, "message.delta", {"messageId": "m2", "role": "assistant", "text": "do"}),
    (2, "message.stop", {"messageId": "m2", "text": "done"}),
    (2, "usage.update", {"input": 1, "output": 2}),
    (2, "workspace.sync_failed", {"error": "The object store does not answer.", "retryAt": "2026-01-01T00:01:00.000Z"}),
    (2, "run.finished", {"status": "succeeded", "usage": {"input": 1, "output": 2}}),
    (2, "run.closed", {}),
)
"""A run that has an event of every published type, in two attempts."""


def npm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run npm in the portal's folder, with the Node.js that builds it."""
    argv, environment = install.npm_command()
    return subprocess.run(
        [*argv, *words],
        cwd=PORTAL,
        env={**environment, "NO_COLOR": "1", "CI": "1"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=170,
    )


def types() -> str:
    """Return the types of the API as openapi-typescript makes them of the document of this code."""
    app = Flask("web", static_folder=None)
    for routes in nouns.ROUTES:
        routing.register(app, routes)
    with app.app_context(), tempfile.TemporaryDirectory() as folder:
        document, written = Path(folder) / "openapi.json", Path(folder) / "schema.d.ts"
        document.write_bytes(openapi.document("http://127.0.0.1:8000"))
        done = npm(
            "exec",
            "--no",
            "--",
            "openapi-typescript",
            "--default-non-nullable=false",
            str(document),
            "-o",
            str(written),
        )
        assert done.returncode == 0, done.stdout
        return written.read_text(encoding="utf-8")


def recorded() -> dict[str, str]:
    """Return recorded runs by file name: their envelopes, and the parts of the message that the server makes of them."""
    runs = {scene: _told(scene) for scene in SCENES} | {"every_type": EVERY_TYPE}
    return {f"{name}.json": _recorded(told) for name, told in runs.items()}


def _recorded(told: Sequence[Told]) -> str:
    events = [
        Event("run_golden", seq, kind, data, START + seq, f"{attempt}:{seq}")
        for seq, (attempt, kind, data) in enumerate(told, 1)
    ]
    last = len(events)
    attempt = told[-1][0]
    run = AgentRun(id="run_golden", prompt="?", status="succeeded", attempt=attempt, last_seq=last, created_at=START)
    run.finished_at = START + last
    shown = [event for event in events if event.type in chat_pages.SHOWN]
    (_, answer) = messages_of([Turn(run, shown, 1, last, begins=True, ends=True)], {})
    page = {"events": [envelope(event, "ses_golden", "trc_golden") for event in events], "parts": answer["parts"]}
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def _told(scene: str) -> Sequence[Told]:
    """The events of a transcript between those that the driver adds."""
    transcript = transcripts.read(transcripts.FOLDER / "claude_code" / f"{scene}.json")
    drafts: list[tuple[str, dict[str, Any]]] = [
        ("run.status", {"status": "running"}),
        ("run.started", {"provider": "claude-code", "model": "claude-sonnet-4-5", "attempt": 1, "capabilities": {}}),
    ]
    outcome: dict[str, Any] = {}
    for step in transcript.steps:
        drafts += [(kind, data) for kind, data in step.get("events", [])]
        outcome = step.get("outcome") or outcome
    status = "failed" if outcome.get("failure_code") else "succeeded"
    drafts += [("run.finished", {"status": status, "usage": {}}), ("of.tomorrow", {"is": "shown"}), ("run.closed", {})]
    return [(1, kind, data) for kind, data in drafts]


def main() -> None:
    TYPES.write_text(types(), encoding="utf-8")
    RECORDED.mkdir(parents=True, exist_ok=True)
    for name, text in recorded().items():
        (RECORDED / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

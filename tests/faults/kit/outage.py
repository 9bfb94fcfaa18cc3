"""What the tests of outages share: users who go on calling web all the while, runs that stream, and what must hold of both."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.domain.problems import PROBLEMS
from app.models import AgentRun, RunEvent
from app.services.log_check import check
from tests.support.stream_clients import LogClient, archive_of, assert_whole
from tests.support.world import World

TOKEN = "pdk_world"
PATIENCE_SECONDS = 60.0
"""No answer within it is a hang."""


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # the length of an outage, not a wait for something


def api(url: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)


@dataclass
class Caller(threading.Thread):
    """A user who reads, asks whether Paddock is ready, and sends messages, one call after the other until `finish`. `accepted` are
    the runs that were promised; `wrong` every answer that is neither right nor a clean 503."""

    url: str
    seen: Sequence[str] = ()
    prompt: str = "hello"
    create_seconds: float = 0.3
    session_id: str | None = None
    accepted: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._done = threading.Event()

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        created_at = 0.0
        with api(self.url) as client:
            while not self._done.wait(0.05):
                for path in ("/api/runs", "/ready", *(f"/api/runs/{run_id}/events?limit=5" for run_id in self.seen)):
                    self._call(client, "GET", path)
                if time.monotonic() - created_at > self.create_seconds:
                    created_at = time.monotonic()
                    self._create(client)

    def finish(self) -> None:
        self._done.set()
        self.join(2 * PATIENCE_SECONDS)
        assert not self.is_alive(), "a call hangs"
        assert self.wrong == []

    def _create(self, client: httpx.Client) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async"}
        body = {"provider": "scripted", "prompt": self.prompt}
        if self.session_id is not None:
            body["sessionId"] = self.session_id
        answer = self._call(client, "POST", "/api/runs/start", json=body, headers=headers)
        if answer is not None and answer.status_code == 202:
            self.accepted.append(answer.json()["runId"])

    def _call(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response | None:
        begun = time.monotonic()
        try:
            answer = client.request(method, path, **more)
        except httpx.HTTPError as error:
            self.wrong.append(f"{method} {path}: {error!r}")
            return None
        self.longest = max(self.longest, time.monotonic() - begun)
        self.answers[f"{method} {path.partition('?')[0]} {answer.status_code}"] += 1
        if not _is_right(path, answer):
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


def _is_right(path: str, answer: httpx.Response) -> bool:
    if answer.status_code < 300:
        return True
    if path == "/ready":
        return answer.status_code == 503 and answer.json()["status"] in ("failed", "degraded")
    if answer.status_code != 503:
        return False
    problem = answer.json()
    return problem["code"] in PROBLEMS and bool(problem["remedy"]) and int(answer.headers["Retry-After"]) > 0


def all_streaming(ids: Sequence[str]) -> bool:
    rows = RunEvent.select(RunEvent.run_id).where(RunEvent.run_id.in_(list(ids)), RunEvent.type == "message.delta")
    return len({row.run_id for row in rows}) == len(ids)


def all_ended(ids: Sequence[str]) -> bool:
    return not AgentRun.select().where(AgentRun.id.in_(list(ids)), AgentRun.finished_at.is_null()).exists()


def attempts_too_many(ids: Sequence[str]) -> int:
    """Return how often an agent had to begin again."""
    rows = AgentRun.select(AgentRun.attempt).where(AgentRun.id.in_(list(ids)))
    return sum(max(0, row.attempt - 1) for row in rows)


def assert_whole_runs(world: World, ids: Sequence[str]) -> None:
    """Nothing lost, nothing doubled: succeeded, the log without a gap and equal in both stores, the text in it the whole answer."""
    for run_id in ids:
        run = world.run(run_id)
        assert (run.status, run.failure_code) == ("succeeded", None), (run_id, run.failure_message)
        events = world.events(run_id)
        kinds = Counter(event.type for event in events)
        assert (kinds["run.finished"], kinds["run.closed"]) == (1, 1)
        text = "".join(event.data["text"] for event in events if event.type == "message.delta")
        assert text == run.message
        assert check(run_id, world.container.stream) == []


def assert_readers_got_everything(url: str, readers: Sequence[LogClient]) -> None:
    with api(url) as client:
        for reader in readers:
            reader.finish()
            assert_whole(reader, archive_of(client, reader.run_id))

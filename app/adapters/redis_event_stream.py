"""A run's log as a Redis stream: the one door of SPEC §3. The rules are in `lua/`, where they are atomic; who may call, and
what to do with the answers, is in `app.services.event_log`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import orjson
import redis
from redis.exceptions import NoScriptError

from app import ids
from app.adapters.redis_connection import answering
from app.domain.events import Event
from app.ports import AppendAnswer, FenceAnswer, StreamEntry

LUA_FOLDER = Path(__file__).parent / "lua"
KEPT = 2000
"""Entries that stay when a stream is trimmed, and the most that are put back when it was lost."""
PAGE = 200


def stream_key(run_id: str) -> str:
    return f"paddock:run:{run_id}:events"


def channel(run_id: str) -> str:
    """Return the pub/sub channel that tells of appends to a run."""
    return f"paddock:run:{run_id}:live"


def decode_message(run_id: str, message: bytes) -> list[Event]:
    """Return the events of a message of `channel`: the first seq, then type, ts, src and data of each, one per line."""
    first, *lines = message.decode().split("\n")
    quads = zip(lines[0::4], lines[1::4], lines[2::4], lines[3::4], strict=True)
    return [
        Event(run_id, seq, kind, orjson.loads(data), ids.posix_of(ts), src)
        for seq, (kind, ts, src, data) in enumerate(quads, int(first))
    ]


class RedisEventStream:
    """`app.ports.EventStream` on a real Redis (or anything that speaks its protocol and runs its scripts)."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._fence, self._append, self._trim = _Script("fence"), _Script("append"), _Script("trim")

    def fence(self, run_id: str, epoch: int, last_in_sql: int, *, known: int | None = None) -> FenceAnswer:
        arguments = [epoch, last_in_sql, -1 if known is None else known, ids.rfc3339_of(time.time()), KEPT]
        accepted, top = self._run(self._fence, [stream_key(run_id)], arguments)
        return FenceAnswer(bool(accepted), int(top))

    def append(self, run_id: str, epoch: int, events: Sequence[Event]) -> AppendAnswer:
        arguments: list[Any] = [epoch, events[0].seq]
        for event in events:
            arguments += (event.type, ids.rfc3339_of(event.ts), event.src, orjson.dumps(event.data))
        answer = self._run(self._append, [stream_key(run_id), channel(run_id)], arguments)
        return cast(AppendAnswer, answer.decode())

    def read(self, run_id: str, after: int, limit: int) -> list[Event]:
        found: list[Event] = []
        lowest, upper, count = float("inf"), "+", min(limit, PAGE)
        while True:
            with answering():
                page = self._client.xrevrange(stream_key(run_id), upper, "-", count)
            for entry_id, fields in page:
                seq = int(entry_id.partition(b"-")[2])
                if 0 < seq <= after:
                    return found[::-1][:limit]
                if 0 < seq < lowest:
                    lowest = seq
                    found.append(_event(run_id, seq, fields))
            if len(page) < count:
                return found[::-1][:limit]
            upper, count = f"({page[-1][0].decode()}", PAGE * 5

    def top(self, run_id: str) -> int:
        return self.tops([run_id])[run_id]

    def tops(self, run_ids: Sequence[str]) -> dict[str, int]:
        with answering(), self._client.pipeline(transaction=False) as pipeline:
            for run_id in run_ids:
                pipeline.xrevrange(stream_key(run_id), "+", "-", 1)
            answers = pipeline.execute()
        return {run_id: _last(answer) for run_id, answer in zip(run_ids, answers, strict=True)}

    def trim(self, run_id: str, saved: int) -> None:
        self._run(self._trim, [stream_key(run_id)], [saved, KEPT])

    def expire(self, run_id: str, seconds: int) -> None:
        with answering():
            self._client.expire(stream_key(run_id), seconds)

    def entries(self, run_id: str) -> list[StreamEntry]:
        with answering():
            page = self._client.xrange(stream_key(run_id))
        entries = []
        for entry_id, fields in page:
            epoch, _, seq = entry_id.decode().partition("-")
            text = {name.decode(): value.decode() for name, value in fields.items()}
            entries.append(StreamEntry(int(epoch), int(seq), text))
        return entries

    def _run(self, script: _Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script that Redis most likely knows. (redis-py's own Script costs as much again as all the rest.)"""
        words = (len(keys), *keys, *arguments)
        with answering():
            try:
                return self._client.execute_command("EVALSHA", script.sha, *words)
            except NoScriptError:
                return self._client.execute_command("EVAL", script.text, *words)


class _Script:
    """One of the files in `lua/`, with what they share put before it."""

    def __init__(self, name: str) -> None:
        texts = [(LUA_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in ("entries", name)]
        self.text = "\n".join(texts)
        self.sha = hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324 - what Redis names scripts by


def _event(run_id: str, seq: int, fields: dict[bytes, bytes]) -> Event:
    return Event(
        run_id,
        seq,
        fields[b"type"].decode(),
        orjson.loads(fields[b"data"]),
        ids.posix_of(fields[b"ts"].decode()),
        fields[b"src"].decode(),
    )


def _last(answer: list[tuple[bytes, dict[bytes, bytes]]]) -> int:
    if not answer:
        return 0
    entry_id, fields = answer[0]
    return int(entry_id.partition(b"-")[2]) or int(fields[b"last"])

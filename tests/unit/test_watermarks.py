"""Watermarks: what counts as too little room, and how often anybody looks. Disks and Redis are made up here; real ones are in
tests/faults/test_full.py."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app import config
from app.adapters.redis_gauge import state_of
from app.errors import Unavailable
from app.ports import RedisState
from app.services import redis_check
from app.services.watermarks import NoRoom, Watermarks

WELL = RedisState("Redis 7.2.4", (7, 2), 10, 0, "noeviction", appends=True, append_error="")
MIB = 1024 * 1024


class Gauge:
    def __init__(self, state: RedisState | None = WELL) -> None:
        self.state, self.looks = state, 0

    def look(self) -> RedisState:
        self.looks += 1
        if self.state is None:
            raise Unavailable("redis_unavailable", "Redis does not answer.")
        return self.state


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def watermarks(tmp_path: Path, gauge: Gauge, clock: Clock, **settings: Any) -> Watermarks:
    return Watermarks(config.load(_env_file=None, var=tmp_path, **settings), gauge, clock)


def code_of(marks: Watermarks) -> str | None:
    short = marks.find_shortage()
    return short.code if short is not None else None


def disk_with(free_bytes: int, free_files: int = 100_000) -> Any:
    return lambda _: SimpleNamespace(f_bavail=free_bytes // 4096, f_frsize=4096, f_files=200_000, f_favail=free_files)


def test_a_disk_below_the_mark_is_full_and_well_again_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    marks = watermarks(tmp_path, Gauge(), clock, min_free_bytes=100 * MIB)
    monkeypatch.setattr(os, "statvfs", disk_with(101 * MIB))
    marks.require_room()
    monkeypatch.setattr(os, "statvfs", disk_with(99 * MIB))
    clock.now += 1.1
    with pytest.raises(NoRoom) as refused:
        marks.require_room()
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (503, "disk_full", True)
    assert refused.value.retry_after_seconds > 1
    assert refused.value.remedy
    monkeypatch.setattr(os, "statvfs", disk_with(101 * MIB))
    clock.now += 1.1
    marks.require_room()


def test_a_disk_without_inodes_is_full_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", disk_with(10_000 * MIB, free_files=10))
    assert code_of(watermarks(tmp_path, Gauge(), Clock())) == "disk_full"


def test_nobody_looks_again_within_a_second(tmp_path: Path) -> None:
    gauge, clock = Gauge(), Clock()
    marks = watermarks(tmp_path, gauge, clock, min_free_bytes=0)
    for _ in range(5):
        assert marks.find_shortage() is None
    assert gauge.looks == 1
    clock.now += 1.1
    marks.find_shortage()
    assert gauge.looks == 2


def test_a_redis_that_does_not_answer_is_left_alone_for_a_while_and_is_no_shortage(tmp_path: Path) -> None:
    gauge, clock = Gauge(None), Clock()
    marks = watermarks(tmp_path, gauge, clock, min_free_bytes=0)
    assert marks.find_shortage() is None
    clock.now += 2.0
    assert marks.find_shortage() is None
    assert gauge.looks == 1
    clock.now += 4.0
    gauge.state = replace(WELL, limit_bytes=100, used_bytes=99)
    assert code_of(marks) == "redis_full"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"limit_bytes": 1000, "used_bytes": 899}, None),
        ({"limit_bytes": 1000, "used_bytes": 901}, "redis_full"),
        ({"limit_bytes": 0, "used_bytes": 10**12}, None),
        ({"append_error": "the last write failed"}, "redis_full"),
        ({"eviction": "allkeys-lru"}, "redis_unfit"),
        ({"version": (6, 2)}, "redis_unfit"),
        ({"appends": False}, None),
    ],
)
def test_what_redis_tells_decides(tmp_path: Path, change: dict[str, Any], code: str | None) -> None:
    marks = watermarks(tmp_path, Gauge(replace(WELL, **change)), Clock(), min_free_bytes=0)
    assert code_of(marks) == code


@pytest.mark.parametrize(
    ("change", "own", "fatal"),
    [
        ({}, False, []),
        ({"eviction": "volatile-lru"}, False, [True]),
        ({"version": (6, 2)}, False, [True]),
        ({"version": (7, 0)}, False, []),
        ({"version": (10, 0)}, False, []),
        ({"appends": False}, False, [False]),
        ({"appends": False}, True, [True]),
    ],
)
def test_what_is_fatal_for_a_start_and_what_is_a_warning(change: dict[str, Any], own: bool, fatal: list[bool]) -> None:
    faults = redis_check.faults_of(replace(WELL, **change), own=own)
    assert [fault.fatal for fault in faults] == fatal
    assert all(fault.remedy for fault in faults)


def test_a_start_is_refused_on_a_redis_that_evicts_and_not_on_one_that_is_away() -> None:
    with pytest.raises(Unavailable, match="allkeys-lru"):
        redis_check.require_fit(Gauge(replace(WELL, eviction="allkeys-lru")), own=False)
    redis_check.require_fit(Gauge(None), own=False)
    redis_check.require_fit(Gauge(replace(WELL, appends=False)), own=False)


def test_info_of_redis_and_of_valkey_is_read() -> None:
    info = {"redis_version": "7.2.4", "valkey_version": "9.1.2", "used_memory": 5, "maxmemory": 6, "aof_enabled": 1}
    state = state_of({**info, "maxmemory_policy": "noeviction", "aof_last_write_status": "err"})
    assert (state.name, state.version) == ("Valkey 9.1.2", (7, 2))
    assert (state.used_bytes, state.limit_bytes, state.appends) == (5, 6, True)
    assert state.append_error

"""Each metric moves when what it measures happens, on a real back end; read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db
from app.domain.metrics import METRICS
from app.models import AgentRun, HumanLoopRequest, SessionWorker
from app.services import gauges, maintenance
from tests.support.prometheus import Scrape
from tests.support.world import World, open_world
from web import exposition

ALL = {"approval": "all"}
IN_E2E = {"paddock_processes", "paddock_process_unwell_seconds", "paddock_open_streams", "paddock_webhooks_total"}
"""These need processes, streams or receivers: test_observability, test_api_streams and test_alerts move them."""
OF_WEB = {"paddock_http_requests_total", "paddock_http_request_seconds"}


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, retry_delay_ms=1.0) as world:
        yield world


def scrape(world: World) -> Scrape:
    world.container.counters.flush()
    return Scrape(exposition.render({**world.container.tally.read(), **gauges.read()}))


def job(world: World, name: str) -> maintenance.Job:
    return next(each for each in world.container.maintenance.jobs() if each.name == name)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_run_does_is_counted(world: World) -> None:
    run = world.create("/say one", options=ALL)
    assert scrape(world).value("paddock_queue_depth") == 1
    world.drive()
    seen = scrape(world)
    assert seen.value("paddock_runs", {"status": "succeeded"}) == 1
    assert seen.value("paddock_queue_depth") == 0
    by_type = {each.labels["type"]: each.value for each in seen.families["paddock_events"].samples}
    types = [kind for kind in world.types(run.id) if kind != "run.status"]
    assert {kind: by_type[kind] for kind in types} == {kind: types.count(kind) for kind in types}
    assert seen.value("paddock_event_append_seconds_count") > 3
    assert seen.value("paddock_event_append_seconds_sum") > 0
    assert seen.value("paddock_event_flush_lag_seconds_count") >= 1
    assert seen.value("paddock_syncs_total", {"result": "succeeded"}) >= 1
    assert seen.value("paddock_sandboxes", {"state": "running"}) == 1
    assert seen.value("paddock_sync_lag_seconds") == 0
    SessionWorker.update(last_sync_status="failed", last_sync_at=db.now() - 50, started_at=db.now() - 90).execute()
    assert 49 < scrape(world).value("paddock_sync_lag_seconds") < 60


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_takeovers_lost_and_overdue_leases_are_counted(world: World) -> None:
    run = world.drop("/slow 100 50")
    AgentRun.update(lease_until=db.now() - 30).where(AgentRun.id == run.id).execute()
    seen = scrape(world)
    assert seen.value("paddock_leases_lost_total") == 1  # the driver that was dropped
    assert seen.value("paddock_leases_overdue") == 1
    assert 29 < seen.value("paddock_lease_oldest_overdue_seconds") < 40
    from app.services.run_worker import RunWorker

    claim = RunWorker("test", world.container.driver_parts)._claim(starts=True)
    assert claim is not None
    seen = scrape(world)
    assert seen.value("paddock_lease_takeovers_total") == 1
    assert seen.value("paddock_claims_total", {"kind": "turn"}) == 1
    assert seen.value("paddock_leases_overdue") == 0


def test_waits_are_told_by_their_state(world: World) -> None:
    world.create("/approve go on?")
    run = world.drive()
    assert run.let_go_at is not None
    HumanLoopRequest.update(created_at=db.now() - 70).execute()
    seen = scrape(world)
    assert seen.value("paddock_human_loop_open", {"kind": "approval"}) == 1
    assert seen.value("paddock_human_loop_open", {"kind": "question"}) == 0
    assert 69 < seen.value("paddock_human_loop_oldest_age_seconds") < 80
    states = {each.labels["state"]: each.value for each in seen.families["paddock_waiting_runs"].samples}
    assert states == {"held": 0, "let_go": 1, "stopped": 0}
    AgentRun.update(sandbox_stopped_at=db.now()).execute()
    assert scrape(world).value("paddock_waiting_runs", {"state": "stopped"}) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_job_of_maintenance_is_counted_and_one_that_did_something_is_logged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(maintenance.logger, "info", lambda message, **facts: lines.append(f"{message} {facts['job']}"))
    jobs = world.container.maintenance.jobs()
    for each in jobs:
        did = world.container.maintenance.run(each)
        assert all(isinstance(count, int) for count in did.values())
    seen = scrape(world)
    counted = {each.labels["job"]: each.value for each in seen.families["paddock_maintenance_runs"].samples}
    assert counted == {each.name: 1 for each in jobs}
    assert lines == []  # there was nothing to do
    world.create("hello")
    world.container.maintenance.run(job(world, "sweep_runs"))
    assert lines == ["job done sweep_runs"]
    assert scrape(world).value("paddock_maintenance_effects_total", {"job": "sweep_runs"}) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_gauge_is_there_on_an_empty_installation_and_everything_is_declared(world: World) -> None:
    samples = gauges.read()
    assert {name.partition("{")[0] for name in samples} <= set(METRICS)
    always = {name for name, metric in METRICS.items() if metric.kind == "gauge"} - IN_E2E - OF_WEB
    assert always - {name.partition("{")[0] for name in samples} == {
        "paddock_provider_breakers_open",
        "paddock_runs",
        "paddock_sandboxes",
    }

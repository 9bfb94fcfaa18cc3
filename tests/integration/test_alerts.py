"""What an operator is told when a rule is broken and when it holds again, by a receiver that listens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peewee
import pytest
import redis

from app import config, db
from app.adapters.httpx_webhooks import HttpxWebhooks
from app.adapters.redis_process_board import RedisProcessBoard
from app.domain.failure import Failure, FailureCode
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.models import AgentRun, ChatSession, ProviderBreaker, SessionWorker, Tenant, WebhookDelivery
from app.ports import ProcessReport
from app.services import identity, provider_breaker, worker_rows
from app.services.counting import Counters
from app.services.run_creation import NewRun, create
from app.services.webhooks import Webhooks
from tests.factories import SilentBell
from tests.integration.test_webhooks import SECRET, Receiver, ask, new_run, receiver
from tests.unit.test_exposition import MemoryTally

__all__ = ["receiver"]

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
WEDGED = "otherhost:7:1:000000000000:aaaaaaaa"


class Told:
    """The webhooks of an installation, and what came of them at their receiver."""

    def __init__(self, settings: config.Settings, receiver: Receiver, redis_url: str) -> None:
        self.receiver, self.tally = receiver, MemoryTally()
        self.board = RedisProcessBoard(redis.Redis.from_url(redis_url))
        self.counters = Counters(self.tally)
        self.webhooks = Webhooks(settings, HttpxWebhooks(SECRET), self.board, self.counters)

    def news(self) -> list[dict[str, Any]]:
        """Return what the receiver gets by one more look at everything."""
        before = len(self.receiver.got)
        self.webhooks.tell()
        return [json.loads(body) for _, body in self.receiver.got[before:]]

    def types(self) -> list[str]:
        return sorted(each["type"] for each in self.news())


@pytest.fixture
def told(database: peewee.Database, receiver: Receiver, redis_url: str, tmp_path: Path) -> Told:
    identity.bootstrap("pdk_test")
    settings = config.Settings(
        var=tmp_path, webhook_url=receiver.url, alert_url=receiver.url, alert_queue_seconds=60, _env_file=None
    )
    return Told(settings, receiver, redis_url)


def break_everything(told: Told) -> None:
    old, lost, spent = new_run(), new_run(), new_run()
    AgentRun.update(created_at=db.now() - 100, provider="claude-code").where(AgentRun.id == old.id).execute()
    AgentRun.update(status="claimed", lease_until=db.now() - 200).where(AgentRun.id == lost.id).execute()
    spent_fields = {"status": "failed", "failure_code": "budget_exceeded", "finished_at": db.now()}
    AgentRun.update(spent_fields).where(AgentRun.id == spent.id).execute()
    worker_rows.ensure(ChatSession.get_by_id(old.session_id))
    SessionWorker.update(last_sync_status="failed").execute()
    for _ in range(config.Settings.model_fields["breaker_failures"].default):
        down = Outcome(RunStatus.FAILED, "error", Failure(FailureCode.TRANSPORT_ERROR, "refused"))
        provider_breaker.note(spent, down, config.Settings(_env_file=None))  # type: ignore[call-arg]
    told.board.put(ProcessReport("worker", WEDGED, 0.0, True, 30.0, "threads: it does not turn"))


def mend_everything(told: Told) -> None:
    AgentRun.update(status="canceled", lease_until=None, finished_at=db.now() - 4000).execute()
    SessionWorker.update(last_sync_status="succeeded").execute()
    ProviderBreaker.delete().execute()
    told.board.remove([WEDGED])


RULES = ["budgets_exceeded", "leases_lost", "processes_wedged", "providers_unavailable", "queue_age", "syncs_failed"]


def test_each_rule_is_told_once_then_once_that_it_holds_again_and_anew_when_it_breaks_again(told: Told) -> None:
    assert told.types() == []
    break_everything(told)
    news = told.news()
    assert sorted(each["type"] for each in news) == [f"alert.{rule}" for rule in RULES]
    assert told.types() == []
    data = {each["type"]: each["data"] for each in news}
    assert data["alert.leases_lost"]["runs"] == 1
    assert 199 < data["alert.leases_lost"]["oldestSeconds"] < 230
    (process,) = data["alert.processes_wedged"]["processes"]
    assert (process["process"], process["state"], process["seconds"]) == ("otherhost:7", "wedged", 30)
    mend_everything(told)
    assert told.types() == [f"alert.{rule}.resolved" for rule in RULES]
    assert told.types() == []
    break_everything(told)
    assert told.types() == [f"alert.{rule}" for rule in RULES]
    assert told.types() == []


@sqlite_only
def test_a_rule_that_stays_broken_is_told_every_hour(told: Told) -> None:
    break_everything(told)
    told.news()
    hour_ago = int(db.now() // 3600) - 1
    for row in list(WebhookDelivery.select()):
        subject = ":".join([*row.subject.split(":")[:2], str(hour_ago)])
        WebhookDelivery.update(subject=subject, created_at=row.created_at - 3600).where(
            WebhookDelivery.id == row.id
        ).execute()
    assert told.types() == [f"alert.{rule}" for rule in RULES]
    assert told.types() == []


@sqlite_only
def test_what_cannot_be_looked_at_is_neither_broken_nor_mended(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.board.put(ProcessReport("worker", WEDGED, 0.0, True, 30.0, "threads: it does not turn"))
    assert told.types() == ["alert.processes_wedged"]
    nowhere = RedisProcessBoard(redis.Redis.from_url("redis://127.0.0.1:1"))
    monkeypatch.setattr(told.webhooks, "_board", nowhere)
    assert told.types() == []


@sqlite_only
def test_a_rule_of_one_tenant_is_no_other_tenants(told: Told) -> None:
    run = new_run()
    Tenant.insert(id="tnt_other", name="other", created_at=db.now()).execute()
    AgentRun.update(created_at=db.now() - 100).where(AgentRun.id == run.id).execute()
    assert told.types() == ["alert.queue_age"]
    assert [row.tenant_id for row in WebhookDelivery.select()] == [run.tenant_id]


def test_what_waits_for_anything_but_a_worker_is_no_fault_of_the_queue(told: Told) -> None:
    long_ago = db.now() - 100
    busy, external, failing = new_run(), new_run(), new_run()
    next_one = create(NewRun(busy.tenant_id, busy.user_id, busy.session_id, "scripted", "and then"), SilentBell())
    AgentRun.update(created_at=long_ago).execute()
    AgentRun.update(status="waiting_human", waiting_since=long_ago).where(AgentRun.id == busy.id).execute()
    AgentRun.update(provider="external").where(AgentRun.id == external.id).execute()
    AgentRun.update(retry_at=db.now() + 5).where(AgentRun.id == failing.id).execute()
    assert told.types() == []
    ended = {"status": "succeeded", "finished_at": db.now()}
    AgentRun.update(ended).where(AgentRun.id == busy.id).execute()
    assert told.types() == []  # the next one has waited for a worker since now
    AgentRun.update(finished_at=long_ago).where(AgentRun.id == busy.id).execute()
    assert [each["data"]["queued"] for each in told.news()] == [1]
    AgentRun.update(retry_at=long_ago).where(AgentRun.id == failing.id).execute()
    AgentRun.update(status="canceled", finished_at=db.now()).where(AgentRun.id == next_one.id).execute()
    assert told.types() == []  # one, as before


@sqlite_only
def test_a_webhook_about_a_run_goes_on_with_its_trace_and_is_counted(told: Told) -> None:
    run = new_run()
    AgentRun.update(trace_id="4b" * 16).where(AgentRun.id == run.id).execute()
    ask(run, "hlr_1")
    told.receiver.answers = [500]
    told.webhooks.tell()
    WebhookDelivery.update(next_at=db.now() - 1).execute()
    told.webhooks.tell()
    for headers, body in told.receiver.got:
        assert headers["traceparent"].startswith(f"00-{'4b' * 16}-")
        assert json.loads(body)["data"]["traceId"] == "4b" * 16
    told.counters.flush()
    assert told.tally.counts == {
        'paddock_webhooks_total{result="delivered",target="webhook"}': 1,
        'paddock_webhooks_total{result="failed",target="webhook"}': 1,
    }

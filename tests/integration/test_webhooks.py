"""Webhooks that tell of requests and alerts: each fact once, signed, until the receiver took it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import peewee
import pytest

from app import config, db
from app.adapters.httpx_webhooks import HttpxWebhooks
from app.models import AgentRun, SessionWorker, User, WebhookDelivery
from app.services import human_loop, identity, worker_rows
from app.services.run_creation import NewRun, NewSession, create
from app.services.waiting_reason import waiting_for
from app.services.webhooks import Webhooks
from tests.integration.test_runs import SilentBell

KEY = b"a key of at least 24 bytes"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """Takes webhooks on loopback; `answers` are the statuses it gives, 200 when they are used up."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def webhooks(database: peewee.Database, receiver: Receiver, tmp_path: Path) -> Webhooks:
    identity.bootstrap("pdk_test")
    settings = config.Settings(
        var=tmp_path, webhook_url=receiver.url, alert_url=receiver.url, alert_queue_seconds=60, _env_file=None
    )
    return Webhooks(settings, HttpxWebhooks(SECRET))


def new_run() -> AgentRun:
    user = User.get()
    return create(NewRun(user.tenant_id, user.id, NewSession(), "scripted", "hello"), SilentBell())


def ask(run: AgentRun, request_id: str) -> None:
    data = {"requestId": request_id, "kind": "approval", "title": "write a.txt", "options": ["allow", "deny"]}
    human_loop.opened(run, 1, data, db.now())


def test_a_request_is_told_once_and_signed(webhooks: Webhooks, receiver: Receiver) -> None:
    ask(new_run(), "hlr_1")
    assert webhooks.tell() == {"told": 1, "delivered": 1, "failed": 0}
    assert webhooks.tell() == {"told": 0, "delivered": 0, "failed": 0}
    headers, body = receiver.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)
    assert (told["type"], told["data"]["requestId"]) == ("human_loop.requested", "hlr_1")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_receiver_that_refuses_is_tried_again_with_the_same_id(webhooks: Webhooks, receiver: Receiver) -> None:
    ask(new_run(), "hlr_1")
    receiver.answers = [500, 302]
    assert webhooks.tell()["failed"] == 1
    assert webhooks.tell() == {"told": 0, "delivered": 0, "failed": 0}  # not before its pause is over
    for failed in (1, 0):
        WebhookDelivery.update(next_at=db.now() - 1).execute()
        assert webhooks.tell()["failed"] == failed
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    row = WebhookDelivery.get()
    assert (row.tries, row.next_at, row.error) == (3, None, None)


def test_two_processes_tell_a_fact_once(webhooks: Webhooks, receiver: Receiver) -> None:
    for number in range(5):
        ask(new_run(), f"hlr_{number}")

    def tell() -> None:
        with db.connection():
            webhooks.tell()

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    webhooks.tell()
    assert sorted(json.loads(body)["data"]["requestId"] for _, body in receiver.got) == [f"hlr_{n}" for n in range(5)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_broken_rule_is_an_alert_once_an_hour(webhooks: Webhooks, receiver: Receiver) -> None:
    old, lost = new_run(), new_run()
    AgentRun.update(created_at=db.now() - 100).where(AgentRun.id == old.id).execute()
    AgentRun.update(created_at=db.now() + 100).where(AgentRun.id == lost.id).execute()
    AgentRun.update(status="claimed", lease_until=db.now() - 200).where(AgentRun.id == lost.id).execute()
    worker_rows.ensure(runs_session(old))
    SessionWorker.update(last_sync_status="failed").execute()
    webhooks.tell()
    webhooks.tell()
    kinds = sorted(json.loads(body)["type"] for _, body in receiver.got)
    assert kinds == ["alert.leases_lost", "alert.queue_age", "alert.syncs_failed"]


def runs_session(run: AgentRun) -> Any:
    from app.models import ChatSession

    assert waiting_for(run) is not None
    return ChatSession.get_by_id(run.session_id)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_an_address_nothing_is_written(database: peewee.Database, tmp_path: Path) -> None:
    identity.bootstrap("pdk_test")
    ask(new_run(), "hlr_1")
    quiet = Webhooks(config.Settings(var=tmp_path, _env_file=None), HttpxWebhooks(""))
    assert quiet.tell() == {"told": 0, "delivered": 0, "failed": 0}
    assert WebhookDelivery.select().count() == 0

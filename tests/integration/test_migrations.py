"""Upgrading: every earlier schema, with rows in it, becomes today's; a second time changes nothing (R18)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import peewee
import pytest

from app import db
from app.models import AgentRun, HumanLoopRequest
from app.services import run_claims

FILES = sorted(path.name for path in db.SQL_FOLDER.glob("[0-9]*.sql"))
ROWS = """
INSERT INTO tenants VALUES ('tnt_1', 'default', 1);
INSERT INTO users VALUES ('usr_1', 'tnt_1', 'owner', NULL, 1);
INSERT INTO chat_sessions (id, tenant_id, user_id, provider, last_seq, created_at, updated_at)
    VALUES ('ses_1', 'tnt_1', 'usr_1', 'scripted', 2, 1, 1), ('ses_2', 'tnt_1', 'usr_1', 'scripted', 1, 1, 1);
INSERT INTO agent_runs (id, tenant_id, session_id, user_id, session_seq, status, provider, prompt, last_seq, trace_id, created_at)
    VALUES ('run_1', 'tnt_1', 'ses_1', 'usr_1', 1, 'waiting_human', 'scripted', 'hello', 1, 'trc_1', 1),
           ('run_2', 'tnt_1', 'ses_2', 'usr_1', 1, 'queued', 'scripted', 'hello', 1, 'trc_2', 1);
INSERT INTO human_loop_requests (id, tenant_id, run_id, session_id, attempt, kind, title, status, created_at)
    VALUES ('hlr_1', 'tnt_1', 'run_1', 'ses_1', 1, 'approval', 'go on?', 'open', 1)
"""

CLOSED = ("0001_main_job", "0002_waiting", "0003_webhooks")
"""The schema as it was when the main job closed."""
ROWS_OF_THE_OTHER_TABLES = """
INSERT INTO user_role_bindings VALUES ('tnt_1', 'usr_1', 'owner', 1);
INSERT INTO api_tokens VALUES ('tok_1', 'tnt_1', 'usr_1', 'mine', 'pdk_', 'hash', 1, NULL, NULL, NULL);
INSERT INTO login_links VALUES ('lnk_1', 'tnt_1', 'usr_1', 'hash', 1, 2, NULL);
INSERT INTO web_sessions VALUES ('web_1', 'tnt_1', 'usr_1', 'hash', 'csrf', 1, 1, 2, NULL);
INSERT INTO bundles VALUES ('bdl_1', 'tnt_1', 'usr_1', 'tnt_1/bundles/1', 9, 'hash', 1);
INSERT INTO session_workers (session_id, tenant_id, status, generation, last_sync_status, snapshot_id, receipt, last_used_at, created_at)
    VALUES ('ses_1', 'tnt_1', 'running', 1, 'succeeded', 'snp_1', NULL, 1, 1),
           ('ses_2', 'tnt_1', 'stopped', 1, 'succeeded', NULL, '{"generation":1,"startedAt":1,"snapshotId":"snp_1"}', 1, 1);
INSERT INTO snapshots (id, tenant_id, session_id, run_id, generation, reason, fuzzy, object_key, files, bytes, bytes_sent, created_at)
    VALUES ('snp_1', 'tnt_1', 'ses_1', 'run_1', 1, 'message.stop', 1, 'tnt_1/ses_1/1', 1, 9, 9, 1);
INSERT INTO run_events VALUES ('run_1', 1, 'tnt_1', 'run.status', 1, '0:-', '{"status":"queued"}'),
                              ('run_2', 1, 'tnt_1', 'run.status', 1, '0:-', '{"status":"queued"}');
INSERT INTO run_commands VALUES ('cmd_1', 'tnt_1', 'run_1', 'answer:hlr_1', 'answer', '{"requestId":"hlr_1"}', 1, 1);
INSERT INTO todo VALUES ('run_1', 'tnt_1', '[{"id":"1","content":"do","status":"pending"}]', 1, 1);
INSERT INTO usage_logs (run_id, tenant_id, session_id, user_id, provider, input, created_at)
    VALUES ('run_1', 'tnt_1', 'ses_1', 'usr_1', 'scripted', 7, 1);
INSERT INTO idempotency_keys VALUES ('tnt_1', 'usr_1', 'POST /api/runs/start', 'k', 'hash', 'run_1', 202, '{"body":"{}"}', 1);
INSERT INTO webhook_deliveries (id, tenant_id, subject, target, type, payload, next_at, created_at)
    VALUES ('msg_1', 'tnt_1', 'hlr_1', 'webhook', 'human_loop.requested', '{}', 1, 1)
"""


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], peewee.Database]]:
    """Make an empty database on an engine."""
    made: list[peewee.Database] = []
    names: list[str] = []

    def make(engine: str) -> peewee.Database:
        if engine == "sqlite":
            url = f"sqlite:///{tmp_path / f'empty-{len(made)}.sqlite3'}"
        else:
            names.append(f"empty_{tmp_path.name}_{len(made)}"[-60:].replace("-", "_").lower())
            url = request.getfixturevalue("postgres").create(names[-1])
        made.append(db.connect(url))
        return made[-1]

    yield make
    for database in made:
        database.close_all()
    for name in names:
        request.getfixturevalue("postgres").drop(name)


def migrate_up_to(database: peewee.Database, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring a database to where an earlier version had it."""
    with monkeypatch.context() as patch:
        every = db._migration_files
        patch.setattr(db, "_migration_files", lambda suffix: every(suffix)[:count])
        db.migrate(database)


def columns(database: peewee.Database) -> dict[str, list[str]]:
    tables = [name for name in database.get_tables() if not name.startswith("sqlite_")]
    return {name: sorted(column.name for column in database.get_columns(name)) for name in tables}


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
@pytest.mark.parametrize("count", range(1, len(FILES) + 1))
def test_an_earlier_schema_with_its_rows_becomes_todays(
    empty: Callable[[str], peewee.Database], engine: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, fresh = empty(engine), empty(engine)
    migrate_up_to(database, count, monkeypatch)
    for statement in db.statements_of(ROWS):
        database.execute_sql(statement)
    assert len(db.migrate(database)) == len(FILES) - count
    assert db.migrate(database) == []
    db.migrate(fresh)
    assert columns(database) == columns(fresh)
    db.bind(database)
    claimed = {claim.run.id for claim in (run_claims.take_next("w", 30), run_claims.take_next("w", 30)) if claim}
    assert claimed == {"run_1", "run_2"}
    assert AgentRun.get_by_id("run_1").epoch == 1
    assert HumanLoopRequest.get_by_id("hlr_1").status == "open"


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_two_processes_may_migrate_at_once(empty: Callable[[str], peewee.Database], engine: str) -> None:
    database = empty(engine)
    applied: list[list[str]] = []

    def migrate() -> None:
        applied.append(db.migrate(database))
        database.close()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(names) for names in applied) == [0, 0, 0, len(FILES)]


def contents(database: peewee.Database, of: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    """Everything in these columns of these tables."""
    return {
        table: sorted(database.execute_sql(f"SELECT {', '.join(names)} FROM {table}").fetchall(), key=repr)  # noqa: S608 - names of ours
        for table, names in of.items()
        if table != "schema_migrations"
    }


@pytest.mark.promise("R18")
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_the_closed_main_job_with_rows_in_every_table_is_upgraded_and_keeps_each(
    empty: Callable[[str], peewee.Database], engine: str
) -> None:
    database = empty(engine)
    assert tuple(db.migrate(database, CLOSED)) == CLOSED
    for statement in db.statements_of(ROWS + ";" + ROWS_OF_THE_OTHER_TABLES):
        database.execute_sql(statement)
    schema = columns(database)
    before = contents(database, schema)
    assert [table for table, rows in before.items() if not rows] == []
    applied: list[list[str]] = []

    def migrate() -> None:
        applied.append(db.migrate(database))
        database.close()

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = db.migration_names(sqlite=engine == "sqlite")[len(CLOSED) :]
    assert sorted(applied) == [[], expected]
    assert db.migrate(database) == []
    assert contents(database, schema) == before

"""The house's own test parts do what they promise."""

from __future__ import annotations

import peewee

from tests.support.redis import RedisServer


def test_each_test_gets_a_migrated_database_of_its_own(database: peewee.Database) -> None:
    names = {row[0] for row in database.execute_sql("SELECT name FROM schema_migrations").fetchall()}
    assert "0001_main_job" in names
    database.execute_sql("CREATE TABLE only_here (n INTEGER)")


def test_a_second_test_does_not_see_what_the_first_made(database: peewee.Database) -> None:
    assert "only_here" not in database.get_tables()


def test_redis_keeps_what_it_acknowledged_over_a_kill(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.set("paddock:kept", "1")
        client.execute_command("WAITAOF", 1, 0, 5000)
    own_redis.restart()
    with own_redis.client() as client:
        assert client.get("paddock:kept") == b"1"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port") == {"port": "0"}


def test_the_shared_redis_is_empty_at_the_start_of_a_test(redis: RedisServer) -> None:
    with redis.client() as client:
        assert client.dbsize() == 0

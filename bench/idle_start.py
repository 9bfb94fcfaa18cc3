"""How long a message waits until somebody begins, when nothing else is going on: POST to claimed, beside stock Dramatiq and BLPOP.

All of them take turns in one loop, so that each has been idle for about as long as the others.
"""

from __future__ import annotations

import random
import time

from dramatiq.brokers.redis import RedisBroker

from bench import peers
from bench.figures import Spread, milliseconds
from bench.house import House, house, now
from bench.table import Bar, Table

ROUNDS = 25
BAR_MS = 100.0
DRAMATIQ_DB, BELL_DB = 8, 9


def measure() -> list[Table]:
    with house() as installation:
        return [_measure(installation)]


def _measure(installation: House) -> Table:
    socket = installation.redis_socket
    session = installation.warm_session()
    claimed: list[float] = []
    answered: list[float] = []
    messages: list[float] = []
    bells: list[float] = []
    with peers.peer("dramatiq", socket, DRAMATIQ_DB) as stock, peers.peer("blpop", socket, BELL_DB) as bell:
        broker = RedisBroker(client=stock.client)
        actor = peers.declare(broker)
        for _ in range(ROUNDS):
            _rest()
            began = now()
            run_id = installation.enqueue("hello", session)
            answered.append(now() - began)
            claimed.append(installation.finished(run_id).claimed_at - began)
            _rest()
            actor.send(time.monotonic_ns())
            messages.append(stock.result())
            _rest()
            bells.append(bell.ring_bell())
    return _table(claimed, answered, messages, bells)


def _rest() -> None:
    """Be idle for long enough that every consumer sleeps as deeply as it ever does, and out of step with it."""
    time.sleep(random.uniform(0.5, 1.0))


def _table(claimed: list[float], answered: list[float], messages: list[float], bells: list[float]) -> Table:
    ours, stock = Spread.of(claimed), Spread.of(messages)
    table = Table("POST to claimed, at idle")
    bar = Bar(f"p50 <= {BAR_MS:g} ms", ours.p50 * 1000, BAR_MS)
    table.add("Paddock: POST sent -> run claimed", milliseconds(ours), ours.p50 / stock.p50, bar)
    table.add("Paddock: POST sent -> answered", milliseconds(Spread.of(answered)))
    table.add("stock Dramatiq: message sent -> actor runs", milliseconds(stock), 1.0)
    table.add("Redis alone: RPUSH -> BLPOP returns", milliseconds(Spread.of(bells)))
    table.notes = (
        "Ratio to stock Dramatiq. Paddock's time holds authentication, validation and two SQL transactions as well.",
        "claimed: the moment in the row, by the database's clock, which is this machine's.",
    )
    return table

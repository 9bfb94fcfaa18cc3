"""What Paddock needs of its Redis, and what to do where it lacks: checked at every start, by `paddock doctor`, and while it runs.

A Redis that evicts loses logs and bells in silence, so nothing starts on one. One that does not answer now is no reason to refuse:
Redis may blink, and everything waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import Unavailable
from app.log import logger
from app.ports import RedisGauge, RedisState

OLDEST = (7, 0)
KEEPS_ALL = "noeviction"


@dataclass(frozen=True, slots=True)
class RedisFault:
    """`fatal`: nothing may run on it; otherwise it is a risk that somebody may want to take."""

    fatal: bool
    message: str
    remedy: str


def faults_of(state: RedisState, *, own: bool) -> list[RedisFault]:
    """Return what is wrong with a Redis; `own`: Paddock started it itself, so it has no settings but ours."""
    faults = []
    if state.version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        faults.append(
            RedisFault(
                True,
                f"{state.name} is too old: {oldest} or later is needed.",
                f"Run Redis {oldest} or later, or any Valkey; or unset REDIS_URL, and Paddock starts its own.",
            )
        )
    if state.eviction != KEEPS_ALL:
        faults.append(
            RedisFault(
                True,
                f"{state.name} throws keys away when it is full (maxmemory-policy {state.eviction}).",
                f"Set it and keep it in redis.conf: redis-cli CONFIG SET maxmemory-policy {KEEPS_ALL}",
            )
        )
    if not state.appends:
        faults.append(
            RedisFault(
                own,
                f"{state.name} keeps nothing over a restart (appendonly no).",
                "Set it and keep it in redis.conf: redis-cli CONFIG SET appendonly yes",
            )
        )
    return faults


def require_fit(gauge: RedisGauge, *, own: bool) -> None:
    """Look at Redis before anything is built on it. Raises Unavailable `redis_unfit`; warns of what is only a risk."""
    try:
        state = gauge.look()
    except Unavailable as error:
        logger.warning("redis not checked, it does not answer", error=error.message)
        return
    faults = faults_of(state, own=own)
    for fault in faults:
        logger.log("ERROR" if fault.fatal else "WARNING", "redis is not as it should be: {}", fault.message)
        logger.bind(remedy=fault.remedy).log("ERROR" if fault.fatal else "WARNING", "what to do about redis")
    fatal = first_fatal(faults)
    if fatal is not None:
        raise unfit(fatal)


def first_fatal(faults: Sequence[RedisFault]) -> RedisFault | None:
    return next((fault for fault in faults if fault.fatal), None)


def unfit(fault: RedisFault) -> Unavailable:
    return Unavailable("redis_unfit", fault.message, remedy=fault.remedy)

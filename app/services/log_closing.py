"""After the seal: the rest of a finished run's log goes to its stream, and the stream gets its day to live. The sealing holder
tries at once, the sweep repeats it until it is done (ARCHITECTURE decision 6)."""

from __future__ import annotations

from typing import Any

from app import db
from app.errors import Unavailable
from app.log import logger
from app.models import AgentRun
from app.ports import EventStream
from app.services import log_rows

STREAM_SECONDS = 86_400
CHUNK = 500


def close_streams(stream: EventStream, limit: int) -> int:
    """Close the streams of up to `limit` sealed runs where that is still to be done; return of how many it was done."""
    with db.reading():
        columns = (AgentRun.id, AgentRun.epoch, AgentRun.last_seq)
        sealed = AgentRun.finished_at.is_null(False) & AgentRun.stream_closed_at.is_null()
        query: Any = AgentRun.select(*columns).where(sealed).order_by(AgentRun.finished_at).limit(limit)
        rows = list(query.tuples())
    closed = 0
    for run_id, epoch, last_seq in rows:
        if not try_close(stream, run_id, epoch, last_seq):
            break
        closed += 1
    return closed


def try_close(stream: EventStream, run_id: str, epoch: int, last_seq: int) -> bool:
    """Close one stream; False where Redis or SQL does not answer now."""
    try:
        _complete(stream, run_id, epoch, last_seq)
        stream.expire(run_id, STREAM_SECONDS)
        with db.transaction():
            row = (AgentRun.id == run_id, AgentRun.stream_closed_at.is_null())
            AgentRun.update(stream_closed_at=db.clock()).where(*row).execute()
    except Unavailable as error:
        logger.warning("stream not closed yet", run_id=run_id, why=error.message)
        return False
    return True


def _complete(stream: EventStream, run_id: str, epoch: int, last_seq: int) -> None:
    answer = stream.fence(run_id, epoch, last_seq, known=last_seq)
    after = answer.top
    while answer.accepted and after < last_seq:
        events = log_rows.read(run_id, after, CHUNK)
        if not events or stream.append(run_id, epoch, events) not in ("OK", "HAVE"):
            raise Unavailable("redis_unavailable", "The stream changed while its log was completed.")
        after = events[-1].seq

"""What Paddock adds before the agent's own start, on a warm sandbox, phase by phase; with the scripted agent and with the real
binaries of the contract suite against a scripted model server. Beside each the same binary bare: started on pipes, same input.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.events import EventType
from app.domain.journal import Record, agent_id
from app.models import AgentRun, RunEvent
from app.ports import Provider
from bench.bare_agent import BareAgent, BareTurn
from bench.figures import Spread, milliseconds, rounds
from bench.house import House, house, now, real_house
from bench.table import Bar, Table
from tests.contract.providers.subjects import SUBJECTS

PROMPT = "hello"
ROUNDS = rounds(20)
BAR_MS = 150.0
PAUSE_SECONDS = 0.3
DIFFERENCE = "   difference of each pair: "


@dataclass(frozen=True, slots=True)
class Moments:
    """One run, in seconds since just before its POST was sent."""

    created: float
    claimed: float
    begun: float
    spawned: float
    first_line: float
    delta_recorded: float
    first_delta: float
    ended: float


def measure() -> list[Table]:
    with house() as installation:
        scripted = installation.container.providers.get("scripted")
        tables = [_measure(installation, scripted, None, {})]
    with real_house() as (installation, model):
        for subject in SUBJECTS.values():
            provider = installation.container.providers.get(subject.kind)
            tables.append(_measure(installation, provider, subject.model, subject.settings(model.url)))
    return [*tables, _summary(tables)]


def _measure(installation: House, provider: Provider, model: str | None, settings: Mapping[str, str]) -> Table:
    kind = provider.kind
    turns: list[BareTurn] = []
    runs: list[Moments] = []
    with tempfile.TemporaryDirectory(prefix="pdk-bare-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        session = installation.warm_session(provider=kind, model=model)
        bare = BareAgent(provider, Path(folder), settings, model)
        bare.turn(PROMPT)
        for _ in range(ROUNDS):
            turns.append(bare.turn(PROMPT))
            time.sleep(PAUSE_SECONDS)
            runs.append(_run(installation, session, kind, model))
            time.sleep(PAUSE_SECONDS)
    return _table(kind, runs, turns)


def _run(installation: House, session: str, kind: str, model: str | None) -> Moments:
    """Send a message as a client that follows it does, and find out afterwards what happened when."""
    body: dict[str, Any] = {"prompt": PROMPT, "provider": kind, "sessionId": session, "model": model}
    body["providerOptions"] = {"resume": False}
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Accept": "text/event-stream"}
    began, first_delta, run_id = now(), 0.0, ""
    with installation.http.stream("POST", "/api/runs/start", json=body, headers=headers) as answer:
        for line in answer.iter_lines():
            if not first_delta and line == f"event: {EventType.MESSAGE_DELTA}":
                first_delta = now()
            if line.startswith("data: ") and not run_id:
                run_id = json.loads(line[6:]).get("runId", "")
    run = installation.finished(run_id)
    spawned, first_line = _process(installation, run)
    begun, delta = (_first(run_id, kind) for kind in (EventType.RUN_STARTED, EventType.MESSAGE_DELTA))
    moments = (run.created_at, run.claimed_at, begun, spawned, first_line, delta, first_delta, run.finished_at)
    return Moments(*(moment - began for moment in moments))


def _first(run_id: str, kind: str) -> float:
    """Return the moment of the first event of this type; that of a journal record for what the agent says."""
    query = RunEvent.select(RunEvent.ts).where(RunEvent.run_id == run_id, RunEvent.type == kind)
    return float(query.order_by(RunEvent.seq).get().ts)


def _process(installation: House, run: AgentRun) -> tuple[float, float]:
    """Return when the journal says that the agent was started, and that it wrote its first line."""
    executor: Any = installation.container.sandboxes.connect(run.session_id)
    records: list[Record] = list(executor.follow(agent_id(run.id, run.attempt), 0))
    spawned = next(record.t for record in records if record.kind == "spawn")
    return spawned, next(record.t for record in records if record.kind == "out")


def _table(kind: str, runs: list[Moments], turns: list[BareTurn]) -> Table:
    def between(first: str | None, second: str) -> dict[str, float]:
        return milliseconds(Spread.of(getattr(run, second) - (getattr(run, first) if first else 0.0) for run in runs))

    def beyond_bare(name: str) -> Spread:
        pairs = zip(runs, turns, strict=True)
        return Spread.of(getattr(run, name) - getattr(turn, name) for run, turn in pairs)

    table = Table(f"before the agent's own start, warm sandbox: {kind}")
    table.add("POST sent -> run in SQL", between(None, "created"))
    table.add("   in SQL -> claimed", between("created", "claimed"))
    table.add("   claimed -> attempt begins (sandbox found, run.started)", between("claimed", "begun"))
    table.add("   attempt begins -> spawn record", between("begun", "spawned"))
    table.add("   spawn record -> agent's first line", between("spawned", "first_line"))
    table.add("   first line -> first delta in the journal", between("first_line", "delta_recorded"))
    table.add("   first delta in the journal -> at the client", between("delta_recorded", "first_delta"))
    table.add("   first delta -> run ended (synced, sealed)", between("first_delta", "ended"))
    table.add(
        "POST sent -> agent process started", between(None, "spawned"), bar=_bar(Spread.of(run.spawned for run in runs))
    )
    for name, text in (("first_line", "agent's first line"), ("first_delta", "first delta at the client")):
        difference = beyond_bare(name)
        bar = _bar(difference) if name == "first_delta" else None
        table.add(f"POST sent -> {text}", between(None, name))
        table.add("   the same of the bare agent", milliseconds(Spread.of(getattr(turn, name) for turn in turns)))
        table.add(f"{DIFFERENCE}{text}", milliseconds(difference), bar=bar)
    table.notes = (
        "Moments: the database's and the executor's clocks, both this machine's. The bare agent and Paddock take turns.",
        "Paddock's agent starts inside a second bubblewrap, the bare one without any.",
    )
    return table


def _bar(spread: Spread) -> Bar:
    return Bar(f"p50 <= {BAR_MS:g} ms", spread.p50 * 1000, BAR_MS)


def _summary(tables: list[Table]) -> Table:
    """Return the judged rows of all agents side by side."""
    summary = Table("first delta, later than from the bare agent: all agents")
    for table in tables:
        (row,) = [row for row in table.rows if row.name == f"{DIFFERENCE}first delta at the client"]
        summary.add(table.title.rpartition(" ")[2], row.figures, bar=row.bar)
    return summary

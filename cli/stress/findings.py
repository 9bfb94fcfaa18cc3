"""What a stress report holds, and its JSON. How a run ended is its `outcome`; why it did not succeed is its failure class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Outcome = Literal["succeeded", "failed", "blocked", "canceled", "transport_error", "incomplete"]

OUTCOMES: tuple[Outcome, ...] = ("succeeded", "failed", "blocked", "canceled", "transport_error", "incomplete")
"""The first four are the run's own status. `transport_error`: the server was not to be reached, or the connection broke.
`incomplete`: the stream ended without `run.closed`, or the run was given up."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`failure_class` is the run's failure code, a problem's code, or a word of ours; `suggestion` says what to do."""

    failure_class: str
    message: str
    suggestion: str

    def as_json(self) -> Json:
        return {"failureClass": self.failure_class, "message": self.message, "suggestion": self.suggestion}


@dataclass(slots=True)
class Watched:
    """One run as its stream showed it. `name` is `trial`, `3/20`, or the fallback's. `events` are the envelopes that came: they go to
    the archive, not into the report."""

    name: str
    outcome: Outcome = "incomplete"
    seconds: float = 0.0
    run_id: str = ""
    session_id: str = ""
    first_delta_seconds: float | None = None
    failure: Failure | None = None
    usage: Json = field(default_factory=dict)
    events: list[Json] = field(default_factory=list, repr=False)
    log: str = ""
    """Where the archived log is, relative to the report; only of runs that did not succeed."""

    def as_json(self) -> Json:
        told: Json = {"name": self.name, "runId": self.run_id, "sessionId": self.session_id, "outcome": self.outcome}
        told |= {"seconds": round(self.seconds, 3), "firstDeltaSeconds": _rounded(self.first_delta_seconds)}
        told |= self.failure.as_json() if self.failure else {}
        return told | {"usage": self.usage, **({"log": self.log} if self.log else {})}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. `threshold` is the least part of the runs that must succeed where it is `strict`."""

    provider: str
    iterations: int
    timeout_seconds: float
    prompt: str
    model: str | None = None
    concurrency: int = 1
    strict: bool = False
    threshold: float = 1.0
    fallback: str | None = None

    def as_json(self) -> Json:
        told: Json = {"provider": self.provider, "model": self.model, "prompt": self.prompt}
        told |= {"iterations": self.iterations, "concurrency": self.concurrency, "timeoutSeconds": self.timeout_seconds}
        return told | {"strict": self.strict, "successRateThreshold": self.threshold, "fallback": self.fallback}


@dataclass(slots=True)
class Report:
    """All of it. The trial and the probe of the fallback count for nothing: they say where to look."""

    plan: Plan
    server: str
    started_at: str
    finished_at: str = ""
    precheck: Json = field(default_factory=dict)
    trial: Watched | None = None
    probe: Watched | None = None
    runs: list[Watched] = field(default_factory=list)
    interrupted: bool = False

    @property
    def outcomes(self) -> dict[Outcome, int]:
        counted = Counter(run.outcome for run in self.runs)
        return {outcome: counted[outcome] for outcome in OUTCOMES}

    @property
    def success_rate(self) -> float:
        return self.outcomes["succeeded"] / len(self.runs) if self.runs else 0.0

    @property
    def passed(self) -> bool:
        """True where as many succeeded as must; a report that was broken off has not shown it."""
        return not self.interrupted and self.success_rate >= self.plan.threshold

    @property
    def failure_classes(self) -> list[Json]:
        """Why runs did not succeed, the commonest first, each with one suggestion and the runs that it befell."""
        failures = [(run, run.failure) for run in self.runs if run.failure is not None]
        counted = Counter(failure.failure_class for _, failure in failures)
        classes = []
        for name, count in counted.most_common():
            of_it = [(run, failure) for run, failure in failures if failure.failure_class == name]
            sample = of_it[0][1]
            runs = [run.run_id for run, _ in of_it if run.run_id]
            classes.append({**sample.as_json(), "count": count, "runs": runs})
        return classes

    def as_json(self) -> Json:
        seconds = sorted(run.seconds for run in self.runs if run.outcome == "succeeded")
        deltas = sorted(run.first_delta_seconds for run in self.runs if run.first_delta_seconds is not None)
        summary: Json = {"outcomes": self.outcomes, "successRate": round(self.success_rate, 4)}
        summary |= {"failureClasses": self.failure_classes, "seconds": spread(seconds)}
        summary |= {"firstDeltaSeconds": spread(deltas)}
        return {
            **self.plan.as_json(),
            "server": self.server,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "interrupted": self.interrupted,
            "precheck": self.precheck,
            "trial": self.trial.as_json() if self.trial else None,
            "fallbackProbe": self.probe.as_json() if self.probe else None,
            "summary": summary,
            "gate": {"strict": self.plan.strict, "passed": self.passed},
            "runs": [run.as_json() for run in self.runs],
        }


def spread(ordered: Sequence[float]) -> Json:
    """Return percentiles of sorted figures; nothing of nothing."""
    if not ordered:
        return {}

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"p50": at(0.5), "p90": at(0.9), "max": round(ordered[-1], 3)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)

"""`GET /metrics`: what all processes counted together, and what SQL and the processes say of the present."""

from __future__ import annotations

from collections import Counter

from flask import Response

from app.domain.metrics import series
from app.errors import Unavailable
from app.services import gauges
from web import exposition
from web.api.health import process_states
from web.parts import Parts
from web.routing import PUBLIC, Routes

routes = Routes("health")


@routes.get("/metrics", PUBLIC, produces="text/plain")
def metrics(parts: Parts) -> Response:
    """Prometheus text, of the whole installation whichever process answers."""
    parts.container.counters.flush()
    samples = {**parts.container.tally.read(), **gauges.read(), **_of_processes(parts)}
    return Response(exposition.render(samples), content_type=exposition.CONTENT_TYPE)


def _of_processes(parts: Parts) -> gauges.Samples:
    own = parts.streams.count()
    try:
        states = process_states(parts)
    except Unavailable:
        return {"paddock_open_streams": own}
    others = sum(state.streams for state in states if state.name != parts.reporter.name)
    samples: gauges.Samples = {"paddock_open_streams": others + own}
    counts = Counter((state.component, state.state) for state in states)
    for (component, state), count in counts.items():
        samples[series("paddock_processes", {"component": component, "state": state})] = count
    for component in {state.component for state in states}:
        worst = max(state.seconds for state in states if state.component == component)
        samples[series("paddock_process_unwell_seconds", {"component": component})] = round(worst, 3)
    return samples

"""What Paddock measures: every metric by name, with its kind, unit (at the end of the name) and meaning.

Labels are words of ours: routes as they are declared, states, types. Never an id, an address or anything else that callers choose,
so that the number of series is bounded by the code. How they are added up is in `app.services.counting`, how they are
written out in `web.exposition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """`buckets` are the upper bounds of a histogram, in seconds."""

    name: str
    kind: Kind
    about: str
    buckets: tuple[float, ...] = ()


FAST = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From a row that is read to a request that waits for a run."""

_ALL = (
    Metric("paddock_queue_depth", "gauge", "Runs that are queued."),
    Metric("paddock_queue_oldest_age_seconds", "gauge", "Since the oldest queued run was created."),
    Metric("paddock_runs", "gauge", "Runs by status."),
    Metric("paddock_claims_total", "counter", "Runs that workers took: for a turn, or for a command alone."),
    Metric("paddock_lease_takeovers_total", "counter", "Claims of runs whose earlier lease ran out."),
    Metric("paddock_leases_lost_total", "counter", "Leases that their holder had to give up."),
    Metric("paddock_leases_overdue", "gauge", "Open runs whose lease is over and that nobody took up."),
    Metric("paddock_lease_oldest_overdue_seconds", "gauge", "Since the end of the lease that is over for longest."),
    Metric("paddock_events_total", "counter", "Events appended to logs of runs, by type."),
    Metric("paddock_event_append_seconds", "histogram", "From a driver's append until it may go on.", FAST),
    Metric("paddock_event_flush_lag_seconds", "histogram", "Age of the oldest event that SQL lacked, when it got it.", FAST),
    Metric("paddock_syncs_total", "counter", "Saves of workspaces, by result."),
    Metric("paddock_sync_lag_seconds", "gauge", "Since the last save of the workspace that may hold the oldest unsaved write."),
    Metric("paddock_sandboxes", "gauge", "Sandboxes by state."),
    Metric("paddock_human_loop_open", "gauge", "Open requests to people, by kind."),
    Metric("paddock_human_loop_oldest_age_seconds", "gauge", "Since the oldest open request was made."),
    Metric("paddock_waiting_runs", "gauge", "Runs that wait for people: held by a worker, let go, or with a stopped sandbox."),
    Metric("paddock_http_requests_total", "counter", "Requests by declared route and status."),
    Metric("paddock_http_request_seconds", "histogram", "From a request to its answer, by route; of streams, to their first byte.", FAST),
    Metric("paddock_open_streams", "gauge", "Streams that are open now, of all processes of web."),
    Metric("paddock_maintenance_runs_total", "counter", "Runs of maintenance jobs."),
    Metric("paddock_maintenance_effects_total", "counter", "What maintenance jobs did."),
    Metric("paddock_maintenance_failures_total", "counter", "What maintenance jobs failed at."),
    Metric("paddock_webhooks_total", "counter", "Tries to send a webhook, by target and result."),
    Metric("paddock_webhooks_pending", "gauge", "Webhooks that are still to be delivered."),
    Metric("paddock_model_calls_total", "counter", "Calls of models through the proxy, by protocol and the status of the model's side."),
    Metric("paddock_model_tokens_total", "counter", "Tokens counted by the model proxy, by protocol and class."),
    Metric("paddock_model_refusals_total", "counter", "Calls that the model proxy answered itself, by reason."),
    Metric("paddock_model_first_byte_seconds", "histogram", "From a call of a model until its answer begins, by protocol.", FAST),
    Metric("paddock_provider_breakers_open", "gauge", "Tenants whose runs of this provider wait because it fails."),
    Metric("paddock_processes", "gauge", "Processes by component and state: ok, wedged, gone."),
    Metric("paddock_process_unwell_seconds", "gauge", "For how long the process of this component that is worst off is not well."),
)  # fmt: skip

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def series(name: str, labels: Mapping[str, object]) -> str:
    """Return a series as Prometheus writes it."""
    if not labels:
        return name
    inside = ",".join(f'{label}="{str(value).translate(_ESCAPES)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def family_of(series_name: str) -> str:
    """Return the metric that a series belongs to: of a histogram's `…_bucket`, `…_sum` and `…_count` the histogram."""
    name = series_name.partition("{")[0]
    head, _, tail = name.rpartition("_")
    return head if tail in ("bucket", "sum", "count") and head in METRICS else name

"""What Prometheus reads: declared, complete, and the same by its own parser."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from app.domain.metrics import METRICS, series
from app.errors import Unavailable
from app.services.counting import Counters
from tests.support.prometheus import Scrape
from web import exposition


class MemoryTally:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.away = False

    def add(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None: ...

    def merge(self, counts: Mapping[str, int]) -> None:
        if self.away:
            raise Unavailable("redis_unavailable", "away")
        for name, amount in counts.items():
            self.counts[name] = self.counts.get(name, 0) + amount

    def read(self) -> dict[str, int]:
        return self.counts


def test_a_histogram_is_complete_and_cumulative() -> None:
    tally = MemoryTally()
    counters = Counters(tally)
    for seconds in (0.003, 0.003, 0.3, 100.0):
        counters.observe("paddock_http_request_seconds", {"route": "GET /api/runs/<run_id>"}, seconds)
    counters.flush()
    scrape = Scrape(exposition.render(tally.read()))
    family = scrape.families["paddock_http_request_seconds"]
    assert family.type == "histogram"
    buckets = [(each.labels["le"], each.value) for each in family.samples if each.name.endswith("_bucket")]
    bounds = METRICS["paddock_http_request_seconds"].buckets
    assert [float(bound) for bound, _ in buckets] == [*bounds, float("inf")]
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert dict(buckets)["0.001"] == 0
    assert (dict(buckets)["0.005"], dict(buckets)["0.5"], dict(buckets)["+Inf"]) == (2, 3, 4)
    assert scrape.value("paddock_http_request_seconds_count") == 4
    assert scrape.value("paddock_http_request_seconds_sum") == pytest.approx(100.306)


def test_what_the_tally_does_not_take_now_is_added_later() -> None:
    tally = MemoryTally()
    counters = Counters(tally)
    tally.away = True
    counters.add("paddock_claims_total", {"kind": "turn"})
    counters.flush()
    counters.add("paddock_claims_total", {"kind": "turn"}, 2)
    tally.away = False
    counters.flush()
    assert tally.counts == {'paddock_claims_total{kind="turn"}': 3}


def test_labels_are_escaped_and_undeclared_series_left_out() -> None:
    odd = series("paddock_runs", {"status": 'a"b\\c\nd'})
    scrape = Scrape(exposition.render({odd: 1, "paddock_of_another_version": 1, "paddock_queue_depth": 2}))
    assert [each.labels for each in scrape.families["paddock_runs"].samples] == [{"status": 'a"b\\c\nd'}]
    assert set(scrape.families) == {"paddock_runs", "paddock_queue_depth"}


@pytest.mark.parametrize("name", METRICS)
def test_names_say_their_unit_and_kind(name: str) -> None:
    metric = METRICS[name]
    assert name.startswith("paddock_")
    assert metric.about.endswith(".")
    assert name.endswith("_total") == (metric.kind == "counter")
    if metric.kind == "histogram":
        assert name.endswith("_seconds")
        assert list(metric.buckets) == sorted(metric.buckets)
    assert f"# HELP {name} {metric.about}" in exposition.render({series(f"{name}_count", {}): 1, name: 1})

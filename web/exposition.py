"""The text form in which Prometheus reads metrics (exposition format 0.0.4). What is measured is in `app.domain.metrics`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from app.domain.metrics import METRICS, Metric, family_of, series
from app.services.counting import MICROS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def render(samples: Mapping[str, float]) -> str:
    """Return the samples by their families. Series that nobody declares (of another version) are left out."""
    declared = sorted((family_of(name), name) for name in samples if family_of(name) in METRICS)
    lines: list[str] = []
    for family, group in groupby(declared, key=lambda pair: pair[0]):
        metric = METRICS[family]
        lines += [f"# HELP {family} {metric.about}", f"# TYPE {family} {metric.kind}"]
        names = [name for _, name in group]
        if metric.kind == "histogram":
            lines += _histogram(metric, names, samples)
        else:
            lines += [f"{name} {_number(samples[name])}" for name in names]
    return "\n".join(lines) + "\n"


def _histogram(metric: Metric, names: list[str], samples: Mapping[str, float]) -> Iterator[str]:
    """Every bucket, in order, also those that nothing has fallen into."""
    for name in names:
        if name.partition("{")[0] != f"{metric.name}_count":
            continue
        labels = dict(_LABEL.findall(name))
        for bound in (*metric.buckets, "+Inf"):
            bucket = series(f"{metric.name}_bucket", {**labels, "le": bound})
            yield f"{bucket} {_number(samples.get(bucket, 0))}"
        total = series(f"{metric.name}_sum", labels)
        yield f"{total} {_number(samples.get(total, 0) / MICROS)}"
        yield f"{name} {_number(samples[name])}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))

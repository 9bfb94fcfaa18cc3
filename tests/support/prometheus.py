"""Reading `/metrics` with Prometheus's own parser."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Scrape:
    """What one answer of `/metrics` says."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples: list[Sample] = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """Return the sum of the series of this name that have these labels; 0 where there is none."""
        wanted = set((labels or {}).items())
        return sum(each.value for each in self.samples if each.name == name and wanted <= set(each.labels.items()))

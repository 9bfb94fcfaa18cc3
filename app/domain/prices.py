"""What tokens cost: `prices.json`, in US dollars per million tokens by class, and where each figure is from. A model without a
price has no known cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

FILE = Path(__file__).with_name("prices.json")
MILLION = 1_000_000
DECIMALS = 9
PRICED = ("input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h")
"""The classes that cost something of their own: reasoning is part of the output."""
ESTIMATE = "estimate"
"""The `source` of a price that nobody has read anywhere."""
_VARIANT = re.compile(r"(-latest|-\d{8}|-\d{4}-\d{2}-\d{2}|-0|\[1m\])$")


@dataclass(frozen=True, slots=True)
class Price:
    """Of one model. A class without a price of its own costs what input costs."""

    classes: Mapping[str, float]
    long: Mapping[str, float] | None = None
    above: int = 0
    source: str = ""

    @staticmethod
    def of(entry: Mapping[str, Any]) -> Price:
        long = entry.get("long")
        classes = {name: float(entry[name]) for name in PRICED if name in entry}
        if not {"input", "output"} <= set(classes):
            raise ValueError("a price must name input and output")
        source = str(entry.get("source") or "")
        if long is None:
            return Price(classes, source=source)
        of_long = {name: float(long[name]) for name in PRICED if name in long}
        return Price(classes, of_long, int(long["above"]), source)

    def cost(self, tokens: Mapping[str, int]) -> float:
        """Return what these tokens of one call cost, in US dollars."""
        taken = sum(tokens.get(name, 0) for name in PRICED if name != "output")
        rates = {**self.classes, **self.long} if self.long is not None and taken > self.above else self.classes
        total = sum(tokens.get(name, 0) * rates.get(name, rates["input"]) for name in PRICED)
        return round(total / MILLION, DECIMALS)

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """Return the most that a call with so many tokens can cost, whatever class its input falls into."""
        rates = [self.classes] if self.long is None else [self.classes, {**self.classes, **self.long}]
        dearest = max(rate.get(name, rate["input"]) for rate in rates for name in PRICED if name != "output")
        return (input_tokens * dearest + output_tokens * max(rate["output"] for rate in rates)) / MILLION


class Prices:
    """The prices by model."""

    def __init__(self, models: Mapping[str, Price], date: str) -> None:
        self._models, self.date = models, date

    @staticmethod
    def load(*more: Path) -> Prices:
        """Read the product's own prices and, over them, those of other files of the same form. Raises ValueError, OSError."""
        models: dict[str, Price] = {}
        date = ""
        for path in (FILE, *more):
            read = orjson.loads(path.read_bytes())
            models |= {name: Price.of(entry) for name, entry in read["models"].items()}
            date = str(read.get("date") or date)
        return Prices(models, date)

    def find(self, model: str) -> Price | None:
        """Return the price of a model, also where its name carries a date; None where it has none."""
        name = model.rpartition("/")[2]
        while name not in self._models:
            shorter = _VARIANT.sub("", name)
            if shorter == name:
                return None
            name = shorter
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

"""Server-sent events from lines, as the HTML standard has them. No network here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One dispatched event. `id` is empty where the event carried none."""

    name: str
    data: str
    id: str


def parse(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Yield the events of a stream of lines (without their ends). An event that the stream's end cuts off is dropped."""
    name, event_id = "", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(name or "message", "\n".join(data), event_id)
            name, event_id = "", ""
            data.clear()
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            event_id = value

"""What a provider can do, declared by its adapter and proven by the contract suite. SPEC §6."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

_WIRE = {"human_loop": "humanLoop"}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One flag per capability."""

    stream: bool = False
    stop: bool = False
    resume: bool = False
    human_loop: bool = False
    questions: bool = False
    todo: bool = False
    usage: bool = False
    fork: bool = False
    steering: bool = False
    images: bool = False

    def as_wire(self) -> dict[str, bool]:
        """Return the flags under their wire names."""
        return {_WIRE.get(item.name, item.name): getattr(self, item.name) for item in fields(self)}

    def missing(self, required: Iterable[str]) -> list[str]:
        """Return those of the required wire names that are not there, sorted; an unknown name is missing."""
        have = self.as_wire()
        return sorted({name for name in required if not have.get(name, False)})

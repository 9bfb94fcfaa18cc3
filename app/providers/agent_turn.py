"""The frame of a turn of a real agent: which record and which word of the platform goes where. What a line of the agent means, and how
it is told something, is its adapter's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from app.domain.journal import Record
from app.domain.turn import NOTHING, Launch, Step
from app.providers.asking import Asking, Encode
from app.providers.ending import Classify, LastWords, outcome_of_exit
from app.providers.outbox import Outbox
from app.providers.steering import Steering


class AgentTurn(ABC):
    """One attempt, stepped record by record; does no I/O and reads no clock (`app.ports.Turn`)."""

    _queue: Steering

    def __init__(self, launch: Launch, *, encode: Encode, classify: Classify) -> None:
        """`encode` writes a reply as a line for the agent; `classify` reads the last words of one that died."""
        self._launch, self._classify = launch, classify
        self._outbox = Outbox(launch.attempt)
        self._asking = Asking(launch, self._outbox, encode)
        self._words = LastWords()
        self._stopped = self._spoke = False

    def step(self, record: Record) -> Step:
        match record.kind:
            case "spawn":
                self._on_spawn()
            case "out":
                self._on_line(record.data)
            case "ctl":
                self._on_control(record.json())
            case "err":
                self._words.add(record.data)
            case "cut":
                self._on_cut(record.json())
            case "exit":
                self._on_exit(record)
            case _:
                return NOTHING
        return self._outbox.take()

    @abstractmethod
    def _on_spawn(self) -> None:
        """The process is there: introduce ourselves."""

    @abstractmethod
    def _on_line(self, data: bytes) -> None:
        """The agent wrote a line."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Somebody stopped the run: tell the agent, once."""

    def _on_cut(self, facts: Mapping[str, Any]) -> None:
        """A line was too long to be kept; `facts` has its `size` and `head`."""
        size = facts.get("size")
        self._outbox.warn_once("output_cut", f"A line of {size} bytes of the agent was too long and was cut.")

    def _on_control(self, control: Mapping[str, Any]) -> None:
        match control.get("type"):
            case "verdict":
                self._asking.on_verdict(control)
            case "answer":
                self._asking.on_answer(control)
            case "expire":
                self._asking.on_expiry(control)
            case "steer":
                self._queue.take(control)
            case "stop" if not self._stopped and not self._outbox.finished:
                self._stopped = True
                self._queue.close()
                self._asking.cancel_all(control.get("by"))
                self._interrupt()

    def _on_exit(self, record: Record) -> None:
        if self._outbox.finished:
            return
        self._asking.cancel_all(None)
        outcome = outcome_of_exit(
            record, stopped=self._stopped, spoke=self._spoke, words=str(self._words), classify=self._classify
        )
        self._outbox.finish_dead(outcome)

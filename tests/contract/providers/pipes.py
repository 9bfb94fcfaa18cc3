"""Drives an agent over plain pipes as the executor and the driver would, without either: builds the journal's records,
steps the adapter, carries out its intents. For contract tests and for recording golden transcripts."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app.domain.journal import Record
from app.domain.turn import AskPolicy, EndAgent, Intent, Launch, Outcome, Probe, SendInput, Step
from app.ports import Provider, Turn
from executor.relay import Relay
from tests.support import network_namespace

PATIENCE_SECONDS = 150
"""Until an agent is said to hang: OpenCode's tries of a server that fails take 20 s where it has a core for itself."""
REPOSITORY = Path(__file__).resolve().parents[3]
Policy = Callable[[AskPolicy], str]
Person = Callable[[str, Mapping[str, Any]], "Mapping[str, Any] | None"]


def allow_all(_: AskPolicy) -> str:
    return "allow"


def ask_all(_: AskPolicy) -> str:
    return "ask"


def nobody(_type: str, _data: Mapping[str, Any]) -> None:
    return None


@dataclass
class Played:
    """One attempt as it went: its journal, and what the adapter made of it."""

    records: list[Record] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def events(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [event for step in self.steps for event in step.events]

    @property
    def intents(self) -> list[Intent]:
        return [intent for step in self.steps for intent in step.intents]

    @property
    def outcome(self) -> Outcome:
        (outcome,) = [step.outcome for step in self.steps if step.outcome]
        return outcome

    @property
    def conversation_id(self) -> str | None:
        told = [step.conversation_id for step in self.steps if step.conversation_id]
        return told[-1] if told else None

    def of(self, type_: str) -> list[Mapping[str, Any]]:
        return [data for name, data in self.events if name == type_]

    def lines(self, kind: str = "out") -> list[Any]:
        return [record.json() for record in self.records if record.kind == kind]


class PipeDriver:
    """A workspace and a HOME in `folder`; each `play` is one attempt in them. `only_peer` is all that the agent reaches of the network
    (`host:port`), through the same door as in a fenced sandbox; None: it is not fenced."""

    def __init__(self, provider: Provider, folder: Path, only_peer: str | None = None) -> None:
        self.provider = provider
        self._only_peer = only_peer
        self._ended = threading.Event()
        self.workspace, self.home = folder / "workspace", folder / "home"
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    def play(
        self,
        launch: Launch,
        *,
        policy: Policy = allow_all,
        person: Person = nobody,
        first_control: Mapping[str, Any] | None = None,
        timeout_seconds: float = PATIENCE_SECONDS,
    ) -> Played:
        """Run one attempt to its end. `person` sees each event and may return a control record (answer, stop);
        `first_control` is there before the agent has said anything."""
        played = Played()
        process = self._start(launch)
        try:
            attempt = _Attempt(process, self.provider.begin(launch), played, policy, person, timeout_seconds)
            attempt.run(first_control)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._ended.set()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        return played

    def holds(self, probe: Probe) -> bool:
        """True where a file of the agent's state is as the probe asks."""
        return any((probe.contains or "") in path.read_text(errors="replace") for path in self.home.glob(probe.glob))

    def kill(self) -> None:
        """SIGKILL the agent and what it started."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)

    def _start(self, launch: Launch) -> subprocess.Popen[bytes]:
        command = self.provider.command(launch)
        for path, text in command.files.items():
            place = self.home / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        argv = [self._outside(argument) for argument in command.argv]
        env = {name: self._outside(value) for name, value in command.env.items()}
        self._ended = threading.Event()
        relay = Relay(self._only_peer, self._ended) if self._only_peer else None
        self.process = subprocess.Popen(
            argv if relay is None else [*network_namespace.ENTER, *relay.behind_gate(argv)],
            env=env,
            cwd=self._outside(command.cwd),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=() if relay is None else (relay.inherited,),
        )
        if relay is not None:
            relay.start()
        return self.process

    def _outside(self, value: str) -> str:
        """Return a path in the sandbox as the path outside; anything else as it is."""
        places = {
            "/opt/paddock/python": sys.executable,
            "/opt/paddock": str(REPOSITORY),
            "/workspace": str(self.workspace),
            "/home/agent": str(self.home),
            **self.provider.mounts(),
        }
        for inside, outside in places.items():
            if value == inside or value.startswith(inside + "/"):
                return outside + value[len(inside) :]
        return value


@dataclass
class _Attempt:
    process: subprocess.Popen[bytes]
    turn: Turn
    played: Played
    policy: Policy
    person: Person
    timeout_seconds: float
    _controls: list[Mapping[str, Any]] = field(default_factory=list)

    def run(self, first_control: Mapping[str, Any] | None) -> None:
        arrived: queue.Queue[tuple[str, bytes | None]] = queue.Queue()
        assert self.process.stdout
        assert self.process.stderr
        readers = [
            threading.Thread(target=_read, args=(self.process.stdout, "out", arrived), daemon=True),
            threading.Thread(target=_read, args=(self.process.stderr, "err", arrived), daemon=True),
        ]
        for reader in readers:
            reader.start()
        deadline = time.monotonic() + self.timeout_seconds
        self._append("spawn", b"{}")
        if first_control is not None:
            self._append("ctl", orjson.dumps(first_control))
        open_pipes = len(readers)
        while True:
            while len(self.played.steps) < len(self.played.records):
                self._step(self.played.records[len(self.played.steps)])
            if self.played.records[-1].kind == "exit":
                break
            try:
                kind, line = arrived.get(timeout=0.05 if self._controls else max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                if self._controls and time.monotonic() < deadline:
                    self._take_controls()
                    continue
                tail = b"\n".join(
                    record.kind.encode() + b" " + record.data[:300] for record in self.played.records[-15:]
                )
                raise AssertionError(f"the agent hangs; the end of its journal:\n{tail.decode()}") from None
            if line is not None:
                self._append(kind, line)
                continue
            open_pipes -= 1
            if not open_pipes:
                code = self.process.wait(timeout=10)
                self._append("exit", orjson.dumps({"exit": f"code:{code}" if code >= 0 else f"signal:{-code}"}))
        for reader in readers:
            reader.join(timeout=5)

    def _append(self, kind: Any, data: bytes, key: str | None = None) -> None:
        self.played.records.append(Record(len(self.played.records) + 1, 0.0, kind, data, key))

    def _step(self, record: Record) -> None:
        step = self.turn.step(record)
        self.played.steps.append(step)
        for intent in step.intents:
            self._carry_out(intent)
        for type_, data in step.events:
            control = self.person(type_, data)
            if control is not None:
                self._controls.append(control)
        self._take_controls()

    def _take_controls(self) -> None:
        """Append what people said; what has a `once` waits until that file is there."""
        for control in list(self._controls):
            said = dict(control)
            if said.pop("once", REPOSITORY).exists():
                self._controls.remove(control)
                self._append("ctl", orjson.dumps(said), f"{said['type']}:{said.get('requestId', '')}")

    def _carry_out(self, intent: Intent) -> None:
        match intent:
            case SendInput(key, line):
                self._append("in", line, key)
                assert self.process.stdin
                try:
                    self.process.stdin.write(line + b"\n")
                    self.process.stdin.flush()
                except BrokenPipeError:
                    pass  # the agent is gone; its exit record follows
            case AskPolicy(key, request_id):
                verdict = {"type": "verdict", "requestId": request_id, "verdict": self.policy(intent), "rule": "test"}
                self._append("ctl", orjson.dumps(verdict), key)
            case EndAgent(key):
                self._append("ctl", orjson.dumps({"type": "signal", "signal": "TERM"}), key)
                self.process.send_signal(signal.SIGTERM)


def _read(pipe: BinaryIO, kind: str, arrived: queue.Queue[tuple[str, bytes | None]]) -> None:
    for line in pipe:
        arrived.put((kind, line.rstrip(b"\n")))
    arrived.put((kind, None))


def answer(data: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the control record of a person's answer to the `human_loop.requested` event with this data."""
    given = {"decision": None, "message": None, "answers": None, "by": "usr_alice", "delivery": "live", **fields}
    return {"type": "answer", "requestId": data["requestId"], **given}


def always(decision: str, **fields: Any) -> Person:
    """Return a person who answers every request with this decision."""

    def person(type_: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return answer(data, decision=decision, **fields) if type_ == "human_loop.requested" else None

    return person

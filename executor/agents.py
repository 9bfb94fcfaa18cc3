"""The agents of this sandbox: start, find, write, acknowledge, signal. What a record means is for others to know."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from executor import processes
from executor.fences import Fences
from executor.journal import Journal
from executor.names import checked_name
from executor.protocol import AgentSpec, AgentStatus
from executor.pump import Pump
from executor.refusal import NO_ROOM, Refused
from executor.retention import discard, forget, prune
from executor.settings import PathMap, Settings
from executor.spawner import Child, Command, Spawner

SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(slots=True)
class Agent:
    """A journal and, while it runs, its process. `lock` keeps the order of records and of what follows from them equal."""

    agent_id: str
    run_id: str
    started_at: float
    journal: Journal
    lock: threading.Lock
    child: Child | None = None
    pump: Pump | None = None

    def status(self) -> AgentStatus:
        journal = self.journal
        return AgentStatus(
            agent_id=self.agent_id,
            run_id=self.run_id,
            running=journal.exit is None,
            last=journal.last,
            acknowledged=journal.acknowledged,
            started_at=self.started_at,
            exit=journal.exit,
        )


class Agents:
    """`write_home` writes a file below the agents' HOME."""

    def __init__(self, settings: Settings, spawner: Spawner, write_home: Callable[[str, bytes], None]) -> None:
        self._settings = settings
        self._spawner = spawner
        self._write_home = write_home
        self._folder = os.path.join(settings.state, "journals")
        self._known: dict[str, Agent] = {}
        self._lock = threading.Lock()
        self._map = PathMap(settings.paths)
        self.fences = Fences(os.path.join(settings.state, "fences"))
        os.makedirs(self._folder, 0o700, exist_ok=True)

    def close_lost(self) -> None:
        """Close the journals of agents that died with an earlier executor."""
        for agent_id in os.listdir(self._folder):
            if not os.path.exists(os.path.join(self._folder, agent_id, "closed")):
                self._open(agent_id).journal.close("executor_lost")

    # --- start -----------------------------------------------------------------------------------------------------------

    def start(self, spec: AgentSpec, epoch: int) -> AgentStatus:
        """Start an agent; one that was started before, whatever became of it, is only looked up."""
        self.fences.check(spec.run_id, epoch)
        with self._lock:
            if (known := self._find(spec.agent_id)) is not None:
                return known.status()
            prune(self._folder, self._known, self._settings.limits.kept_journals)
            agent = self._create(spec)
        self._launch(agent, spec, epoch)
        return agent.status()

    def _create(self, spec: AgentSpec) -> Agent:
        folder = os.path.join(self._folder, checked_name(spec.agent_id))
        os.makedirs(folder, 0o700)
        facts = {"runId": spec.run_id, "startedAt": time.time()}
        try:
            with open(os.path.join(folder, "agent.json"), "w", encoding="utf-8") as file:
                json.dump(facts, file)
            return self._open(spec.agent_id)
        except OSError:  # a full disk: what is left would be taken for an agent that was started
            discard(self._folder, spec.agent_id)
            raise

    def _launch(self, agent: Agent, spec: AgentSpec, epoch: int) -> None:
        with agent.lock:
            try:
                agent.journal.append("spawn", json.dumps(_told(spec)).encode(), epoch=epoch)
            except OSError:  # nothing was started and nothing recorded: the same request may come again
                forget(self._folder, self._known, agent.agent_id)
                raise
            try:
                for path, text in spec.files.items():
                    self._write_home(path, self._map.apply(text).encode())
                child = self._spawner.spawn(self._command(spec))
            except (OSError, ValueError, Refused) as error:
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    forget(self._folder, self._known, agent.agent_id)
                    raise
                agent.journal.close(f"spawn_failed: {_reason(error)}")
                return
            agent.child = child
            agent.pump = Pump(child, agent.journal, self._settings.limits)
            agent.pump.start()

    def _command(self, spec: AgentSpec) -> Command:
        env = {name: self._map.apply(value) for name, value in spec.env.items()}
        argv = [self._map.apply(part) for part in spec.argv]
        return Command(argv, self.environment(env), self._map.apply(spec.cwd), network="model")

    def environment(self, env: dict[str, str]) -> dict[str, str]:
        """Return the whole environment of a process in the sandbox."""
        home = self._map.apply("/home/agent")
        return {"HOME": home, "PATH": DEFAULT_PATH, "LANG": "C.UTF-8", "USER": "agent", **env}

    # --- use -------------------------------------------------------------------------------------------------------------

    def get(self, agent_id: str) -> Agent:
        with self._lock:
            agent = self._find(agent_id)
        if agent is None:
            raise Refused(404, "not_found", "there is no such agent")
        return agent

    def write(self, agent_id: str, kind: str, key: str, data: bytes, epoch: int) -> tuple[int, bool]:
        """Record an `in` or `ctl`, then act on it; a known key returns the first one's number and does nothing."""
        agent = self.get(agent_id)
        self.fences.check(agent.run_id, epoch)
        if kind == "in" and b"\n" in data:
            raise Refused(422, "invalid", "an input is one line, without its newline")
        with agent.lock:
            if kind == "in" and agent.pump is not None:
                agent.pump.check_room()
            n, duplicate = agent.journal.append(kind, data, key=key, epoch=epoch)
            if kind == "in" and not duplicate and agent.pump is not None:
                agent.pump.write(data)
        return n, duplicate

    def acknowledge(self, agent_id: str, n: int, epoch: int) -> int:
        agent = self.get(agent_id)
        self.fences.check(agent.run_id, epoch)
        position = agent.journal.acknowledge(n)
        if agent.pump is not None:
            agent.pump.wake()
        return position

    def shed(self, agent_id: str, text: list[str], key: str, epoch: int) -> tuple[int, bool]:
        """Record that text is not wanted any more, then leave it out of the journal (`executor.shedding`)."""
        agent = self.get(agent_id)
        self.fences.check(agent.run_id, epoch)
        with agent.lock:
            n, duplicate = agent.journal.append("ctl", b'{"type":"shed"}', key=key, epoch=epoch)
            if not duplicate and agent.pump is not None:
                agent.pump.shed(text)
        return n, duplicate

    def signal(self, agent_id: str, name: str, key: str, epoch: int) -> tuple[int, bool]:
        """Record the signal as a `ctl`, then send it: to the agent's process, or for KILL to its whole tree."""
        agent = self.get(agent_id)
        self.fences.check(agent.run_id, epoch)
        return self._signal(agent, name, key, epoch)

    def interrupt_orphans(self, name: str) -> int:
        """Signal every running agent on the executor's own account; returns how many there were."""
        running = [agent for agent in list(self._known.values()) if agent.journal.exit is None]
        for agent in running:
            self._signal(agent, name, f"orphan:{name}", None)
        return len(running)

    def _signal(self, agent: Agent, name: str, key: str, epoch: int | None) -> tuple[int, bool]:
        if name not in SIGNALS:
            raise Refused(422, "invalid", "a signal is INT, TERM or KILL")
        told = {"type": "signal", "signal": name, **({"reason": "orphaned"} if epoch is None else {})}
        with agent.lock:
            n, duplicate = agent.journal.append("ctl", json.dumps(told).encode(), key=key, epoch=epoch)
            child = agent.child
        if not duplicate and child is not None:
            child.signal(SIGNALS[name])
        return n, duplicate

    def stream(self, agent_id: str, after: int, *, follow: bool, gone: Callable[[], bool]) -> Iterator[bytes]:
        return self.get(agent_id).journal.stream(after, follow=follow, gone=gone)

    def running(self) -> int:
        return sum(1 for agent in list(self._known.values()) if agent.journal.exit is None)

    # --- journals on disk ------------------------------------------------------------------------------------------------

    def _find(self, agent_id: str) -> Agent | None:
        if agent_id in self._known:
            return self._known[agent_id]
        if os.path.isdir(os.path.join(self._folder, checked_name(agent_id))):
            return self._open(agent_id)
        return None

    def _open(self, agent_id: str) -> Agent:
        folder = os.path.join(self._folder, agent_id)
        try:
            with open(os.path.join(folder, "agent.json"), encoding="utf-8") as file:
                facts = json.load(file)
        except (FileNotFoundError, ValueError):  # the executor died in the middle of `_create`
            facts = {"runId": agent_id.rpartition(".")[0] or agent_id, "startedAt": 0.0}
        journal = Journal(folder, self._settings.limits)
        agent = Agent(agent_id, facts["runId"], facts["startedAt"], journal, threading.Lock())
        self._known[agent_id] = agent
        return agent


def kill_leftovers(settings: Settings) -> int:
    """Kill what an earlier executor of this sandbox started and could not end; returns how many."""
    if settings.own_pids:
        return 0  # they died with their PID namespace

    def left() -> set[int]:
        return processes.marked(processes.table(), processes.SANDBOX_MARK, settings.mark.rpartition(".")[0] + ".")

    return processes.kill(left)


def _told(spec: AgentSpec) -> dict[str, object]:
    """Return what the journal says of a start: never the value of an environment variable."""
    return {
        "argv": spec.argv,
        "env": sorted(spec.env),
        "secrets": sorted(spec.secrets),
        "cwd": spec.cwd,
        "adapter": spec.adapter,
        "labels": spec.labels,
    }


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    return str(error)

"""The ports: what the product needs of the outside. `app.adapters` and `app.providers` implement them, `app.container` joins
them; each has one contract suite in `tests/contract`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol

from app.domain.capabilities import Capabilities
from app.domain.events import Event
from app.domain.failure import Failure
from app.domain.journal import Record
from app.domain.manifest import Manifest
from app.domain.turn import AgentCommand, Launch, Probe, ProbeResult, Step

# --- providers ---------------------------------------------------------------------------------------------------------


class Turn(Protocol):
    """One attempt of one agent, stepped record by record."""

    def step(self, record: Record) -> Step: ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `GET /providers` and the preflight tell of a provider. `failure` says what is missing, None when ready; `binary` is the
    path of what is started."""

    installed: bool
    version: str | None
    failure: Failure | None
    binary: str | None = None


class Provider(Protocol):
    """The adapter of one agent. Sans-I/O but for `readiness`, which looks at the machine."""

    kind: str
    capabilities: Capabilities

    def readiness(self, settings: Mapping[str, str]) -> Readiness: ...

    def model(self, wanted: str | None, settings: Mapping[str, str]) -> str | None:
        """Return the model that a run gets which asks for `wanted`; None leaves it to the agent."""

    def probes(self, launch: Launch) -> Sequence[Probe]:
        """Return what to look for in the agent's state to know whether `launch.resume` holds; at most one."""

    def command(self, launch: Launch) -> AgentCommand: ...

    def begin(self, launch: Launch) -> Turn: ...

    def mounts(self) -> Mapping[str, str]:
        """Return what the sandbox must show read-only for the agent to run: path in the sandbox -> path outside."""


class Providers(Protocol):
    """The providers by kind."""

    def get(self, kind: str) -> Provider:
        """Return one; raises Invalid `provider_unknown`."""

    def list(self) -> Sequence[Provider]: ...


# --- the sandbox -------------------------------------------------------------------------------------------------------


class ExecutorRequestError(Exception):
    """The executor did not do it. `kind` is http, timeout or network; `status` and `code` are set for http."""

    def __init__(
        self, kind: Literal["http", "timeout", "network"], path: str, attempt: int, max_attempts: int, **facts: Any
    ) -> None:
        self.kind, self.path, self.attempt, self.max_attempts = kind, path, attempt, max_attempts
        self.status: int | None = facts.get("status")
        self.code: str = facts.get("code", "")
        self.message: str = facts.get("message", "")
        super().__init__(
            f"executor {path}: {kind} {self.status or ''} {self.code} {self.message} ({attempt}/{max_attempts})"
        )

    def facts(self) -> dict[str, Any]:
        """Return what a log tells of it."""
        told = {"kind": self.kind, "path": self.path, "attempt": self.attempt, "maxAttempts": self.max_attempts}
        return {**told, "status": self.status, "code": self.code, "error": self.message}


ExecutorError = ExecutorRequestError
"""The short name, for all who only need to know that the executor did not do it."""

AGENT_EXITED = "agent_exited"
"""`ExecutorError.code` where something was meant for an agent whose journal is closed."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """An agent process as its executor sees it; `exit` is None while it runs."""

    agent_id: str
    running: bool
    last: int
    acknowledged: int
    exit: str | None


@dataclass(frozen=True, slots=True)
class AgentStart:
    """What the driver asks for. `epoch` fences: a lower one than the run's highest is refused (`LeaseLost`)."""

    agent_id: str
    run_id: str
    epoch: int
    adapter: str
    command: AgentCommand
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """The number of the record that a keyed write made, or made the first time (`duplicate`)."""

    n: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class CommandResult:
    stdout: str
    stderr: str
    exit_code: int | None
    timed_out: bool


class AgentHost(Protocol):
    """The part of an executor that runs agents. Every call with an effect names the run and the holder's epoch; a stale
    epoch raises `app.errors.LeaseLost`, everything else that fails `ExecutorError`."""

    def health(self) -> Mapping[str, Any]: ...

    def fence(self, run_id: str, epoch: int) -> None: ...

    def start_agent(self, start: AgentStart) -> AgentState: ...

    def find_agent(self, agent_id: str) -> AgentState | None: ...

    def follow(self, agent_id: str, after: int) -> Iterator[Record]:
        """Yield records with n > `after` until the journal is closed by its `exit` record; reconnects by itself; raises
        `ExecutorError` when the executor is gone. `close()` of the iterator (from its own thread) ends the request."""

    def write(self, agent_id: str, kind: Literal["in", "ctl"], key: str, data: bytes, *, epoch: int) -> Written: ...

    def acknowledge(self, agent_id: str, n: int, *, epoch: int) -> None: ...

    def signal(self, agent_id: str, signal: Literal["INT", "TERM", "KILL"], *, key: str, epoch: int) -> Written: ...

    def shed(self, agent_id: str, text: Sequence[str], *, key: str, epoch: int) -> Written:
        """Keep out of the journal from now on: lines that begin so, lines that are no JSON, and all but the end of stderr."""


Root = Literal["workspace", "agent"]


class WorkspaceHost(Protocol):
    """The part of an executor that serves files. `root` is `workspace` or `agent` (the agent's own state)."""

    def link_agent_data(self, probes: Sequence[Probe]) -> list[ProbeResult]: ...

    def validate(self, required_paths: Sequence[str]) -> list[str]:
        """Return those of the paths that are missing."""

    def scan(self, roots: Sequence[Root], *, reason: str, known: Manifest | None = None) -> Manifest:
        """Return the manifest of the trees as they are now; `known` spares reading files whose stamp has not moved."""

    def content(self, manifest: Manifest, wanted: Iterable[str]) -> Iterator[tuple[str, BinaryIO, int]]:
        """Yield `(sha256, stream, size)` for those of the wanted hashes whose files are unchanged since the scan. Each stream must
        be read before the next is asked for."""

    def stage(self, blobs: Iterable[tuple[str, BinaryIO, int]]) -> int:
        """Send blobs for a restore; the executor checks each hash. Returns how many were taken."""

    def restore(self, manifest: Manifest, *, clean: bool) -> list[str]:
        """Make the trees equal to the manifest (`clean` removes what it does not name). Returns hashes that are still missing, in
        which case nothing was written."""

    def freeze(self, frozen: bool) -> int:
        """Stop or continue every process of the sandbox but the executor; returns how many."""

    def halt(self) -> int:
        """Freeze, then kill every process but the executor; returns how many."""

    def seed(
        self, *, bundle: BinaryIO | None = None, url: str | None = None, ref: str | None = None
    ) -> Mapping[str, str]: ...

    def tree(self, root: Root, path: str) -> list[Mapping[str, Any]]: ...

    def read_file(self, path: str, *, offset: int, limit: int) -> tuple[bytes, Mapping[str, Any]]:
        """Return bytes of a workspace file and `{size, mode}`; NotFound, or Invalid `path_outside`."""

    def write_file(self, path: str, data: bytes) -> None: ...

    def diff(self, baseline: str | None = None) -> Mapping[str, Any]:
        """Return `{baseline, patch, truncated, files: [{path, status, additions, deletions}]}` since the seed; `baseline` names its
        commit for a sandbox that was restored and does not know it."""

    def execute(self, command: str, *, cwd: str, timeout_ms: int) -> CommandResult: ...


class Executor(AgentHost, WorkspaceHost, Protocol):
    """The service in one sandbox."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A sandbox to start. `name` is `<session id>`; `generation` is new at each start; `mounts` as `Provider.mounts`."""

    name: str
    generation: int
    mounts: Mapping[str, str]
    labels: Mapping[str, str]


EVERY_GENERATION = sys.maxsize
"""For who ends or deletes a sandbox whatever its row says: an operator who shuts the house."""


class Sandboxes(Protocol):
    """The sandboxes of this machine or engine. They outlive the process that started them."""

    def start(self, spec: SandboxSpec) -> Executor:
        """Start (or find running with this generation) and return its executor when it answers; ExecutorError if it never does. What
        is left of earlier generations is ended first; ExecutorError `wrong_generation` where a later one runs."""

    def connect(self, name: str) -> Executor | None:
        """Return the executor of a running sandbox, None where none runs."""

    def stop(self, name: str, generation: int) -> None:
        """End every process of this generation and of those before it; the files stay. One that was started later is left alone, so
        a caller that slept between its check and this call ends nobody else's sandbox. Idempotent."""

    def remove(self, name: str, generation: int) -> None:
        """Delete the files of a sandbox that was last started with this generation or an earlier one; ExecutorError `wrong_generation`
        where a later one was started on them, also if it does not run any more. Idempotent. The caller holds the receipt that makes
        this safe (decision 9)."""

    def exists(self, name: str) -> bool:
        """True where its files are there, whether it runs or not. False where they never were, or have vanished."""

    def list_running(self) -> list[str]: ...


# --- stores ------------------------------------------------------------------------------------------------------------


class ObjectStore(Protocol):
    """Bytes by key (`a/b/c`). `put` is atomic: a key has all of its bytes or is absent."""

    def put(self, key: str, data: BinaryIO, size: int) -> None: ...

    def get(self, key: str) -> BinaryIO:
        """Open an object for reading; the caller closes it. NotFound where it is absent."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None: ...

    def list_keys(self, prefix: str) -> Iterator[str]: ...


# --- Redis -------------------------------------------------------------------------------------------------------------

AppendAnswer = Literal["OK", "HAVE", "GAP", "LOST", "FENCED"]


@dataclass(frozen=True, slots=True)
class FenceAnswer:
    """`top` is the seq that the stream goes on from; `accepted` is False when a higher epoch has the stream."""

    accepted: bool
    top: int


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry as it lies in the stream; seq 0 is the marker of a lease."""

    epoch: int
    seq: int
    fields: Mapping[str, str]


class EventStream(Protocol):
    """The live side of a run's log: one Redis stream per run (SPEC §3, decisions 2 and 6). Every call raises Unavailable
    while Redis does not answer."""

    def fence(self, run_id: str, epoch: int, last_in_sql: int, *, known: int | None = None) -> FenceAnswer:
        """Refuse all lower epochs from now on. Entries above `known` are dropped as a stale holder's. A stream that is more
        than 2,000 events behind SQL begins anew, 2,000 before SQL's last."""

    def append(self, run_id: str, epoch: int, events: Sequence[Event]) -> AppendAnswer:
        """Append consecutive events, all or none, and publish them once."""

    def read(self, run_id: str, after: int, limit: int) -> list[Event]:
        """Return events with seq > `after` in order, without markers; may start later than after + 1 where it was trimmed."""

    def top(self, run_id: str) -> int:
        """Return the last seq, 0 where there is no stream."""

    def tops(self, run_ids: Sequence[str]) -> dict[str, int]:
        """Return the last seq of each, as `top`, in one round trip."""

    def trim(self, run_id: str, saved: int) -> None:
        """Shorten the stream: entries above `saved` (the last seq in SQL) stay, and so do the newest 2,000."""

    def expire(self, run_id: str, seconds: int) -> None: ...

    def entries(self, run_id: str) -> list[StreamEntry]:
        """Return the whole stream with its markers, for the checker."""


@dataclass(frozen=True, slots=True)
class RedisState:
    """What a Redis tells of itself. `version` is the one of Redis that it is compatible with; `limit_bytes` is 0 where its memory
    has no limit; `append_error` is empty while its append-only file can be written."""

    name: str
    version: tuple[int, int]
    used_bytes: int
    limit_bytes: int
    eviction: str
    appends: bool
    append_error: str


class RedisGauge(Protocol):
    """Looks at Redis, in a second at most."""

    def look(self) -> RedisState:
        """Raises Unavailable where it does not answer."""


class LiveFeed(Protocol):
    """What was appended just now, for the runs that were asked for. Messages can be lost, never doubled or reordered per run."""

    def start(self, deliver: Callable[[str, list[Event], int], None], restored: Callable[[], None]) -> None:
        """Begin to call `deliver(run id, events, their size in bytes)` in a thread of the feed's own, and `restored()` after each
        (re)connection, once all subscriptions hold again."""

    def subscribe(self, run_id: str) -> threading.Event:
        """Ask for a run; the event is set when nothing that is appended from then on is missed, or the connection is down."""

    def unsubscribe(self, run_id: str) -> None: ...

    def connected(self) -> bool: ...

    def ping(self) -> None:
        """Look whether the connection is alive; one that stays silent is made anew."""

    def close(self) -> None: ...


class WebhookSender(Protocol):
    """Sends one Standard Webhook."""

    def send(self, url: str, delivery_id: str, body: bytes) -> None:
        """POST it, signed; raises Unavailable unless the receiver answered with success."""


class Tally(Protocol):
    """Counters of the whole installation, for graphs. Nothing fails for them: while they cannot be kept, nothing is counted."""

    def add(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None: ...

    def merge(self, counts: Mapping[str, int]) -> None:
        """Add to many counters at once, each by its series. Raises Unavailable: whoever counted may keep them for later."""

    def read(self) -> dict[str, int]:
        """Return the counters by their series, `name{label="value"}`."""


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What a process says of itself. `stuck_seconds` and `why` are of the loop that does not get on."""

    component: str
    name: str
    started_at: float
    stuck: bool
    stuck_seconds: float
    why: str
    streams: int = 0


@dataclass(frozen=True, slots=True)
class SeenProcess:
    """A report, and how long ago it came, in seconds."""

    silent: float
    report: ProcessReport


class ProcessBoard(Protocol):
    """Where the processes of the installation report. Every call raises Unavailable while it does not answer."""

    def put(self, report: ProcessReport) -> None: ...

    def remove(self, names: Sequence[str]) -> None: ...

    def list(self) -> list[SeenProcess]: ...


class Bell(Protocol):
    """Says "there is work". A lost ring is made good by the sweep, a doubled one finds nothing to do (decision 1)."""

    def ring_runs(self) -> None:
        """Some run may be claimable."""

    def ring_session_worker(self, session_id: str) -> None:
        """Somebody wishes something of this sandbox."""

    def ring_command(self, run_id: str) -> None:
        """The live holder of this run, if there is one, has a command to apply."""

"""The wire between a worker and an executor: names, headers, frames. No dependencies.

The one module of `executor` that `app.adapters` may import.

HTTP/1.1 over a unix socket (local sandbox) or TCP (container), `Authorization: Bearer <token>` on every call but `GET /health`.

    GET  /health                                   -> Health (without a token: only `protocol` and `status`)
    POST /fence              {runId, epoch}         -> {epoch}; the highest epoch per run is kept on disk
    POST /agents             AgentSpec              -> AgentStatus; a known `agentId` is not started twice
    GET  /agents/{id}                               -> AgentStatus or 404
    GET  /events?agent=ID&after=N&follow=0|1        -> frames of the journal's records with n > N; with follow=1 the
                                                       response stays open until the journal is closed (an `exit` record)
    POST /agents/{id}/records {kind, key}  + bytes  -> {n, duplicate}: `in` (a line for the agent's stdin) or `ctl`
    POST /agents/{id}/ack    {n}                    -> {n}; records up to n may be deleted segment by segment
    POST /agents/{id}/signal {signal, key}          -> {n, duplicate}; INT, TERM or KILL, to the agent's whole tree for KILL
    POST /workspace/link-agent-data {probes}        -> {probes: [{exists, contains}]}
    POST /workspace/validate {requiredPaths}        -> {missing: [path]}
    POST /workspace/sync     {roots, freeze, known} -> Scan (a manifest; nothing is sent)
    POST /workspace/content  {items:[{root,path,sha256}]} -> frames: one `file` frame per item, bytes as hashed or `changed`
    POST /workspace/stage    frames                 -> {staged: n}: blobs for a restore
    POST /workspace/restore  {roots, clean}         -> {missing: [sha256], written, removed}; writes only when nothing is missing
    POST /workspace/freeze   {frozen: bool}         -> {processes: n}: SIGSTOP / SIGCONT of everything but the executor
    POST /workspace/halt     {}                     -> {processes: n}: freeze, then SIGKILL everything but the executor
    POST /workspace/seed     {bundle | url, ref}    -> {head, branch}: clone into an empty workspace, hooks off
    GET  /workspace/tree?root&path                  -> {entries: [Entry]}   (one level, sorted)
    GET  /workspace/file?root&path&offset&limit     -> bytes; headers `x-size`, `x-mode`
    PUT  /workspace/file?root&path                  -> {size}
    POST /workspace/mkdir|rename|delete             -> {}
    GET  /workspace/diff                            -> {baseline, patch, truncated, files:[{path, status, additions, deletions}]}
    POST /tty/exec           {command, cwd, timeoutMs} -> {stdout, stderr, exitCode, timedOut}

Effect calls on agents carry `x-paddock-epoch`; one lower than the run's highest is answered 409 `fenced`. Effect calls on
the workspace carry `x-paddock-generation`; another generation than the executor's own is answered 409 `wrong_generation`.
Errors are `{"error": code, "message": text}` with 400, 401, 404, 409, 413, 422 or 5xx.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

PROTOCOL = 1
EPOCH_HEADER = "x-paddock-epoch"
GENERATION_HEADER = "x-paddock-generation"
TRACE_HEADERS = ("x-trace-id", "x-session-id", "x-run-id", "x-executor-id", "x-operation", "x-trace-ts")

RecordKind = Literal["spawn", "out", "err", "in", "ctl", "idle", "exit", "cut"]
Root = Literal["workspace", "agent"]
"""The two trees a snapshot holds: `/workspace`, and the agent's own state (its HOME)."""

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes; a longer line of an agent becomes a `cut` record."""
SEGMENT_BYTES = 8 * 1024 * 1024
UNACKNOWLEDGED_BYTES = 256 * 1024 * 1024
"""Above this the executor stops reading the agent's pipes."""
IDLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Frame:
    """One unit of a framed stream: a JSON header line with `size`, then `size` raw bytes, then a newline."""

    header: dict[str, Any]
    body: bytes = b""

    def encode(self) -> bytes:
        header = json.dumps({**self.header, "size": len(self.body)}, separators=(",", ":"))
        return header.encode() + b"\n" + self.body + b"\n"


def read_frames(stream: BinaryIO) -> Iterator[Frame]:
    """Yield the frames of a stream; a torn last frame (the writer died) ends the iteration silently."""
    while True:
        line = stream.readline()
        if not line.endswith(b"\n"):
            return
        header = json.loads(line)
        size = header.pop("size")
        body = stream.read(size + 1)
        if len(body) != size + 1:
            return
        yield Frame(header, body[:-1])


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """What to start. `agent_id` = `<run id>.<attempt>`; `cwd` is a path in the sandbox; `secrets` names the `env` keys
    whose values are never written to disk; `files` are written below the agent's HOME first (path -> text)."""

    agent_id: str
    run_id: str
    argv: list[str]
    env: dict[str, str]
    cwd: str = "/workspace"
    adapter: str = ""
    secrets: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def from_json(value: dict[str, Any]) -> AgentSpec:
        """Raises KeyError or TypeError where `value` is not an agent."""
        facts = {_SPEC_NAMES[name]: given for name, given in value.items()}
        return AgentSpec(**facts)

    def as_json(self) -> dict[str, Any]:
        return {wire: getattr(self, name) for wire, name in _SPEC_NAMES.items()}


_SPEC_NAMES = {
    "agentId": "agent_id",
    "runId": "run_id",
    "argv": "argv",
    "env": "env",
    "cwd": "cwd",
    "adapter": "adapter",
    "secrets": "secrets",
    "files": "files",
    "labels": "labels",
}


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """`last` is the highest record number; `exit` is `code:<n>`, `signal:<n>`, `executor_lost` or `spawn_failed: …`."""

    agent_id: str
    run_id: str
    running: bool
    last: int
    acknowledged: int
    started_at: float
    exit: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "agentId": self.agent_id,
            "runId": self.run_id,
            "running": self.running,
            "last": self.last,
            "acknowledged": self.acknowledged,
            "startedAt": self.started_at,
            "exit": self.exit,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree. `path` is relative to its root, `/`-separated; `mode` are the permission bits.

    `stamp` is `[size, mtime_ns, ctime_ns, inode]` of a file, as it was when its bytes were hashed;
    `unstable` marks a file that changed during each of three reads.
    """

    path: str
    type: Literal["file", "dir", "symlink"]
    mode: int
    size: int = 0
    sha256: str | None = None
    target: str | None = None
    stamp: tuple[int, int, int, int] | None = None
    unstable: bool = False

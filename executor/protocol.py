"""The wire between a worker and an executor: names, headers, frames. No dependencies.

`app.adapters` imports this module, and `processes` and `files`, which stand alone as well.

HTTP/1.1 over a unix socket (local sandbox) or TCP (container), `Authorization: Bearer <token>` on every call but `GET /health`.

    GET  /health                                   -> {protocol, status}; with a token also name, generation, bootId, agents, isolated
    POST /fence              {runId, epoch}         -> {epoch}; the highest epoch per run is kept on disk
    POST /agents             AgentSpec              -> AgentStatus; a known `agentId` is not started twice
    GET  /agents/{id}                               -> AgentStatus or 404
    GET  /events?agent=ID&after=N&follow=0|1        -> frames of the journal's records with n > N; with follow=1 the response stays
                                                       open until the journal is closed (an `exit` record), and frames of kind
                                                       `beat` (no record) show that the line is alive. 410 `records_gone`, 409 `ahead`
    POST /agents/{id}/records?kind&key       bytes  -> {n, duplicate}: `in` (a line for the agent's stdin) or `ctl`;
                                                       409 `agent_exited` for a new key on a closed journal
    POST /agents/{id}/ack    {n}                    -> {n}; records up to n may be deleted segment by segment
    POST /agents/{id}/signal {signal, key}          -> {n, duplicate}; INT or TERM to the agent, KILL to its whole tree; recorded as
                                                       a `ctl` of {"type": "signal", "signal": ...}
    POST /agents/{id}/shed {key, text}              -> {n, duplicate}: from now on lines of stdout that begin with one of `text`,
                                                       or are no JSON, and stderr are counted and not recorded (but its end);
                                                       recorded as a `ctl` of {"type": "shed"}
    POST /workspace/link-agent-data {probes: [{glob, contains}]} -> {probes: [{exists, contains}]}
    POST /workspace/validate {requiredPaths}        -> {missing: [path]}
    POST /workspace/sync     {roots, known, racyAfterNs, leaveOut} -> {trees, skipped, scannedAt, fuzzy, error}; no content.
                                                       `known`: {root: [[path, size, mtimeNs, ctimeNs, inode, sha256]]}
    POST /workspace/content  {items: [{root, path, sha256, size}]} -> a frame per item, `status` `file` or `changed`
    POST /workspace/stage    frames {sha256}        -> {staged: n}: blobs for a restore; those with another hash are dropped
    POST /workspace/restore  {roots, clean}         -> {missing: [sha256], written, removed}; writes only when nothing is missing
    POST /workspace/freeze   {frozen: bool}         -> {processes: n}: SIGSTOP / SIGCONT of everything but the executor
    POST /workspace/halt     {}                     -> {processes: n}: freeze, then SIGKILL everything but the executor; people's
                                                    writes are refused (409 worker_not_active) until {frozen: false}
    POST /workspace/seed     {url, ref} | ?ref bundle (application/octet-stream) -> {head, branch}: clone into an empty workspace
    GET  /workspace/tree?root&path                  -> {entries: [...]}   (one level, sorted)
    GET  /workspace/file?root&path&offset&limit     -> bytes; headers `x-size`, `x-mode`
    PUT  /workspace/file?root&path            bytes -> {size}
    POST /workspace/mkdir {path} | rename {from, to} | delete {path} -> {}
    GET  /workspace/diff?baseline                   -> {baseline, patch, truncated, files: [{path, status, additions, deletions}]}
    POST /tty/exec           {command, cwd, timeoutMs} -> {stdout, stderr, exitCode, timedOut, truncated}

A host of many executors (EXECUTOR_BASE_URL) has one token for all and, before each executor's own addresses,
    GET  /health                                   -> {protocol, status, host}
    GET  /sandboxes                                 -> {running: [name]}
    GET  /sandboxes/{name}                          -> {exists, generation}; generation is null where no executor runs
    PUT  /sandboxes/{name}   {generation, mounts, labels} -> the same; starts it, 409 `wrong_generation` for a lower one than runs
    POST /sandboxes/{name}/stop?generation          -> {}: end what runs of this generation or an earlier one, nothing of a later one
    DELETE /sandboxes/{name}?generation             -> {}: delete the files as well; 409 `wrong_generation` where a later one was
                                                       started on them. Without `generation` both mean whatever is there
    *    /sandboxes/{name}/executor/...             the executor of this sandbox; 502 `executor_unreachable` where none runs

Paths of files are UTF-8; a byte that is not is U+FDD0 and two hex digits (`text_paths`).
Effect calls on agents carry `x-paddock-epoch`; one lower than the run's highest is answered 409 `fenced`. Effect calls on
the workspace carry `x-paddock-generation`; another generation than the executor's own is answered 409 `wrong_generation`.
Errors are `{"error": code, "message": text}` with 400, 401, 404, 409, 413, 422 or 5xx.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

PROTOCOL = 2
"""What this executor speaks. 2 came with `/agents/{id}/shed`; everything else is as in 1."""
SPOKEN = (PROTOCOL - 1, PROTOCOL)
"""What workers of this release speak: sandboxes outlive deploys. A worker that finds another number takes the sandbox for lost:
its executor is ended, its files are saved by one of this release, and its run goes on with another attempt."""
EPOCH_HEADER = "x-paddock-epoch"
GENERATION_HEADER = "x-paddock-generation"
TRACE_HEADERS = ("x-trace-id", "x-session-id", "x-run-id", "x-executor-id", "x-operation", "x-trace-ts")

RecordKind = Literal["spawn", "out", "err", "in", "ctl", "idle", "exit", "cut"]
LINE_LIMIT = 16 * 1024 * 1024
"""Bytes; a longer line of an agent becomes a `cut` record."""
SEGMENT_BYTES = 8 * 1024 * 1024
UNACKNOWLEDGED_BYTES = 256 * 1024 * 1024
"""Above this the executor stops reading the agent's pipes."""
UNREAD_BYTES = 256 * 1024
"""The same for what a reader who is there has not read: who follows an agent is never far behind it. Of tiny records these are some
thousand, and all of them come before an interrupt, or before the end of an agent that was killed."""
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

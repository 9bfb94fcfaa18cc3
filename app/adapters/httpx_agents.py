"""The part of the executor's client that runs agents (`ports.AgentHost`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson

from app.adapters.httpx_transport import Call, Transport, json_body
from app.domain.journal import Record
from app.log import logger
from app.ports import AgentStart, AgentState, ExecutorError, Written
from executor import protocol

_FOLLOW_SECONDS = 30.0
"""Without a byte for this long the line is dead: a silent journal still sends a beat every 10 s."""


class HttpxAgents:
    """Implements `ports.AgentHost`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def health(self) -> Mapping[str, Any]:
        """Raises ExecutorError `protocol_unsupported` where the executor is of a release that this one does not speak with."""
        facts: Mapping[str, Any] = self._transport.json(Call("GET", "/health", "health"))
        require_spoken(facts.get("protocol"))
        return facts

    def fence(self, run_id: str, epoch: int) -> None:
        body = json_body({"runId": run_id, "epoch": epoch})
        self._transport.json(Call("POST", "/fence", "agent.fence", content=body, run_id=run_id))

    def start_agent(self, start: AgentStart) -> AgentState:
        spec = protocol.AgentSpec(
            agent_id=start.agent_id,
            run_id=start.run_id,
            argv=list(start.command.argv),
            env=dict(start.command.env),
            cwd=start.command.cwd,
            adapter=start.adapter,
            secrets=list(start.command.secrets),
            files=dict(start.command.files),
            labels=dict(start.labels),
        )
        body = json_body(spec.as_json())
        call = Call("POST", "/agents", "agent.start", content=body, epoch=start.epoch, run_id=start.run_id)
        return _state(self._transport.json(call))

    def find_agent(self, agent_id: str) -> AgentState | None:
        try:
            return _state(self._transport.json(Call("GET", f"/agents/{agent_id}", "agent.find")))
        except ExecutorError as error:
            if error.status == 404:
                return None
            raise

    def follow(self, agent_id: str, after: int) -> Iterator[Record]:
        settings, failures, position = self._transport.settings, 0, after
        while True:
            try:
                for record in self._records(agent_id, position):
                    position, failures = record.n, 0
                    yield record
                    if record.kind == "exit":
                        return
                problem = ExecutorError("network", "/events", 1, 1, message="the stream ended before the journal")
            except ExecutorError as error:
                if error.kind == "http" and error.status not in settings.retry_status_codes:
                    raise
                problem = error
            failures += 1
            if failures > settings.max_retries or (self._transport.local and problem.code == "refused"):
                raise problem
            time.sleep(settings.retry_delay_ms * failures / 1000)

    def write(self, agent_id: str, kind: Literal["in", "ctl"], key: str, data: bytes, *, epoch: int) -> Written:
        call = Call(
            "POST",
            f"/agents/{agent_id}/records",
            f"agent.{kind}",
            params={"kind": kind, "key": key},
            content=lambda: data,
            epoch=epoch,
            run_id=_run_of(agent_id),
        )
        answer = self._transport.json(call)
        return Written(answer["n"], answer["duplicate"])

    def acknowledge(self, agent_id: str, n: int, *, epoch: int) -> None:
        path = f"/agents/{agent_id}/ack"
        self._transport.json(
            Call("POST", path, "agent.ack", content=json_body({"n": n}), epoch=epoch, run_id=_run_of(agent_id))
        )

    def signal(self, agent_id: str, signal: Literal["INT", "TERM", "KILL"], *, key: str, epoch: int) -> Written:
        path, body = f"/agents/{agent_id}/signal", json_body({"signal": signal, "key": key})
        answer = self._transport.json(
            Call("POST", path, "agent.signal", content=body, epoch=epoch, run_id=_run_of(agent_id))
        )
        return Written(answer["n"], answer["duplicate"])

    def shed(self, agent_id: str, text: Sequence[str], *, key: str, epoch: int) -> Written:
        path, body = f"/agents/{agent_id}/shed", json_body({"text": list(text), "key": key})
        call = Call("POST", path, "agent.shed", content=body, epoch=epoch, run_id=_run_of(agent_id))
        try:
            answer = self._transport.json(call)
        except ExecutorError as error:
            if error.code != "no_such_route":
                raise
            logger.warning("executor of protocol 1 sheds nothing", run_id=_run_of(agent_id))
            return Written(0, True)
        return Written(answer["n"], answer["duplicate"])

    def _records(self, agent_id: str, after: int) -> Iterator[Record]:
        params = {"agent": agent_id, "after": str(after), "follow": "1"}
        call = Call(
            "GET",
            "/events",
            "agent.follow",
            params=params,
            timeout=_FOLLOW_SECONDS,
            run_id=_run_of(agent_id),
            once=True,
        )
        with self._transport.stream(call) as response:
            held = bytearray()
            for part in response.iter_raw():
                held += part
                taken = 0
                while (frame := _frame(held, taken)) is not None:
                    record, taken = frame
                    if record is not None:
                        yield record
                del held[:taken]


def require_spoken(version: object) -> None:
    """Raise ExecutorError `protocol_unsupported`, with what to do, unless workers of this release speak this version."""
    if version in protocol.SPOKEN:
        return
    spoken = " and ".join(str(number) for number in protocol.SPOKEN)
    newer = isinstance(version, int) and version > protocol.PROTOCOL
    remedy = "Update the workers." if newer else "Start the executor again, from this release or the one before."
    message = f"The executor speaks protocol {version}; this worker speaks {spoken}. {remedy}"
    raise ExecutorError("http", "/health", 1, 1, status=200, code="protocol_unsupported", message=message)


def _run_of(agent_id: str) -> str:
    """Return the run of `<run id>.<attempt>` (`journal.agent_id`)."""
    return agent_id.rpartition(".")[0]


def _frame(held: bytearray, begin: int) -> tuple[Record | None, int] | None:
    """Return the record at `begin` (None for a beat) and where the next one begins; None while it is not there as a whole."""
    newline = held.find(b"\n", begin)
    if newline < 0:
        return None
    header = orjson.loads(bytes(held[begin:newline]))
    end = newline + 1 + header["size"]
    if end + 1 > len(held):
        return None
    if header["kind"] == "beat":
        return None, end + 1
    data = bytes(held[newline + 1 : end])
    return Record(header["n"], header["t"], header["kind"], data, header.get("key"), header.get("epoch")), end + 1


def _state(answer: Mapping[str, Any]) -> AgentState:
    return AgentState(
        agent_id=answer["agentId"],
        running=answer["running"],
        last=answer["last"],
        acknowledged=answer["acknowledged"],
        exit=answer["exit"],
    )

"""One run, watched as a client that does not come back watches it: one request, one stream, no second connection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from cli.errors import CommandFailed, Unreachable
from cli.stress.findings import Failure, Json, Outcome, Plan, Watched

if TYPE_CHECKING:
    from cli.client import Client

STOP_SECONDS = 30.0
"""How long a run that was given up has to end; the stream beats every 15 s, and is left at the first beat after that."""

TRIAL = "trial"
PROVIDER_UNAVAILABLE = "provider_unavailable"
TOO_MUCH = 429

_SUGGESTIONS = {
    "timed_out": "Allow more time (--timeout), or look where it was: paddock explain RUN.",
    "waiting_human": "The agent asked a person, and here is none: choose a prompt that needs no answer.",
    "incomplete": "Read the rest of its log: paddock tail RUN. `make logs` says what became of web.",
    "transport_error": "Look at `make status` and `make logs`. The run goes on by itself: paddock tail RUN.",
    "canceled": "Somebody stopped it. Run the test where nobody else does.",
}
_OUTCOMES: dict[str, Outcome] = {"failed": "failed", "blocked": "blocked", "canceled": "canceled"}


class Watch:
    """One run of a plan. `stop` may be called from another thread."""

    def __init__(self, client: Client, plan: Plan, provider: str, name: str) -> None:
        self._client, self._plan, self._provider = client, plan, provider
        self._given_up = ""
        self._began = 0.0
        self._watched = Watched(name)
        self._warnings: dict[str, str] = {}
        self._where = ""
        self._remedy = ""
        self._finished: Json | None = None
        self._closed = False

    def run(self) -> Watched:
        """Start it and follow it to the end of its stream."""
        watched, self._began = self._watched, time.monotonic()
        timer = threading.Timer(self._plan.timeout_seconds, self._give_up, args=("timed_out",))
        timer.daemon = True
        timer.start()
        broken: Failure | None = None
        try:
            for event in self._events():
                self._take(event)
        except (httpx.TransportError, CommandFailed) as error:
            broken = _broken(error)
        finally:
            timer.cancel()
        watched.seconds = time.monotonic() - self._began
        watched.outcome, watched.failure = self._ending(broken)
        if not self._closed:
            self._stop_run()
        return watched

    def stop(self) -> None:
        """Have the run stopped; its stream is read to the end that it comes to."""
        self._give_up("canceled")

    def _give_up(self, why: str) -> None:
        self._given_up = self._given_up or why
        if self._watched.run_id and not self._where:
            with suppress(CommandFailed):
                found = self._client.get(f"/api/runs/{quote(self._watched.run_id, safe='')}/explain")
                self._where = str(found.get("summary") or "")
        self._stop_run()

    def _stop_run(self) -> None:
        if self._watched.run_id:
            with suppress(CommandFailed):
                self._client.post(f"/api/runs/{quote(self._watched.run_id, safe='')}/stop", {"reason": "stress test"})

    def _look_at_what_it_waits_for(self) -> None:
        """Give a run up that its provider's breaker holds back: one run at a time tries then, minutes apart, and this is another."""
        if not self._watched.run_id:
            return
        with suppress(CommandFailed):
            found = self._client.get(f"/api/runs/{quote(self._watched.run_id, safe='')}")
            waiting = found.get("waitingFor") or {}
            if waiting.get("reason") == PROVIDER_UNAVAILABLE:
                self._remedy = str(waiting.get("remedy") or "")
                self._give_up(PROVIDER_UNAVAILABLE)

    def _events(self) -> Iterator[Json | None]:
        """Yield the envelopes; None for a heartbeat. The trial waits where others of its provider do, so that it can be the one that
        tries whether it works again; what comes after it is refused then."""
        plan = self._plan
        body: Json = {"prompt": plan.prompt, "provider": self._provider, "providerOptions": {"approval": "all"}}
        body["budget"] = {"maxSeconds": plan.timeout_seconds + STOP_SECONDS}  # should we not be able to stop it
        if self._watched.name != TRIAL:
            body["onBusy"] = "reject"
        body["title"] = f"stress test of {plan.provider}, {self._watched.name}"
        if plan.model and self._provider == plan.provider:
            body["model"] = plan.model
        for event in self._client.start_and_stream(body):
            if event.name == "heartbeat":
                yield None
            elif event.id:
                yield json.loads(event.data)

    def _beat(self) -> None:
        """Nothing has come for a while: look whether it is worth waiting."""
        seconds = time.monotonic() - self._began
        if not self._given_up:
            self._look_at_what_it_waits_for()
        elif seconds > self._plan.timeout_seconds + STOP_SECONDS:
            raise httpx.ReadTimeout("the run was asked to stop and has not ended")

    def _take(self, envelope: Json | None) -> None:
        if envelope is None:
            self._beat()
            return
        watched, seconds = self._watched, time.monotonic() - self._began
        first = not watched.events
        watched.events.append(envelope)
        data = envelope.get("data") or {}
        if first:
            watched.run_id, watched.session_id = str(envelope.get("runId", "")), str(envelope.get("sessionId", ""))
            if self._given_up:  # before we knew whom to stop
                self._stop_run()
        match envelope.get("type"):
            case "message.delta" if watched.first_delta_seconds is None:
                watched.first_delta_seconds = seconds
            case "human_loop.requested":
                self._give_up("waiting_human")
            case "run.warning":
                self._warnings[str(data.get("code"))] = str(data.get("message") or "")
            case "run.finished":
                self._finished, watched.usage = data, data.get("usage") or {}
            case "run.closed":
                self._closed = True

    def _ending(self, broken: Failure | None) -> tuple[Outcome, Failure | None]:
        finished = self._finished or {}
        status = str(finished.get("status", ""))
        if self._given_up in ("timed_out", "waiting_human") and status in ("", "canceled"):
            return "incomplete", _failure(self._given_up, f"Given up. {self._where}".rstrip())
        if self._given_up == PROVIDER_UNAVAILABLE and status in ("", "canceled"):
            return "failed", Failure(PROVIDER_UNAVAILABLE, f"Given up. {self._where}".rstrip(), self._remedy)
        if broken is not None:
            return ("transport_error" if broken.failure_class == "transport_error" else "failed"), broken
        if not self._closed:
            return "incomplete", _failure("incomplete", "The stream ended without run.closed.")
        if status == "succeeded":
            return "succeeded", None
        code = str(finished.get("failureCode") or status)
        message = self._warnings.get(code) or str(finished.get("stopReason") or "")
        suggestion = str(finished.get("remedy") or _SUGGESTIONS.get(code, ""))
        return _OUTCOMES[status], Failure(code, message, suggestion)


def _broken(error: httpx.TransportError | CommandFailed) -> Failure:
    """Tell what the server refuses, also for now only (429), from one that is not to be reached."""
    if isinstance(error, httpx.TransportError) or (isinstance(error, Unreachable) and error.status != TOO_MUCH):
        return _failure("transport_error", str(error) or type(error).__name__)
    return Failure(error.code or str(error.status), f"{error.title} {error.detail}".strip(), error.remedy)


def _failure(failure_class: str, message: str) -> Failure:
    return Failure(failure_class, message, _SUGGESTIONS[failure_class])

"""The executor's front door: authentication, contact time, routing. What a route does is in the modules it calls."""

from __future__ import annotations

import os
import time
from _operator import _compare_digest as same_secret
from collections.abc import Callable, Iterator
from typing import Any

from executor import protocol
from executor.agents import Agents
from executor.http1 import Request, Response, json_response
from executor.refusal import Refused
from executor.settings import Settings

Route = Callable[..., Response]


class Contact:
    """When somebody who knows the token was last heard of, by the monotonic clock."""

    def __init__(self) -> None:
        self.at = time.monotonic()

    def touch(self) -> None:
        self.at = time.monotonic()


class Server:
    """`handle` serves one request. Routes are `(method, path)`, where a part `{}` stands for an argument."""

    def __init__(self, settings: Settings, boot_id: str, contact: Contact) -> None:
        self._settings, self._boot_id, self._contact = settings, boot_id, contact
        self._routes: dict[tuple[str, tuple[str, ...]], Route] = {}
        self._facts: Callable[[], dict[str, Any]] = dict

    def add(self, method: str, path: str, route: Route) -> None:
        self._routes[method, tuple(path.strip("/").split("/"))] = route

    def describe(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Set what `/health` tells besides the executor's name."""
        self._facts = facts

    def handle(self, request: Request) -> Response:
        known = self._authenticated(request)
        if request.method == "GET" and request.path == "/health":
            return self._health(known)
        if not known:
            raise Refused(401, "unauthenticated", "a bearer token is required")
        self._contact.touch()
        route, arguments = self._find(request)
        try:
            return route(request, *arguments)
        except (KeyError, TypeError) as error:
            raise Refused(400, "invalid", f"the request lacks or misnames {error}") from error
        finally:
            self._contact.touch()

    def _authenticated(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and same_secret(token.encode(), self._settings.token.encode())

    def _health(self, known: bool) -> Response:
        facts: dict[str, Any] = {"protocol": protocol.PROTOCOL, "status": "ok"}
        if known:
            self._contact.touch()
            name = {"name": self._settings.name, "generation": self._settings.generation}
            facts |= {**name, "bootId": self._boot_id, "pid": os.getpid(), **self._facts()}
        return json_response(facts)

    def _find(self, request: Request) -> tuple[Route, list[str]]:
        parts = request.path.strip("/").split("/")
        for (method, pattern), route in self._routes.items():
            if method == request.method and len(pattern) == len(parts):
                pairs = list(zip(pattern, parts, strict=True))
                if all(wanted in ("{}", part) for wanted, part in pairs):
                    return route, [part for wanted, part in pairs if wanted == "{}"]
        raise Refused(404, "no_such_route", f"{request.method} {request.path}")


def epoch_of(request: Request) -> int:
    """Return the epoch an effect call must carry."""
    try:
        return int(request.headers[protocol.EPOCH_HEADER])
    except (KeyError, ValueError):
        raise Refused(400, "invalid", f"{protocol.EPOCH_HEADER} is missing") from None


class AgentRoutes:
    """The routes below `/agents`, `/events` and `/fence`."""

    def __init__(self, agents: Agents, contact: Contact) -> None:
        self._agents, self._contact = agents, contact

    def add_to(self, server: Server) -> None:
        server.add("POST", "/fence", self.fence)
        server.add("POST", "/agents", self.start)
        server.add("GET", "/agents/{}", self.status)
        server.add("GET", "/events", self.events)
        server.add("POST", "/agents/{}/records", self.write)
        server.add("POST", "/agents/{}/ack", self.acknowledge)
        server.add("POST", "/agents/{}/signal", self.signal)
        server.add("POST", "/agents/{}/shed", self.shed)

    def fence(self, request: Request) -> Response:
        asked = request.json()
        return json_response({"epoch": self._agents.fences.check(asked["runId"], int(asked["epoch"]))})

    def start(self, request: Request) -> Response:
        spec = protocol.AgentSpec.from_json(request.json())
        return json_response(self._agents.start(spec, epoch_of(request)).as_json())

    def status(self, _: Request, agent_id: str) -> Response:
        return json_response(self._agents.get(agent_id).status().as_json())

    def events(self, request: Request) -> Response:
        agent, after = request.query["agent"], int(request.query.get("after", "0"))
        follow = request.query.get("follow", "0") == "1"

        def gone() -> bool:
            if request.disconnected():
                return True
            self._contact.touch()  # somebody with the token is still on the line
            return False

        return Response(200, self._noting_contact(self._agents.stream(agent, after, follow=follow, gone=gone)))

    def _noting_contact(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        for part in parts:
            yield part
            self._contact.touch()

    def write(self, request: Request, agent_id: str) -> Response:
        kind, key = request.query["kind"], request.query["key"]
        if kind not in ("in", "ctl"):
            raise Refused(422, "invalid", "a record is in or ctl")
        data = request.body.read(protocol.LINE_LIMIT + 1)
        if len(data) > protocol.LINE_LIMIT:
            raise Refused(413, "too_large", "a record has at most 16 MiB")
        n, duplicate = self._agents.write(agent_id, kind, key, data, epoch_of(request))
        return json_response({"n": n, "duplicate": duplicate})

    def acknowledge(self, request: Request, agent_id: str) -> Response:
        return json_response({"n": self._agents.acknowledge(agent_id, int(request.json()["n"]), epoch_of(request))})

    def shed(self, request: Request, agent_id: str) -> Response:
        asked = request.json()
        text = [str(beginning) for beginning in asked["text"]]
        n, duplicate = self._agents.shed(agent_id, text, asked["key"], epoch_of(request))
        return json_response({"n": n, "duplicate": duplicate})

    def signal(self, request: Request, agent_id: str) -> Response:
        asked = request.json()
        n, duplicate = self._agents.signal(agent_id, asked["signal"], asked["key"], epoch_of(request))
        return json_response({"n": n, "duplicate": duplicate})

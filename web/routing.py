"""Declaring routes. Each names its permission (or PUBLIC) or there is no way to write it down; the app refuses to start with an
address that was made any other way.

A view asks for what it needs by the types and names of its parameters: `principal: Principal`, `parts: Parts`, `body` and
`query` by their models, `key: Held`, and objects (`run: AgentRun`) that the loaders of `web.access` bring. The OpenAPI
document is made from the same declarations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast, get_type_hints

from flask import Flask, Response, g, request
from pydantic import BaseModel

from app.domain.permissions import Permission, Principal
from app.services.external_runs import Bound
from web import keys
from web.access import LOADERS
from web.parts import Parts, parts
from web.wire import Reply, Shown, json_response, read_json, read_query, revalidated, validate

PUBLIC: Literal["public"] = "public"
RUN_TOKEN: Literal["run_token"] = "run_token"  # noqa: S105 - a kind of access, not one
"""Only with the token that an external executor got when it bound the run of this address; nobody else's credential opens it."""
PORTAL_FILES = frozenset(
    {
        "GET /",
        "GET /chats/<session_id>",
        "GET /inbox",
        "GET /account",
        "GET /assets/<name>",
        "GET /icons/<name>",
        "GET /manifest.webmanifest",
        "GET /sw.js",
    }
)
"""Built files, the same for everybody: their views see neither who asks nor anything of the platform's."""
PUBLIC_ROUTES = PORTAL_FILES | {
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /login",
    "POST /login",
    "POST /api/auth/login",
    "GET /openapi",
    "GET /openapi.json",
}
"""All there is without authentication, word by word: a public route that is not on this list keeps the app from starting."""

View = TypeVar("View", bound=Callable[..., Any])
Replay = Callable[..., Any]
"""`replay(found, principal, parts, query)` returns an answer, or None where the stored one is to be sent."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is particular about a route. `keyed`: a POST that needs an Idempotency-Key; `hide`: secrets in its answer that are
    not stored; `replay`: how to answer again from what was made (by its id) instead of from the stored answer;
    `consumes`/`produces`: other content types than JSON; `max_bytes`: names the setting that limits the body; `etag`: a caller that has
    the answer already (If-None-Match) gets 304 without a body."""

    keyed: bool = True
    hide: tuple[str, ...] = ()
    replay: Replay | None = None
    consumes: tuple[str, ...] = ()
    produces: str = ""
    max_bytes: str = ""
    status: int = 200
    etag: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One route as declared."""

    method: str
    rule: str
    view: Callable[..., Any]
    access: Permission | Literal["public", "run_token"]
    tag: str
    options: Options
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} {self.rule}"

    @property
    def body(self) -> type[BaseModel] | None:
        return self.parameters.get("body")

    @property
    def query(self) -> type[BaseModel] | None:
        return self.parameters.get("query")

    @property
    def answer(self) -> type[BaseModel] | None:
        hint = self.parameters.get("return")
        return hint if isinstance(hint, type) and issubclass(hint, Shown) else None

    @property
    def keyed(self) -> bool:
        return self.method == "POST" and self.options.keyed and self.access not in (PUBLIC, RUN_TOKEN)

    @property
    def loads(self) -> dict[str, type]:
        """Parameters that a loader brings, by name."""
        return {name: hint for name, hint in self.parameters.items() if name != "return" and hint in LOADERS}


class Routes:
    """The routes of one noun. `answers` tells the model of a 200 where the view returns something else than it."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.endpoints: list[Endpoint] = []

    def get(
        self, rule: str, access: Permission | Literal["public", "run_token"], **options: Any
    ) -> Callable[[View], View]:
        return self._declare("GET", rule, access, options)

    def post(
        self, rule: str, access: Permission | Literal["public", "run_token"], **options: Any
    ) -> Callable[[View], View]:
        return self._declare("POST", rule, access, options)

    def put(
        self, rule: str, access: Permission | Literal["public", "run_token"], **options: Any
    ) -> Callable[[View], View]:
        return self._declare("PUT", rule, access, options)

    def delete(
        self, rule: str, access: Permission | Literal["public", "run_token"], **options: Any
    ) -> Callable[[View], View]:
        return self._declare("DELETE", rule, access, options)

    def websocket(self, rule: str, access: Permission) -> Callable[[View], View]:
        return self._declare("WEBSOCKET", rule, access, {})

    def _declare(
        self, method: str, rule: str, access: Permission | Literal["public", "run_token"], options: dict[str, Any]
    ) -> Callable[[View], View]:
        answers = options.pop("answers", None)

        def declare(view: View) -> View:
            hints = get_type_hints(view)
            parameters = {name: hints[name] for name in inspect.signature(view).parameters}
            parameters["return"] = answers or hints.get("return")
            self.endpoints.append(Endpoint(method, rule, view, access, self.tag, Options(**options), parameters))
            return view

        return declare


def register(app: Flask, routes: Routes) -> None:
    """Add the routes of one noun to the application."""
    registry = endpoints(app)
    for endpoint in routes.endpoints:
        registry[endpoint.name] = endpoint
        is_websocket = endpoint.method == "WEBSOCKET"
        app.add_url_rule(
            endpoint.rule,
            endpoint=endpoint.name,
            view_func=_serve(endpoint),
            methods=["GET"] if is_websocket else [endpoint.method],
            provide_automatic_options=False,
            **({"websocket": True} if is_websocket else {}),
        )


def endpoints(app: Flask) -> dict[str, Endpoint]:
    """Return all declared routes by name."""
    return cast(dict[str, Endpoint], app.extensions.setdefault("paddock_endpoints", {}))


def check(app: Flask) -> None:
    """Refuse to start with an address without a declaration, or with a public one that is not on the list (promise S4)."""
    declared = endpoints(app)
    undeclared = sorted(str(rule) for rule in app.url_map.iter_rules() if rule.endpoint not in declared)
    public = {endpoint.name for endpoint in declared.values() if endpoint.access == PUBLIC}
    if undeclared:
        raise RuntimeError(f"routes that declare no permission: {', '.join(undeclared)}")
    if public != PUBLIC_ROUTES:
        raise RuntimeError(f"the public routes are not those of the list: {sorted(public ^ PUBLIC_ROUTES)}")


# --- serving ---------------------------------------------------------------------------------------------------------------


def _serve(endpoint: Endpoint) -> Callable[..., Response]:
    def serve(**variables: str) -> Response:
        given: dict[str, Any] = dict(variables)
        if endpoint.query is not None:
            given["query"] = read_query(endpoint.query, request)
        elif request.args and endpoint.access != PUBLIC:
            read_query(_NoQuery, request)
        raw: dict[str, Any] = {"length": request.content_length} if endpoint.options.consumes else {}
        if endpoint.body is not None or (endpoint.method == "POST" and not endpoint.options.consumes):
            raw = read_json(request)
            body = validate(endpoint.body or _NoBody, raw)
            if endpoint.body is not None:
                given["body"] = body
        if not endpoint.keyed:
            return _call(endpoint, given)
        return _keyed(endpoint, given, raw)

    return serve


def _keyed(endpoint: Endpoint, given: dict[str, Any], raw: dict[str, Any]) -> Response:
    key = keys.key_of(request, g.principal, raw)
    found = keys.take(key, parts().settings.idempotency_seconds)
    if found.state == "fresh":
        return keys.guarded(key, lambda: _call(endpoint, {**given, "key": keys.Held(key)}), endpoint.options.hide)
    if endpoint.options.replay is not None and found.resource_id is not None:
        context = {"principal": g.principal, "parts": parts(), "query": given.get("query")}
        answered = endpoint.options.replay(found, **context)
        if answered is not None:
            response = _response(answered, endpoint.options.status)
            response.headers.update(keys.REPLAYED)
            return response
    return keys.replay(found)


def _call(endpoint: Endpoint, given: dict[str, Any]) -> Response:
    arguments: dict[str, Any] = {}
    for name, hint in endpoint.parameters.items():
        if name == "return":
            continue
        if hint is Principal:
            arguments[name] = g.principal
        elif hint is Bound:
            arguments[name] = g.bound
        elif hint is Parts:
            arguments[name] = parts()
        elif hint in LOADERS:
            arguments[name] = g.loaded[name]
        else:
            arguments[name] = given[name]
    response = _response(endpoint.view(**arguments), endpoint.options.status)
    return revalidated(response, request) if endpoint.options.etag else response


def _response(answer: Any, status: int) -> Response:
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, Reply):
        return json_response(answer.body.to_json() if answer.body else b"{}", answer.status, answer.headers)
    return json_response(cast(Shown, answer).to_json(), status)


class _NoQuery(BaseModel):
    model_config = {"extra": "forbid"}


class _NoBody(BaseModel):
    model_config = {"extra": "forbid"}

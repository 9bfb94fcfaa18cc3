"""The protocols in which agents call models, as the model proxy must know them: the paths that it serves, the form of errors, where
usage stands, and what a call can use at most. Reading streams is `app.domain.metering`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Vendor = Literal["anthropic", "openai"]
Protocol = Literal["messages", "responses", "chat"]

_MODEL_CALLS: dict[str, tuple[Vendor, Protocol]] = {
    "/v1/messages": ("anthropic", "messages"),
    "/v1/responses": ("openai", "responses"),
    "/v1/chat/completions": ("openai", "chat"),
}
_FREE: dict[str, Vendor] = {"/v1/messages/count_tokens": "anthropic"}
_MODELS = re.compile(r"/v1/models(/[A-Za-z0-9][A-Za-z0-9._:-]*)?\Z")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes. `protocol` is None for what costs nothing: lists of models, counting of tokens."""

    vendor: Vendor
    protocol: Protocol | None
    path: str


def find_route(method: str, path: str, *, anthropic: bool) -> Route | None:
    """Return the route of a request; None for everything that agents have no business with. Lists of models have the same path in
    both protocols: `anthropic` says whether the request is of that one."""
    if method == "POST" and path in _MODEL_CALLS:
        return Route(*_MODEL_CALLS[path], path)
    if method == "POST" and path in _FREE:
        return Route(_FREE[path], None, path)
    if method == "GET" and _MODELS.match(path):
        return Route("anthropic" if anthropic else "openai", None, path)
    return None


_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error_body(vendor: Vendor, status: int, code: str, message: str) -> bytes:
    """Return an error in the protocol's own form; `code` is a word of ours."""
    if vendor == "anthropic":
        kind = _ANTHROPIC_ERRORS.get(status, "api_error")
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
    kind = "insufficient_quota" if status == 402 else "invalid_request_error" if status < 500 else "server_error"
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


# --- usage -------------------------------------------------------------------------------------------------------------------

Told = dict[str, int]
"""Tokens by class (`app.domain.usage`), as far as they were told."""


def usage_of(protocol: Protocol, data: Mapping[str, Any]) -> Told | None:
    """Return the tokens that a body or one event of a stream tells, by our classes; None where it tells none. What a later event
    tells replaces what an earlier one told of the same call."""
    if protocol == "messages":
        found = (data.get("message") or {}).get("usage") if data.get("type") == "message_start" else data.get("usage")
        return _of_messages(found) if isinstance(found, Mapping) else None
    if protocol == "responses":
        holder = data.get("response") if isinstance(data.get("response"), Mapping) else data
        found = (holder or {}).get("usage")
        return _of_openai(found, "input", "output") if isinstance(found, Mapping) else None
    found = data.get("usage")
    return _of_openai(found, "prompt", "completion") if isinstance(found, Mapping) else None


def _of_messages(usage: Mapping[str, Any]) -> Told:
    names = {"input": "input_tokens", "output": "output_tokens", "cacheRead": "cache_read_input_tokens"}
    told = {ours: int(usage[theirs]) for ours, theirs in names.items() if usage.get(theirs) is not None}
    kinds = usage.get("cache_creation") or {}
    written = usage.get("cache_creation_input_tokens")
    if kinds or written is not None:
        long = int(kinds.get("ephemeral_1h_input_tokens") or 0)
        short = int(kinds.get("ephemeral_5m_input_tokens") or 0)
        told["cacheWrite1h"] = long
        told["cacheWrite5m"] = max(short, int(written or 0) - long)
    return told


def _of_openai(usage: Mapping[str, Any], taken: str, given: str) -> Told:
    """Both protocols count cached tokens within the input, and reasoning within the output."""
    details = usage.get(f"{taken}_tokens_details") or {}
    cached = int(details.get("cached_tokens") or 0)
    written = int(details.get("cache_write_tokens") or 0)
    thought = (usage.get(f"{given}_tokens_details") or {}).get("reasoning_tokens")
    return {
        "input": max(0, int(usage.get(f"{taken}_tokens") or 0) - cached - written),
        "output": int(usage.get(f"{given}_tokens") or 0),
        "cacheRead": cached,
        "cacheWrite5m": written,
        "reasoning": int(thought or 0),
    }


# --- requests ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """What the proxy reads of a request for a model. `most_input` and `most_output` are bounds in tokens, None where there is none."""

    model: str
    stream: bool
    most_input: int | None
    most_output: int | None


def read_request(protocol: Protocol, body: bytes) -> Asked:
    """Raises ValueError where the body is no JSON object that names a model."""
    data = orjson.loads(body)
    if not isinstance(data, dict) or not isinstance(data.get("model"), str) or not data["model"]:
        raise ValueError("the body names no model")
    names = {"messages": ("max_tokens",), "responses": ("max_output_tokens",)}
    most = [data.get(name) for name in names.get(protocol, ("max_completion_tokens", "max_tokens"))]
    bound = next((value for value in most if isinstance(value, int) and value > 0), None)
    choices = data.get("n") if protocol == "chat" else 1
    if bound is not None and isinstance(choices, int):
        bound *= max(1, choices)
    return Asked(data["model"], data.get("stream") is True, None if _reaches_out(body) else len(body), bound)


_REFERENCES = re.compile(
    rb'"type"\s*:\s*"(?:url|image_url|input_image|input_file|file|web_search[^"]*|mcp[^"]*)"'
    rb'|"previous_response_id"\s*:\s*"|"conversation"\s*:\s*["{]'
)


def _reaches_out(body: bytes) -> bool:
    """True where more may come into the context than the body holds: otherwise a token is at least one byte of it."""
    return _REFERENCES.search(body) is not None


def with_usage_asked(body: bytes) -> bytes | None:
    """Return a streaming Chat request that asks for its usage; None where it does already, or wants no stream."""
    data = orjson.loads(body)
    options = data.get("stream_options")
    if data.get("stream") is not True or (isinstance(options, dict) and options.get("include_usage") is True):
        return None
    data["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return orjson.dumps(data)

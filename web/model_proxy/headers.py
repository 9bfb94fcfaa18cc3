"""Which headers pass through the model proxy. Everything does, but what belongs to one connection, to the platform or to its account."""

from __future__ import annotations

from collections.abc import Iterable

_OF_ONE_CONNECTION = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "expect",
    }
)  # fmt: skip
_NOT_SENT = _OF_ONE_CONNECTION | {
    "host", "content-length", "accept-encoding", "authorization", "x-api-key", "api-key", "cookie", "forwarded", "via",
    "openai-organization", "openai-project", "traceparent", "tracestate", "baggage",
}  # fmt: skip
_NOT_RETURNED = _OF_ONE_CONNECTION | {
    "date", "server", "set-cookie", "alt-svc", "strict-transport-security", "openai-organization", "openai-project",
    "anthropic-organization-id",
}  # fmt: skip

Header = tuple[str, str]


def to_send(headers: Iterable[Header]) -> list[Header]:
    """Return what of an agent's headers the model's side is sent, by lower-case names."""
    kept = [
        (name.lower(), value)
        for name, value in headers
        if name.lower() not in _NOT_SENT and not name.lower().startswith(("x-forwarded-", "x-real-"))
    ]
    return [*kept, ("accept-encoding", "identity")]  # what is counted must be readable


def to_return(headers: Iterable[Header], *, length: bool) -> list[Header]:
    """Return what of the model's side's headers the agent gets; its `content-length` only where the body stays as it is."""
    left_out = _NOT_RETURNED if length else _NOT_RETURNED | {"content-length"}
    return [(name, value) for name, value in headers if name.lower() not in left_out]

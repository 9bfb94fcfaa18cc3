"""Trace ids: which one a request belongs to, and how it is told to the next process (W3C Trace Context, level 1).

A run keeps the trace of the request that made it. Nothing is sampled or sent to a collector here: logs carry the id.
"""

from __future__ import annotations

import hashlib
import os
import re

from app import ids

HEADER = "traceparent"
VARIABLE = "TRACEPARENT"
"""By this name a process is told whose child it is; OpenTelemetry's SDKs and Claude Code read it."""

_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z")
_OWN = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")
_HEX = re.compile(r"(?!0{32})[0-9a-f]{32}\Z")


def new_id() -> str:
    """Return the id of a trace that begins here."""
    return ids.new_id("trc")


def of_request(traceparent: str, own: str, request_id: str) -> str:
    """Return the trace that a caller goes on with: `traceparent`, or else its `X-Trace-Id`, or else one that begins with this
    request, the same for the same request id."""
    parent = _PARENT.match(traceparent)
    if parent and not traceparent.startswith("ff"):
        return parent[1]
    return own if _OWN.match(own) else ids.derived_id("trc", request_id)


def parent(trace_id: str) -> str:
    """Return the `traceparent` that goes on with this trace, with a new span. An id that is not W3C's stands behind its hash."""
    known = trace_id if _HEX.match(trace_id) else hashlib.sha256(trace_id.encode()).hexdigest()[:32]
    return f"00-{known}-{os.urandom(8).hex()}-01"

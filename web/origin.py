"""Which address this server is reached by: the Host header, the origin of its own pages, the name of its cookie.

A page that an attacker points at this machine by his own host name (DNS rebinding) is refused by the Host header, a page of
another origin by the Origin header. No CORS header is ever sent, so no other origin reads an answer.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from app.config import Settings
from app.errors import Forbidden
from web.errors import WrongHost

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to
DEFAULT_PORTS = {"http": 80, "https": 443}


def check_host(settings: Settings, host: str) -> None:
    """Raise WrongHost unless the Host header names this server."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        name, port = "", None
    public = urlsplit(settings.address)
    public_port = public.port or DEFAULT_PORTS.get(public.scheme)
    if name == public.hostname and port in (public_port, None if public_port in (80, 443) else public_port):
        return
    if name in LOOPBACK or (name == settings.host and port == settings.port):
        return
    if settings.host in EVERY_ADDRESS and _is_number(name):
        return  # listening everywhere: an address in numbers cannot be rebound by a name
    raise WrongHost("wrong_host", "The Host header names another server than this one.")


def own_origin(settings: Settings, host: str) -> str:
    """Return the origin of our pages as the browser of this request sees it."""
    public = urlsplit(settings.address)
    if urlsplit(f"//{host}").hostname == public.hostname:
        return f"{public.scheme}://{public.netloc}"
    return f"http://{host}"


def check_origin(settings: Settings, host: str, origin: str | None) -> None:
    """Raise Forbidden `origin_refused` unless the Origin header is exactly ours; none and `null` are not."""
    if origin is None or origin != own_origin(settings, host):
        raise Forbidden("origin_refused", "The request does not come from a page of this server.")


def is_secure(settings: Settings, host: str) -> bool:
    """False only on http at a loopback address, where a browser has no https to send a Secure cookie over."""
    origin = urlsplit(own_origin(settings, host))
    return not (origin.scheme == "http" and origin.hostname in LOOPBACK)


def cookie_name(settings: Settings, host: str) -> str:
    return "__Host-paddock" if is_secure(settings, host) else "paddock_session"


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""Which server a command talks to, and as whom."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cli import house, running
from cli.errors import CommandFailed

if TYPE_CHECKING:
    from cli.client import Client


def connect() -> Client:
    """Return a client by PADDOCK_URL and PADDOCK_TOKEN, else of the installation on this machine.

    The local owner's token is sent to the local address only.
    """
    from cli.client import Client  # late: httpx is slow to load, and most of `make up` is about other things

    installation = running.join_address()
    local = house.address()
    url = os.environ.get("PADDOCK_URL") or local
    token = os.environ.get("PADDOCK_TOKEN", "")
    if not token and url.rstrip("/") == local:
        path = installation.owner_token
        try:
            token = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise CommandFailed(
                f"There is no installation at {path.parent}.",
                remedy=running.where_else(installation)
                + "Start one with `make up`, or set PADDOCK_URL and PADDOCK_TOKEN to reach another.",
            ) from None
        except PermissionError:
            raise CommandFailed(
                "The owner's token belongs to another user of this machine.",
                remedy="Set PADDOCK_TOKEN to a token of your own.",
            ) from None
    if not token:
        raise CommandFailed(
            "No token is set.", remedy="Set PADDOCK_TOKEN; an owner makes one with `paddock token create NAME`."
        )
    return Client(url, token)

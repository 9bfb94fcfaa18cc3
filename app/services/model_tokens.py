"""The token by which an agent reaches its model through the proxy: it names run and attempt and is signed, so every holder of a run
makes the same one and none is stored. Nothing else of Paddock takes it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

from app.config import Settings
from app.domain.run_state import RunStatus
from app.errors import Unauthenticated
from app.models import AgentRun

PREFIX = "pdkr_"
SECRET_FILE = "model-token-secret"  # noqa: S105 - a file's name
_LIVE = (RunStatus.RUNNING, RunStatus.WAITING_HUMAN)


def token_for(settings: Settings, run_id: str, attempt: int) -> str:
    """Return the token of one attempt of a run."""
    return f"{PREFIX}{run_id}_{attempt}_{_sign(settings, run_id, attempt)}"


def run_of(settings: Settings, token: str) -> AgentRun:
    """Return the run whose agent holds this token; raises Unauthenticated where it is none, or of an attempt that is over."""
    run_id, attempt = _read(settings, token)
    run = AgentRun.get_or_none(AgentRun.id == run_id)
    if run is None or run.attempt != attempt or run.status not in _LIVE:
        raise Unauthenticated("run_token_invalid", "This token's run is over.")
    found: AgentRun = run
    return found


def _read(settings: Settings, token: str) -> tuple[str, int]:
    parts = token.removeprefix(PREFIX).rsplit("_", 2) if token.startswith(PREFIX) and token.isascii() else []
    if len(parts) == 3 and parts[1].isdecimal() and len(parts[1]) < 10:
        run_id, attempt, given = parts[0], int(parts[1]), parts[2]
        if hmac.compare_digest(_sign(settings, run_id, attempt), given):
            return run_id, attempt
    raise Unauthenticated("run_token_invalid", "This is no token of a run.")


def _sign(settings: Settings, run_id: str, attempt: int) -> str:
    key = settings.model_token_secret.encode() or _kept_secret(settings.root / SECRET_FILE)
    return hmac.new(key, f"{run_id}\0{attempt}".encode(), hashlib.sha256).hexdigest()


@cache
def _kept_secret(path: Path) -> bytes:
    """Return the installation's secret, made by whoever needs it first."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # somebody was faster: theirs holds
            os.link(draft, path)
        draft.unlink()
    return path.read_bytes()

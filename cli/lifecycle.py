"""`up` and `down`: migrate, start the processes in the background, wait until `/ready` is green; stop them again."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from app.config import Settings
from app.ports import EVERY_GENERATION, Sandboxes
from cli import first_start, processes, running
from cli.errors import CommandFailed
from cli.house import ROOT, House, address, tail
from cli.house import settings as load_settings
from cli.supervisor import Record

READY_SECONDS = 60.0
DOWN_SECONDS = 60.0
HOPELESS_RESTARTS = 4
CODE = ("app", "cli", "executor", "scheduler", "web", "workers")


def up(house: House) -> Settings:
    """Start what is not running and return when `/ready` is green. Safe to call again at any time."""
    house.make()
    record = Record(house.run)
    with _alone(house.run / "up.lock"):
        _reconcile(house, record)
        settings = load_settings()
        fingerprint = fingerprint_of(settings)
        if record.supervisor() is not None:
            why = _reason_to_restart(house, record, fingerprint)
            if why:
                say(f"{why}: starting again; agents go on meanwhile")
                _stop_supervisor(record)
        if record.supervisor() is None:
            left = record.clear_leftovers()
            if left:
                say(f"cleared away what an earlier start left: {', '.join(left)}")
            require_free_ports(settings)
            first_start.require_fit_redis(settings)
            say("preparing the database")
            first_start.prepare(house, settings)
            say("starting redis, web, workers and scheduler")
            running.note(house)
            start_supervisor(house, settings)
            house.fingerprint.write_text(fingerprint, encoding="utf-8")
        wait_until_ready(house, record)
    return settings


def start_supervisor(house: House, settings: Settings) -> None:
    argv, environment = supervisor_command(house, settings)
    with (house.logs / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            argv,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def supervisor_command(house: House, settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Return the supervisor's argv and environment; the Procfile's `python` is this one."""
    argv = [sys.executable, "-m", "cli.supervisor", "--procfile", str(ROOT / "Procfile")]
    argv += ["--run", str(house.run), "--logs", str(house.logs), "--instances", f"worker={settings.worker_processes}"]
    argv += ["--log-bytes", str(settings.log_bytes)]
    argv += ["--without", "redis"] if settings.redis_url else ["--wait-for", str(settings.redis_socket)]
    argv += [] if settings.model_proxy_runs else ["--without", "proxy"]
    folder = Path(sys.executable).parent  # not resolved: the virtual environment's own folder
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return argv, {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def become_supervisor(house: House) -> NoReturn:
    """Prepare everything, then turn this process into the supervisor: for containers and systemd."""
    house.make()
    settings = load_settings()
    Record(house.run).clear_leftovers()
    require_free_ports(settings)
    first_start.require_fit_redis(settings)
    first_start.prepare(house, settings)
    running.note(house)
    argv, environment = supervisor_command(house, settings)
    os.chdir(ROOT)
    os.execve(argv[0], argv, environment)  # noqa: S606 - no shell is wanted


def down(house: House) -> bool:
    """Stop all processes; agents go on in their sandboxes. False where nothing ran."""
    record = Record(house.run)
    house.make()
    with _alone(house.run / "up.lock"):
        if record.supervisor() is None:
            return bool(record.clear_leftovers())
        _stop_supervisor(record)
    return True


def fingerprint_of(settings: Settings) -> str:
    """Return a mark of the settings and the code: running processes with another one are out of date."""
    mark = hashlib.sha256(settings.model_dump_json(exclude={"bootstrap_token"}).encode())
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            stat = path.stat()
            mark.update(f"{path}:{stat.st_mtime_ns}:{stat.st_size}\n".encode())
    return mark.hexdigest()


def require_free_ports(settings: Settings) -> None:
    """Raise CommandFailed where another program listens on a port of web's or the model proxy's."""
    require_free_port(settings.host, settings.port)
    if settings.model_proxy_runs:
        require_free_port(*settings.model_proxy_bind, name="PADDOCK_MODEL_PROXY_PORT")


def require_free_port(host: str, port: int, *, name: str = "PADDOCK_PORT") -> None:
    """Raise CommandFailed where another program listens on a port; `name` is the setting that chooses another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise CommandFailed(
                f"Port {port} on {host} is taken by another program." if taken else f"Cannot listen on {host}:{port}.",
                detail=str(error),
                remedy=f"Choose another one: {name}={port + 1} make up (or set {name} in .env).",
            ) from error


def wait_until_ready(house: House, record: Record) -> None:
    """Wait for `GET /ready`; CommandFailed with the log of what does not come up. Degraded for want of room serves, so that is said
    and is no failure of the start."""
    deadline = time.monotonic() + READY_SECONDS
    answer: dict[str, Any] = {}
    while time.monotonic() < deadline:
        status, answer = ask_ready()
        if status == 200:
            return
        if short := _shortages(answer):
            say("ready, but nothing new is taken: " + "; ".join(short))
            return
        _give_up_on_crashes(house, record)
        time.sleep(0.05)
    raise CommandFailed(
        f"Paddock did not become ready in {READY_SECONDS:.0f} s.",
        detail=json.dumps(answer) if answer else "web does not answer",
        remedy="Look at `make status` and `make logs`.",
    )


def _shortages(answer: Mapping[str, Any]) -> list[str]:
    """Return what there is too little room of, with what to do, where that is all that `/ready` misses."""
    missed = [check for check in answer.get("checks", {}).values() if check.get("status") != "ok"]
    if any(check.get("status") != "degraded" for check in missed):
        return []
    return [f"{check['error']} {check['remedy']}" for check in missed]


def ask_ready() -> tuple[int, dict[str, Any]]:
    """Return the status and body of `GET /ready`; (0, {}) where nobody answers."""
    return _ask("/ready")


def find_unwell() -> list[str]:
    """Return what `GET /health` says of processes that do not get on; empty where all do, or nobody answers."""
    checks = _ask("/health")[1].get("checks", {})
    return [str(check.get("error")) for check in checks.values() if check.get("status") != "ok"]


def _ask(path: str) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(address())
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read() or b"{}")
        return response.status, body if isinstance(body, dict) else {}
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()


def list_sandboxes() -> list[str]:
    """Return the sandboxes that run on this machine, by session."""
    return _sandboxes().list_running()


def end_sandboxes() -> list[str]:
    """End every sandbox with its agents; their files and journals stay. Returns which."""
    sandboxes = _sandboxes()
    running = sandboxes.list_running()
    for name in running:
        sandboxes.stop(name, EVERY_GENERATION)
    return running


def _sandboxes() -> Sandboxes:
    from app import container  # late: only those who look at sandboxes pay for all the parts

    return container.build(load_settings()).sandboxes


def redis_cli_line(settings: Settings, run_id: str = "") -> str:
    """Return a command that shows a run's log in Redis on this very machine."""
    stream = f"XRANGE 'paddock:run:{run_id or 'RUN_ID'}:events' - +"
    binary = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if binary is None:
        return f"{command_name()} redis-cli {stream}"
    where = f"-u {settings.redis_url}" if settings.redis_url else f"-s {settings.redis_socket}"
    return f"{Path(binary).name} {where} {stream}"


def command_name() -> str:
    """Return how this command is called from the checkout."""
    script = Path(sys.executable).parent / "paddock"
    try:
        return str(script.relative_to(ROOT))
    except ValueError:
        return str(script)


def say(message: str) -> None:
    sys.stderr.write(f"  {message}\n")
    sys.stderr.flush()


def _reconcile(house: House, record: Record) -> None:
    """What only an earlier shell knew: go on with it while Paddock runs, tell that it is missing at a start from nothing."""
    if record.supervisor() is not None:
        kept = running.keep(house)
        if kept:
            say(f"goes on with {', '.join(kept)} as given to an earlier `make up`, though not in this shell or .env")
            say("to make that last write it into .env; to start without it: make down, then make up")
        return
    missing = running.missing(house)
    if missing:
        say(f"! the last start was given {', '.join(missing)}; now that is neither in this shell nor in .env")
        say("to make it last write it into .env, then make up again")


def _reason_to_restart(house: House, record: Record, fingerprint: str) -> str:
    """Return why the running processes should not be left as they are; empty where they should."""
    crashing = _crashing(record)
    if crashing and ask_ready()[0] != 200:
        return f"{', '.join(crashing)} did not stay up"
    known = house.fingerprint.read_text(encoding="utf-8") if house.fingerprint.exists() else ""
    return "" if known == fingerprint else "settings or code have changed"


def _stop_supervisor(record: Record) -> None:
    supervisor = record.supervisor()
    if supervisor is None:
        return
    supervisor.signal(signal.SIGTERM)
    if not processes.wait_for_end([supervisor], DOWN_SECONDS):
        supervisor.kill_group()
    record.clear_leftovers()


def _crashing(record: Record) -> list[str]:
    entries = record.read().get("processes", {})
    return [name for name, entry in entries.items() if entry["restarts"] >= HOPELESS_RESTARTS]


def _give_up_on_crashes(house: House, record: Record) -> None:
    for name in _crashing(record):
        raise CommandFailed(
            f"{name} does not stay up.",
            detail=tail(house.logs / f"{name}.log", 25),
            remedy=f"The whole log is {house.logs / f'{name}.log'}; `make down` stops the rest.",
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one `up` or `down` of this installation work at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

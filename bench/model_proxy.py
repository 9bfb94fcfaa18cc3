"""What the model proxy adds to a call of a model, in time and memory: the same request sent to a scripted model directly and through
the proxy, in turns. A first byte and a whole answer; a token of a stream; what one of many streams at once costs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from app.services import model_tokens
from bench.figures import Spread, milliseconds, rounds
from bench.house import House, house
from bench.processes import family, memory_of
from bench.table import Bar, Table
from bench.token_server import TokenServer, token_server
from tests.support.model_server import ModelServer

Headers = dict[str, str]

ROUNDS = rounds(200)
STREAM_ROUNDS = rounds(20)
STREAMS = 100
MOST_MS = 20.0
SENT = re.compile(rb'"text": "(\d+) "')
BODY = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 64,
    "stream": True,
    "messages": [{"role": "user", "content": "hello"}],
}


def measure() -> list[Table]:
    with ModelServer() as model, _behind(model.url) as (installation, headers):
        table = _calls(headers, model.url, _address(installation))
    with token_server() as model, _behind(model.url) as (installation, headers):
        return [table, _tokens(headers, model.url, _address(installation)), _streams(installation, headers, model)]


@contextmanager
def _behind(url: str) -> Iterator[tuple[House, Headers]]:
    """Yield an installation whose model is at `url`, and the headers by which a run's agent calls it."""
    with house({"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-bench-0123456789"}) as installation:
        run_id, _ = installation.held_log()
        token = model_tokens.token_for(installation.container.settings, run_id, 1)
        yield installation, {"x-api-key": token, "anthropic-version": "2023-06-01"}


def _address(installation: House) -> str:
    return f"http://127.0.0.1:{installation.stack.port + 1}"


def _client(headers: Headers) -> httpx.Client:
    return httpx.Client(headers=headers, timeout=60, trust_env=False, limits=httpx.Limits(max_connections=None))


def _calls(headers: Headers, direct: str, proxied: str) -> Table:
    samples: dict[str, list[tuple[float, float]]] = {direct: [], proxied: []}
    with _client(headers) as client:
        for _ in range(ROUNDS):
            for address, taken in samples.items():
                taken.append(_call(client, address))
    table = Table("a call of a model, directly and through the model proxy")
    for index, name in enumerate(("first byte", "whole answer")):
        bare, through = (Spread.of(each[index] for each in samples[address]) for address in (direct, proxied))
        pairs = zip(samples[direct], samples[proxied], strict=True)
        added = Spread.of(after[index] - before[index] for before, after in pairs)
        table.add(f"{name}, direct", milliseconds(bare))
        table.add(f"{name}, through the proxy", milliseconds(through), ratio=through.p50 / bare.p50)
        bar = Bar(f"p50 <= {MOST_MS:g} ms", added.p50 * 1000, MOST_MS) if index == 0 else None
        table.add("   difference of each pair", milliseconds(added), bar=bar)
    table.notes = (
        "Ratio: to the direct call. The model server answers at once: a model takes a hundred times as long.",
    )
    return table


def _call(client: httpx.Client, address: str) -> tuple[float, float]:
    began = time.perf_counter()
    with client.stream("POST", f"{address}/v1/messages", json=BODY) as answer:
        answer.raise_for_status()
        chunks = answer.iter_raw()
        next(chunks)
        first = time.perf_counter() - began
        for _ in chunks:
            pass
    return first, time.perf_counter() - began


def _tokens(headers: Headers, direct: str, proxied: str) -> Table:
    """From a token's write by the model until its read by the client, one stream after another."""
    delays: dict[str, list[float]] = {direct: [], proxied: []}
    with _client(headers) as client:
        for _ in range(STREAM_ROUNDS):
            for address, taken in delays.items():
                with client.stream("POST", f"{address}/v1/messages", json=BODY) as answer:
                    answer.raise_for_status()
                    for chunk in answer.iter_raw():
                        read = time.monotonic_ns()
                        taken += [(read - int(sent)) / 1e9 for sent in SENT.findall(chunk)]
    bare, through = Spread.of(delays[direct]), Spread.of(delays[proxied])
    table = Table("a token of a stream, from the model's write to the client's read")
    table.add("direct", milliseconds(bare), 1.0)
    table.add("through the model proxy", milliseconds(through), through.p50 / bare.p50)
    table.add("   added at p50", {"p50 ms": (through.p50 - bare.p50) * 1000})
    table.notes = (
        "Ratio: to the direct stream. One stream at a time, a token every 5 ms; model and client share a process.",
    )
    return table


def _streams(installation: House, headers: Headers, model: TokenServer) -> Table:
    """Memory of the proxy with many streams held open at once, beyond what it has without, after a first such load."""
    model.held, model.tokens = True, 2
    address, pids = _address(installation), family(installation.stack.processes()["proxy"].pid)
    with _client(headers) as client:
        with _held(client, address, model):
            pass
        before = memory_of(pids)
        with _held(client, address, model):
            during = memory_of(pids)
    table = Table(f"memory of the model proxy, {STREAMS} streams at once")
    table.add("without a stream", {"own MB": before.unique / 2**20, "resident MB": before.resident / 2**20})
    table.add("with them", {"own MB": during.unique / 2**20, "resident MB": during.resident / 2**20})
    each = {"own": during.unique - before.unique, "resident": during.resident - before.resident}
    table.add("   added by each stream", {f"{name} KB": grown / STREAMS / 1024 for name, grown in each.items()})
    table.notes = ("The second such load: what the first one left behind is reused.",)
    return table


@contextmanager
def _held(client: httpx.Client, address: str, model: TokenServer) -> Iterator[None]:
    """Keep STREAMS streams open, each in mid answer; then let them end."""
    model.go.clear()
    with ExitStack() as stack:
        rest = []
        for _ in range(STREAMS):
            answer = stack.enter_context(client.stream("POST", f"{address}/v1/messages", json=BODY))
            answer.raise_for_status()
            chunks = answer.iter_raw()
            while not SENT.search(next(chunks)):
                pass
            rest.append(chunks)
        yield
        model.go.set()
        for chunks in rest:
            for _ in chunks:
                pass

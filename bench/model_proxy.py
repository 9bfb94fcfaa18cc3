"""What the model proxy adds to a call of a model: the same request sent to the scripted model server directly and through the proxy, in
turns, until the first byte of the stream and until its end."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx

from app.services import model_tokens
from bench.figures import Spread, milliseconds
from bench.house import House, house
from bench.table import Bar, Table
from tests.support.model_server import ModelServer

ROUNDS = 200
MOST_MS = 20.0
BODY = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 64,
    "stream": True,
    "messages": [{"role": "user", "content": "hello"}],
}


def measure() -> list[Table]:
    with ModelServer() as model:
        settings = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-bench-0123456789"}
        with house(settings) as installation:
            return [_measure(installation, model.url)]


def _measure(installation: House, direct: str) -> Table:
    run_id, _ = installation.held_log()
    settings = installation.container.settings
    headers = {"x-api-key": model_tokens.token_for(settings, run_id, 1), "anthropic-version": "2023-06-01"}
    proxied = f"http://127.0.0.1:{installation.stack.port + 1}"
    samples: dict[str, list[tuple[float, float]]] = {direct: [], proxied: []}
    with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
        for _ in range(ROUNDS):
            for address, taken in samples.items():
                taken.append(_call(client, address))
    return _table(samples[direct], samples[proxied])


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


def _table(direct: list[tuple[float, float]], proxied: list[tuple[float, float]]) -> Table:
    table = Table("a call of a model, directly and through the model proxy")
    for index, name in enumerate(("first byte", "whole answer")):
        bare, through = (Spread.of(each[index] for each in taken) for taken in (direct, proxied))
        added = Spread.of(after[index] - before[index] for before, after in zip(direct, proxied, strict=True))
        table.add(f"{name}, direct", _shown(bare))
        table.add(f"{name}, through the proxy", _shown(through), ratio=through.p50 / bare.p50)
        bar = Bar(f"p50 <= {MOST_MS:g} ms", added.p50 * 1000, MOST_MS) if index == 0 else None
        table.add("   difference of each pair", _shown(added), bar=bar)
    table.notes = (
        "Ratio: to the direct call. The model server answers at once: a model takes a hundred times as long.",
    )
    return table


def _shown(spread: Spread) -> Mapping[str, float]:
    return milliseconds(spread)

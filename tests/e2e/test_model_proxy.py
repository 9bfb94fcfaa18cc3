"""Real agents through the model proxy, in sandboxes that reach nothing else: no key of the platform's is anywhere near them, what they
used is counted to the token, and a budget ends them."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.adapters.bubblewrap import bubblewrap_usable
from app.domain.prices import Prices
from app.models import AgentRun, ChatSession, ModelCall, RunEvent, Snapshot, UsageLog
from app.services import metering
from tests.support.model_server import ModelServer
from tests.support.model_server.server import MISSING_MODEL
from tests.support.stack import Stack, stack
from tests.support.verdicts import LONG
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_agent

KEYS = {"ANTHROPIC_API_KEY": "sk-ant-canary-5f1c9b", "OPENAI_API_KEY": "sk-oai-canary-77a2e0"}
COSTLY = "costly-1"
"""A model whose every scripted call costs $0.02: 100 tokens of input at $200 a million."""
LOOK = "env; tr '\\0' '\\n' < /proc/self/environ; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'; "
LOOK += "grep -rs canary / --include=*.json --include=*.toml --include=.env -l 2>/dev/null | head; ls -la ~"


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def running(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    prices = tmp_path_factory.mktemp("prices") / "prices.json"
    prices.write_text(
        json.dumps(
            {"models": {COSTLY: {"input": 200, "output": 0, "cacheRead": 0, "cacheWrite5m": 0, "cacheWrite1h": 0}}}
        )
    )
    addresses = {
        "PADDOCK_MODEL_PRICES": str(prices),
        "ANTHROPIC_BASE_URL": model.url,
        "OPENAI_BASE_URL": f"{model.url}/v1",
        "ANTHROPIC_MODEL": "claude-sonnet-4-5",
        "PADDOCK_SANDBOX_NETWORK": "model-only" if bubblewrap_usable() else "open",
    }
    with stack({"PADDOCK_WEB_PROCESSES": "1", "PADDOCK_WORKER_PROCESSES": "1", **addresses, **KEYS}) as started:
        yield started


def finished(running: Stack, client: httpx.Client, run_id: str, seconds: float = 90) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/api/runs/{run_id}").json()
        return found if found.get("finishedAt") else None

    return eventually(look, seconds, what=f"{run_id} to end")


def run(running: Stack, provider: str, prompt: str, **body: Any) -> dict[str, Any]:
    with running.client() as client:
        options = {"providerOptions": {"approval": "all"}, **body}
        return finished(running, client, running.start(client, prompt, provider=provider, **options))


def told(model: ModelServer, since: int) -> dict[str, int]:
    """Return what the model's side told of its calls, by Paddock's classes."""
    total = dict.fromkeys(("input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h"), 0)
    for usage in model.told[since:]:
        if "cache_creation" in usage:
            total["input"] += usage["input_tokens"]
            total["cacheRead"] += usage["cache_read_input_tokens"]
            total["cacheWrite5m"] += usage["cache_creation"]["ephemeral_5m_input_tokens"]
            total["cacheWrite1h"] += usage["cache_creation"]["ephemeral_1h_input_tokens"]
        else:  # OpenAI's two count what was cached in the input
            given = usage.get("input_tokens", usage.get("prompt_tokens", 0))
            details = usage.get("input_tokens_details") or usage["prompt_tokens_details"]
            total["input"] += given - details["cached_tokens"]
            total["cacheRead"] += details["cached_tokens"]
        total["output"] += usage.get("output_tokens", usage.get("completion_tokens", 0))
    return total


def hidden_in(folder: Path, word: bytes) -> list[str]:
    """Return the files below a folder that hold a word, packed or not."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if word in data or (data[:2] == b"\x1f\x8b" and word in gzip.decompress(data)):
                found.append(str(path.relative_to(folder)))
    return found


def environments() -> Iterator[bytes]:
    """The environments of all processes that are in a sandbox: below an executor."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        if b"pdkr_" in environment:
            yield environment


@pytest.mark.parametrize("provider", ["claude-code", "codex-cli", "opencode", "acp"])
def test_the_key_is_nowhere_in_the_sandbox_and_the_count_is_the_models_own(
    running: Stack, model: ModelServer, provider: str
) -> None:
    since, calls = len(model.told), len(model.calls)
    prompt = f"[[bash:{LOOK}]][[write:kept.txt:hello]][[gate:{provider}]][[text:done]]"
    with running.client() as client:
        options = {"providerOptions": {"approval": "all"}}
        run_id = running.start(client, prompt, provider=provider, **options)
        eventually(lambda: len(model.calls) >= calls + 3, 90, what="the agent to have looked around")
        live = list(environments())
        model.open(provider)
        ended = finished(running, client, run_id)
    assert ended["status"] == "succeeded", ended
    assert live, "no process had the run's token: this test looks in the wrong place"
    assert not any(key.encode() in environment for environment in live for key in KEYS.values())
    assert {logged.key for logged in model.calls[calls:]} <= set(KEYS.values())
    for key in KEYS.values():
        for folder in ("sandboxes", "objects"):
            assert hidden_in(running.var / folder, key.encode()) == []
    usage = {name: ended["usage"].get(name, 0) for name in told(model, since)}
    assert usage == told(model, since)
    with running.opened():
        row = AgentRun.get_by_id(run_id)
        counted = metering.total(run_id)
        assert counted is not None
        assert {name: counted[name] for name in usage} == usage
        assert UsageLog.get_by_id(run_id).input == usage["input"]
        assert Snapshot.select().where(Snapshot.session_id == row.session_id).exists()
        events = [json.dumps(event.data) for event in RunEvent.select().where(RunEvent.run_id == run_id)]
        assert not any(key in text for text in (*events, json.dumps(row.launch)) for key in KEYS.values())
        assert not any("pdkr_" in text for text in events), "the token is cut out of what the agent printed"
        assert any("[redacted]" in text for text in events)
        assert [text for text in events if "usage_mismatch" in text] == []
        models = {call.model for call in ModelCall.select().where(ModelCall.run_id == run_id)}
        if all(Prices.load().find(name) for name in models):
            assert ended["usage"]["costUsd"] == pytest.approx(counted["costUsd"])


@pytest.mark.parametrize("provider", ["claude-code", "codex-cli", "opencode", "acp"])
def test_a_budget_of_5_cents_ends_the_run_after_at_most_one_more_call(
    running: Stack, model: ModelServer, provider: str
) -> None:
    calls = len(model.calls)
    prompt = "".join(f"[[bash:echo {number}; touch {number}]]" for number in range(12)) + "[[text:never]]"
    ended = run(running, provider, prompt, model=COSTLY, budget={"maxCostUsd": 0.05})
    assert (ended["status"], ended["failureCode"]) == ("failed", "budget_exceeded"), ended
    assert ended["remedy"]
    assert len(model.calls) - calls == 3  # after $0.04 there is money left, after $0.06 there is not
    assert ended["usage"]["costUsd"] == pytest.approx(0.06)
    with running.opened():
        rows = list(ModelCall.select().where(ModelCall.run_id == ended["runId"]))
    assert [row.cost_usd for row in rows] == [pytest.approx(0.02)] * 3
    assert os.path.exists(running.var / "model-token-secret")


@pytest.mark.parametrize("provider", ["claude-code", "codex-cli", "opencode", "acp"])
def test_a_trial_call_goes_all_the_way_and_tells_what_it_cost_or_why_it_failed(
    running: Stack, model: ModelServer, provider: str
) -> None:
    since = len(model.told)
    path = f"/api/providers/{provider}/preflight"
    with running.client() as client:
        looked = client.post(path, json={}, timeout=90).json()
        assert looked["ok"], looked
        assert [check["name"] for check in looked["checks"]] == [
            "executor", "binary", "version", "credentials", "model", "breaker",
        ]  # fmt: skip
        assert len(model.told) == since
        tried = client.post(path, json={"trialCall": True, "model": COSTLY, "timeoutMs": 120_000}, timeout=150).json()
        assert tried["ok"], tried
        usage = tried["trial"]["usage"]
        assert {name: usage.get(name, 0) for name in told(model, since)} == told(model, since)
        assert usage["costUsd"] == pytest.approx(0.02)
        missing = client.post(
            path, json={"trialCall": True, "model": MISSING_MODEL, "timeoutMs": 120_000}, timeout=150
        ).json()
        check = missing["checks"][-1]
        assert (missing["ok"], check["name"], check["failureCode"]) == (False, "trialCall", "model_invalid"), missing
        assert (check["failureClass"], check["retryable"]) == ("data_issue", False)
        assert check["remedy"]
        items = {item["kind"]: item for item in client.get("/api/providers").json()["items"]}
    assert items[provider]["breaker"] == {"state": "closed"}
    with running.opened():
        chats = list(ChatSession.select().where(ChatSession.title == "Preflight", ChatSession.provider == provider))
        assert len(chats) == 2
        assert all(chat.deleted_at is not None for chat in chats)
    assert not any(key in json.dumps([items, tried, missing]) for key in KEYS.values())
    doctor = running.paddock("doctor").stdout
    assert not any(key in doctor for key in KEYS.values())


@pytest.mark.parametrize("provider", ["claude-code", "codex-cli", "opencode", "acp"] if LONG else ["claude-code"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_proxy_that_goes_away_in_mid_answer_ends_no_run_and_counts_nothing_twice(
    running: Stack, model: ModelServer, provider: str, number: signal.Signals
) -> None:
    """Told to stop, it ends the answer first; killed, the agent asks again. Either way each call is counted once."""
    since, calls, gate = len(model.told), len(model.calls), f"{provider}-{number.name}"
    with running.client() as client:
        options = {"providerOptions": {"approval": "all"}}
        run_id = running.start(client, f"[[bash:touch a]][[gate:{gate}]]", provider=provider, **options)
        eventually(lambda: len(model.calls) >= calls + 2, 90, what="the answer to begin")
        gone = running.processes()["proxy"]
        (os.killpg if number == signal.SIGKILL else os.kill)(gone.pid, number)

        def another() -> bool:
            found = running.processes().get("proxy")
            return found is not None and found.pid != gone.pid

        if number == signal.SIGKILL:
            eventually(another, 60, what="another proxy")
        model.open(gate)
        ended = finished(running, client, run_id)
    assert ended["status"] == "succeeded", ended
    assert ended["attempt"] <= 2  # Codex may give up before another proxy is there, and is tried again
    with running.opened():
        rows = list(ModelCall.select().where(ModelCall.run_id == run_id).order_by(ModelCall.started_at))
        counted = metering.total(run_id)
    assert counted is not None
    assert all(count >= 0 for count in counted.values())
    assert len({row.id for row in rows}) == len(rows) == len(model.calls) - calls
    whole = [row for row in rows if row.state == "ended"]
    if number == signal.SIGTERM:
        assert len(whole) == len(rows) == 2
        assert {name: counted[name] for name in told(model, since)} == told(model, since)
    else:
        (first, cut, *_, last) = rows
        assert (first.state, last.state) == ("ended", "ended")
        assert cut.state in ("lost", "cut", "open")  # open until the next proxy, or the end of its time, closes it
        assert cut.output <= last.output


MODEL_OF = {"claude-code": "claude-sonnet-4-5", "acp": "claude-haiku-4-5", "codex-cli": "gpt-5", "opencode": "a-model"}
"""One each: rates are limited by model."""


@pytest.mark.skipif(not LONG, reason="long: a window of the rate is a minute")
@pytest.mark.timeout(600)
def test_agents_beyond_the_rate_wait_and_come_to_their_end_in_the_same_attempt(model: ModelServer) -> None:
    since = len(model.told)
    keys = {"ANTHROPIC_BASE_URL": model.url, "OPENAI_BASE_URL": f"{model.url}/v1", **KEYS}
    prompt = "".join(f"[[bash:echo {number} >> done.txt]]" for number in range(4)) + "[[text:It is done.]]"
    with stack({"PADDOCK_MODEL_REQUESTS_PER_MINUTE": "3", **keys}) as slow, slow.client() as client:
        asked = {"providerOptions": {"approval": "all"}}
        runs = {kind: slow.start(client, prompt, provider=kind, model=name, **asked) for kind, name in MODEL_OF.items()}
        ended = {kind: finished(slow, client, run_id, 400) for kind, run_id in runs.items()}
    for kind, end in ended.items():
        assert (end["status"], end["attempt"]) == ("succeeded", 1), (kind, end)
    assert len(model.told) - since == 5 * len(runs)


def test_without_the_proxy_agents_get_the_key_and_none_runs(model: ModelServer) -> None:
    environment = {"PADDOCK_MODEL_PROXY": "0", "PADDOCK_WEB_PROCESSES": "1", "PADDOCK_WORKER_PROCESSES": "1"}
    with stack(
        {**environment, "ANTHROPIC_BASE_URL": model.url, **KEYS, "ANTHROPIC_MODEL": "claude-sonnet-4-5"}
    ) as bare:
        assert "proxy" not in bare.processes()
        ended = run(bare, "claude-code", "hello")
        assert ended["status"] == "succeeded"
        with bare.opened():
            assert ModelCall.select().count() == 0

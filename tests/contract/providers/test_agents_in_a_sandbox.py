"""Every provider's agent in a real local sandbox: its command, mounts, HOME and working directory hold there. Under bubblewrap the
sandbox is fenced: the model is all that the agent reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from app.adapters.local_sandboxes import LocalSandboxes
from app.domain.journal import agent_id
from app.domain.run_state import RunStatus
from app.domain.turn import AskPolicy, EndAgent, Launch, ResumePoint, SendInput, Step
from app.ports import AgentHost, AgentStart, Executor, Provider, SandboxSpec
from app.providers.acp import AcpProvider
from app.providers.claude_code import ClaudeCodeProvider
from app.providers.codex_cli import CodexProvider
from app.providers.opencode import OpenCodeProvider
from app.providers.scripted import ScriptedProvider
from tests.support.model_server import ModelServer
from tests.support.sandboxes import local_sandboxes

PROMPTS = {
    "scripted": ("/write /workspace/a.txt hello\n/run cat a.txt\n/remember the door is blue", "/recall"),
    "claude-code": ("the door is blue [[write:a.txt:hello]][[bash:cat a.txt; touch b.txt]]", "[[recall]]"),
}
PROMPTS["acp"] = PROMPTS["codex-cli"] = PROMPTS["opencode"] = PROMPTS["claude-code"]
MODELS = {"opencode": "a-model"}  # a GPT would get apply_patch instead of write


@pytest.fixture(
    params=[ScriptedProvider, ClaudeCodeProvider, CodexProvider, OpenCodeProvider, AcpProvider],
    ids=lambda provider: provider().kind,
)
def provider(request: pytest.FixtureRequest) -> Provider:
    made: Callable[[], Provider] = request.param
    return made()


@pytest.fixture
def sandboxes(tmp_path: Path, sandbox_mode: str, model: ModelServer) -> Iterator[LocalSandboxes]:
    peer = model.url.removeprefix("http://") if sandbox_mode == "bubblewrap" else None
    with local_sandboxes(tmp_path / "sandboxes", sandbox_mode, only_peer=peer) as made:
        yield made


@pytest.fixture
def executor(sandboxes: LocalSandboxes, provider: Provider) -> Executor:
    return sandboxes.start(SandboxSpec("ses_1", 1, provider.mounts(), {}))


def play(host: AgentHost, provider: Provider, launch: Launch) -> list[Step]:
    """One attempt in the sandbox, as a driver that allows everything."""
    name, epoch = agent_id(launch.run_id, launch.attempt), 1
    host.fence(launch.run_id, epoch)
    host.start_agent(AgentStart(name, launch.run_id, epoch, provider.kind, provider.command(launch), {}))
    turn, steps = provider.begin(launch), []
    for record in host.follow(name, 0):
        steps.append(turn.step(record))
        for intent in steps[-1].intents:
            match intent:
                case SendInput(key, line):
                    host.write(name, "in", key, line, epoch=epoch)
                case AskPolicy(key, request_id):
                    verdict = orjson.dumps({"type": "verdict", "requestId": request_id, "verdict": "allow"})
                    host.write(name, "ctl", key, verdict, epoch=epoch)
                case EndAgent(key):
                    host.signal(name, "TERM", key=key, epoch=epoch)
    return steps


def test_it_works_remembers_and_ends(executor: Executor, provider: Provider, model: ModelServer) -> None:
    settings = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-scripted"}
    settings |= {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "sk-scripted"}
    first_prompt, second_prompt = PROMPTS[provider.kind]
    chosen = MODELS.get(provider.kind)
    first = Launch("run_1", "ses_1", 1, first_prompt, chosen, settings=settings)
    steps = play(executor, provider, first)
    (outcome,) = [step.outcome for step in steps if step.outcome]
    assert outcome.status is RunStatus.SUCCEEDED, outcome
    assert executor.read_file("a.txt", offset=0, limit=100)[0].strip() == b"hello"
    (conversation,) = {step.conversation_id for step in steps if step.conversation_id}
    assert conversation
    resume = ResumePoint(conversation)
    (probe,) = provider.probes(Launch("run_1", "ses_1", 2, "", resume=resume))
    (found,) = executor.link_agent_data([probe])
    assert (found.exists, found.contains) == (True, probe.contains is not None)
    second = Launch("run_2", "ses_1", 1, second_prompt, chosen, resume=resume, settings=settings)
    (found,) = executor.link_agent_data(provider.probes(second))
    second = replace(second, resume=ResumePoint(conversation, found.contains))  # as `run_launch` makes it
    events = [event for step in play(executor, provider, second) for event in step.events]
    assert "the door is blue" in "".join(data["text"] for type_, data in events if type_ == "message.stop")
    assert provider.kind == "scripted" or second_prompt in str(model.calls[-1].body)


def test_an_agent_by_a_command_of_the_operator_s_works(sandboxes: LocalSandboxes) -> None:
    folder = Path(__file__).resolve().parents[2] / "support"
    provider = AcpProvider({"command": f"/usr/bin/python3 {folder}/acp_agent.py", "mounts": str(folder)})
    assert provider.readiness({}).failure is None
    executor = sandboxes.start(SandboxSpec("ses_2", 1, provider.mounts(), {}))
    steps = play(executor, provider, Launch("run_1", "ses_2", 1, "hello"))
    (outcome,) = [step.outcome for step in steps if step.outcome]
    assert outcome.status is RunStatus.SUCCEEDED, outcome
    assert executor.read_file("a.txt", offset=0, limit=100)[0] == b"hello"
    types = [type_ for step in steps for type_, _ in step.events if not type_.endswith("delta")]
    assert types == ["message.stop", "tool.call", "tool.result"]

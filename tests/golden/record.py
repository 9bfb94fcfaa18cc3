"""Records the golden transcripts: `python -m tests.golden.record [ADAPTER | ADAPTER/NAME …]`; with `--restep` the records stay and only
their steps are made anew. An adapter is a kind of provider, written as its module: `codex_cli`."""

from __future__ import annotations

import platform
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from app.domain.journal import Record
from app.domain.turn import AgentCommand, Launch, ResumePoint
from app.ports import Provider
from app.providers.claude_code import ClaudeCodeProvider
from tests.contract.providers.pipes import PipeDriver, Policy, allow_all, always, answer, ask_all, nobody
from tests.contract.providers.subjects import SUBJECTS
from tests.golden import transcripts
from tests.support.model_server import ModelServer
from tests.support.model_server.server import MISSING_MODEL

AGENTS = {kind.replace("-", "_"): subject for kind, subject in SUBJECTS.items()}
NOBODY_THERE = "http://127.0.0.1:9"


class TodoWriteProvider(ClaudeCodeProvider):
    """Claude Code with its older todo tool."""

    def command(self, launch: Launch) -> AgentCommand:
        command = super().command(launch)
        return replace(command, env={**command.env, "CLAUDE_CODE_ENABLE_TASKS": "0"})


@dataclass
class Scene:
    """One recording. `before` is a prompt played first in the same conversation, `address` where the model is looked for instead."""

    prompt: str
    policy: Policy = ask_all
    person: Callable[[], Any] = lambda: nobody
    before: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    provider: Callable[[], Provider] | None = None


def stop_at(type_: str, count: int) -> Callable[[], Any]:
    def make() -> Any:
        seen: list[str] = []

        def person(name: str, _: Mapping[str, Any]) -> Mapping[str, Any] | None:
            if name == type_:
                seen.append(name)
            if name == type_ and len(seen) == count:
                return {"type": "stop", "by": "usr_alice", "reason": "enough"}
            return None

        return person

    return make


def chooses_blue() -> Any:
    def person(name: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return answer(data, answers={data["questions"][0]["id"]: ["Blue"]}) if name == "human_loop.requested" else None

    return person


def answers_twice() -> Any:
    """Two tabs: the second answer comes when the request is no longer open."""
    kept: list[Mapping[str, Any]] = []

    def person(name: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if name == "human_loop.requested":
            kept.append(data)
            return answer(data, decision="allow")
        return answer(kept[0], decision="deny") if name == "human_loop.resolved" else None

    return person


SCENES: dict[str, Scene] = {
    "text": Scene("[[text:Hello there, this is a text.]]"),
    "thinking": Scene("[[think:let me think about it]][[text:Thought.]]"),
    "write_allowed": Scene("[[text:I will write.]][[write:hello.txt:hi]]", person=lambda: always("allow")),
    "write_allowed_by_policy": Scene("[[write:hello.txt:hi]]", policy=allow_all),
    "write_denied": Scene("[[write:hello.txt:hi]][[text:fine]]", person=lambda: always("deny", message="not today")),
    "write_denied_by_policy": Scene("[[write:hello.txt:hi]][[text:fine]]", policy=lambda _: "deny"),
    "allow_always": Scene("[[bash:touch one]][[bash:touch two]]", person=lambda: always("allow_always")),
    "answered_twice": Scene("[[write:hello.txt:hi]]", person=answers_twice),
    "two_requests_at_once": Scene("[[both:touch one:touch two]]", person=lambda: always("allow")),
    "bash_fails": Scene("[[bash:echo out; echo err >&2; exit 3]]", policy=allow_all),
    "question": Scene("[[ask:Which colour?|Red|Blue]]", person=chooses_blue),
    "question_declined": Scene("[[ask:Which colour?|Red|Blue]]", person=lambda: always("deny")),
    "todos_of_tasks": Scene("[[todo]]"),
    "todos_of_todowrite": Scene("[[todowrite]]", provider=TodoWriteProvider),
    "sub_agent": Scene("[[agent:{{bash:touch made}}{{text:sub says}}]]", policy=allow_all),
    "stop_in_text": Scene("[[slow:1000:10]]", person=stop_at("message.delta", 3)),
    "stop_while_pending": Scene("[[write:a.txt:x]]", person=stop_at("human_loop.requested", 1)),
    "resume": Scene("[[recall]]", before="the door is blue"),
    "resume_failed": Scene("hi", fields={"resume": ResumePoint("7f0e7c9e-0a51-4a5e-9c3f-1f8a5a5a5a51")}),
    "error_401": Scene("[[error:401]]"),
    "error_404_model": Scene("hi", fields={"model": MISSING_MODEL}),
    "error_529": Scene("[[error:529]]"),
    "error_passing": Scene("[[error:500:1]][[text:fine]]"),
    "not_logged_in": Scene("hi", settings={"ANTHROPIC_API_KEY": ""}),
    "connection_refused": Scene("hi", address=NOBODY_THERE),
    "stream_cut": Scene("[[cut]]"),
}
ONLY_CLAUDE_CODE = ("todos_of_todowrite", "sub_agent", "not_logged_in", "stream_cut", "error_passing", "answered_twice")
SHARED = {name: scene for name, scene in SCENES.items() if name not in ONLY_CLAUDE_CODE}
ADAPTERS = {adapter: SCENES if adapter == "claude_code" else SHARED for adapter in AGENTS}


def record(adapter: str, name: str, scene: Scene) -> None:
    """Play one scene with the real binary, make its paths ours, and write it down. Not in $TMPDIR: Codex mistrusts a home in there."""
    agent = AGENTS[adapter]
    with ModelServer() as model, tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        settings = {**agent.settings(scene.address or model.url), **scene.settings}
        launch = Launch("run_golden", "ses_golden", 1, scene.prompt, model=agent.model, settings=settings)
        launch = replace(launch, **scene.fields)
        driver = PipeDriver((scene.provider or agent.make)(), Path(folder))
        if scene.before:
            before = driver.play(replace(launch, run_id="run_before", prompt=scene.before))
            assert before.conversation_id
            launch = replace(launch, resume=ResumePoint(before.conversation_id))
        played = driver.play(launch, policy=scene.policy, person=scene.person())
        records = [_cleaned(item, driver, model) for item in played.records]
        turn = driver.provider.begin(launch)
        path = transcripts.FOLDER / adapter / f"{name}.json"
        transcripts.write(path, launch, records, [turn.step(item) for item in records])


def _cleaned(item: Record, driver: PipeDriver, model: ModelServer) -> Record:
    text = item.data.decode()
    for inside, shown in driver.provider.mounts().items():
        text = text.replace(shown, inside)
    for outside, inside in ((driver.workspace, "/workspace"), (driver.home, "/home/agent")):
        text = text.replace(str(outside), inside).replace(re.sub(r"[/_.]", "-", str(outside)), inside.replace("/", "-"))
        text = text.replace(str(outside)[1:], inside[1:])
    text = text.replace(f'"{platform.node()}"', '"a-machine"')
    text = text.replace(model.url.removeprefix("http://"), "model.example")
    return replace(item, data=_short(text).encode())


def _short(text: str) -> str:
    """Leave out the agents' lists of commands and models, which no adapter reads."""
    try:
        line = orjson.loads(text)
    except ValueError:
        return text
    for holder in (line.get("result"), (line.get("params") or {}).get("update")):
        for name in ("configOptions", "availableCommands"):
            if isinstance(holder, dict) and holder.get(name):
                holder[name] = []
                text = orjson.dumps(line).decode()
    response = line.get("response", {}).get("response") if line.get("type") == "control_response" else None
    if isinstance(response, dict) and "commands" in response:
        line["response"]["response"] = {"commands": []}
        return orjson.dumps(line).decode()
    if line.get("subtype") == "init":
        kept = ("type", "subtype", "cwd", "session_id", "tools", "model", "permissionMode", "claude_code_version")
        return orjson.dumps({key: line[key] for key in kept}).decode()
    return text


def restep(adapter: str, path: Path) -> None:
    kept = transcripts.read(path)
    turn = AGENTS[adapter].make().begin(kept.launch)
    transcripts.write(path, kept.launch, kept.records, [turn.step(item) for item in kept.records])


def main() -> None:
    if sys.argv[1:] == ["--restep"]:
        for adapter in ADAPTERS:
            for path in transcripts.paths(adapter):
                restep(adapter, path)
        return
    for wanted in sys.argv[1:] or ADAPTERS:
        adapter, _, name = wanted.partition("/")
        for each in [name] if name else ADAPTERS[adapter]:
            record(adapter, each, ADAPTERS[adapter][each])
            print(f"{adapter}/{each}", flush=True)


if __name__ == "__main__":
    main()

"""One contract for every agent: the same scenarios, each real binary, its own adapter, the scripted model (SPEC §6).

Where user namespaces are allowed each agent is in a network namespace whose only peer is the model, as in a fenced sandbox:
what it looks up elsewhere (updates, lists of models, telemetry) fails, and nothing of this suite needs it.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.domain.failure import FailureCode
from app.domain.journal import Record
from app.domain.prices import Prices
from app.domain.run_state import RunStatus
from app.domain.turn import CONTINUE_MESSAGE, NOTHING, ResumePoint
from app.ports import Turn
from app.providers.opencode import turn as opencode
from tests.conftest import missing
from tests.contract.providers.pipes import Person, PipeDriver, Played, always, answer, ask_all
from tests.contract.providers.subjects import KEY, SUBJECTS, Subject
from tests.support import network_namespace
from tests.support.model_server import ModelServer
from tests.support.model_server.server import MISSING_MODEL
from tests.support.verdicts import LONG
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_agent


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Skips what its agent does not declare."""
    subject = SUBJECTS[request.param]
    mark = request.node.get_closest_marker("capability")
    if mark is not None and subject.make().capabilities.missing(mark.args):
        pytest.skip(f"{subject.kind} does not declare {mark.args[0]}")
    return subject


@pytest.fixture
def one_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCode's pauses are 2, 4 and 8 s, and no server is there that could ask for shorter ones: here its adapter gives up behind the
    first, as Claude Code does by a setting. All of them are taken where a server answers with an error."""
    monkeypatch.setattr(opencode, "RETRIES", 1)


@pytest.fixture
def driver(subject: Subject, model: ModelServer) -> Iterator[PipeDriver]:
    """In a folder outside $TMPDIR: Codex mistrusts a home in there."""
    peer = model.url.removeprefix("http://") if network_namespace.usable() else None
    with tempfile.TemporaryDirectory(prefix="pdk-agent-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        yield PipeDriver(subject.make(), Path(folder), only_peer=peer)


def texts(played: Played) -> list[str]:
    return [data["text"] for data in played.of("message.stop") if data.get("role") != "user"]


def steering(model: ModelServer, text: str) -> Person:
    """Return a person who says this, once, while the agent speaks before the gate."""
    said: list[str] = []

    def person(type_: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if said or type_ != "message.delta" or "Before" not in data["text"]:
            return None
        said.append(text)
        model.open("steered")
        return {"type": "steer", "id": "cmd_1", "text": text, "by": "usr_alice"}

    return person


def told(played: Played) -> list[tuple[str, str]]:
    """Return what people told the agent while it worked."""
    said = [data for data in played.of("message.stop") if data.get("role") == "user"]
    return [(data["commandId"], data["text"]) for data in said]


def results(played: Played) -> dict[str, str]:
    """Return the status of each call's result by the call's name; a call has exactly one."""
    names = {data["toolCallId"]: data["name"] for data in played.of("tool.call")}
    ended = [data["toolCallId"] for data in played.of("tool.result")]
    assert sorted(ended) == sorted(names)
    return {names[data["toolCallId"]]: data["status"] for data in played.of("tool.result")}


def assert_deltas_join(played: Played) -> None:
    for whole, delta in (("message.stop", "message.delta"), ("thinking.stop", "thinking.delta")):
        joined: dict[str, str] = {}
        for data in played.of(delta):
            joined[data["messageId"]] = joined.get(data["messageId"], "") + data["text"]
        spoken = [data for data in played.of(whole) if data.get("role") != "user"]
        assert joined == {data["messageId"]: data["text"] for data in spoken}


class StopAt:
    """A person who stops the run when the n-th event of a type comes."""

    def __init__(self, type_: str, count: int = 1) -> None:
        self._type, self._left = type_, count

    def __call__(self, type_: str, _data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        self._left -= type_ == self._type
        if type_ == self._type and self._left == 0:
            return {"type": "stop", "by": "usr_alice", "reason": "enough"}
        return None


@pytest.mark.capability("stream")
def test_text_streams_and_adds_up(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[text:Here is the answer to it.]]"))
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    assert texts(played) == ["Here is the answer to it."]
    assert len(played.of("message.delta")) > 1
    assert_deltas_join(played)
    assert model.calls[0].key == KEY


@pytest.mark.capability("stream")
def test_thinking_streams_apart_from_text(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[think:let me think about it]][[text:So it is.]]"))
    assert [data["text"] for data in played.of("thinking.stop")] == ["let me think about it"]
    assert texts(played) == ["So it is."]
    assert_deltas_join(played)


@pytest.mark.capability("stream")
def test_a_slow_stream_arrives_as_it_is_spoken(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    seen: list[str] = []

    def person(type_: str, data: Mapping[str, Any]) -> None:
        seen.append(type_)
        if type_ == "message.delta" and "Before" in data["text"]:
            model.open("slow")  # the rest is spoken only after the first piece was seen

    played = driver.play(subject.launch(model, "[[gate:slow]]"), person=person)
    assert texts(played) == ["Before the gate. Behind the gate."]


def test_tools_are_called_and_their_results_told(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[write:a.txt:hello]][[bash:cat a.txt; touch b.txt]][[text:done]]"))
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    assert results(played) == {subject.edit: "ok", subject.execute: "ok"}
    kinds = {data["name"]: data["kind"] for data in played.of("tool.call")}
    assert kinds == {subject.edit: "edit", subject.execute: "execute"}
    outputs = "".join(data["output"] for data in played.of("tool.result"))
    assert "hello" in outputs
    assert (driver.workspace / "a.txt").read_text().strip() == "hello"
    assert texts(played) == ["done"]


def test_nothing_but_the_model_is_reached(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    if not network_namespace.usable():
        missing("This user may make no namespaces: agents reach whatever this machine does.")
    with ModelServer() as elsewhere:
        port = elsewhere.url.rpartition(":")[2]
        tries = f"import socket; print('code', socket.socket().connect_ex(('127.0.0.1', {port})))"
        played = driver.play(subject.launch(model, f'[[bash:python3 -c "{tries}"; touch x]][[text:done]]'))
        (result,) = played.of("tool.result")
        assert f"code {errno.ECONNREFUSED}" in result["output"]
    assert texts(played) == ["done"]


def test_a_command_that_fails_is_told_as_an_error(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[bash:echo oh; touch x; exit 3]][[text:went on]]"))
    (result,) = played.of("tool.result")
    assert result["status"] == "error"
    assert "oh" in result["output"]
    assert "3" in result["output"]
    assert texts(played) == ["went on"]


def test_a_huge_output_is_taken(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    flood = "yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 3000000; touch x"
    played = driver.play(subject.launch(model, f"[[bash:{flood}]][[text:went on]]"))
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    (result,) = played.of("tool.result")
    assert "xxxx" in result["output"]
    assert texts(played) == ["went on"]


@pytest.mark.capability("humanLoop")
def test_what_is_not_allowed_does_not_happen_and_the_turn_goes_on(
    driver: PipeDriver, subject: Subject, model: ModelServer
) -> None:
    prompt = "[[bash:touch made]][[write:b.txt:no]][[text:went on]]"
    played = driver.play(
        subject.launch(model, prompt), policy=ask_all, person=always("deny", message="not on a Friday")
    )
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    assert results(played) == {subject.execute: "denied", subject.edit: "denied"}
    assert list(driver.workspace.iterdir()) == []
    assert texts(played)[-1] == "went on"
    assert "not on a Friday" in str(model.calls[-1].body)
    assert [data["outcome"] for data in played.of("human_loop.resolved")] == ["answered", "answered"]


@pytest.mark.capability("humanLoop")
def test_what_a_policy_denies_does_not_happen(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[bash:touch made]][[text:went on]]"), policy=lambda _: "deny")
    assert results(played) == {subject.execute: "denied"}
    assert not (driver.workspace / "made").exists()
    assert played.of("human_loop.requested") == []
    assert texts(played)[-1] == "went on"


@pytest.mark.capability("humanLoop")
def test_a_person_is_asked_and_allows(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    prompt = "[[bash:touch made]][[write:b.txt:yes]][[text:done]]"
    played = driver.play(subject.launch(model, prompt), policy=ask_all, person=always("allow"))
    command, edit = played.of("human_loop.requested")
    assert (command["kind"], command["toolCall"]["kind"]) == ("approval", "execute")
    assert command["toolCall"]["input"]["command"] == "touch made"
    assert edit["toolCall"]["kind"] == "edit"
    assert "b.txt" in str(edit["toolCall"]["input"])
    calls = {data["toolCallId"] for data in played.of("tool.call")}
    assert {command["toolCallId"], edit["toolCallId"]} == calls
    assert sorted(path.name for path in driver.workspace.iterdir()) == ["b.txt", "made"]


@pytest.mark.capability("humanLoop")
def test_allow_always_asks_once(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    prompt = "[[bash:touch a]][[bash:touch b]][[text:done]]"
    played = driver.play(subject.launch(model, prompt), policy=ask_all, person=always("allow_always"))
    assert len(played.of("human_loop.requested")) == 1
    assert sorted(path.name for path in driver.workspace.iterdir()) == ["a", "b"]


@pytest.mark.capability("stop")
def test_a_stop_while_a_person_is_asked_cancels(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    launch = subject.launch(model, "[[bash:touch made]][[text:went on]]")
    played = driver.play(launch, policy=ask_all, person=StopAt("human_loop.requested"))
    assert played.outcome.status is RunStatus.CANCELED
    assert [data["outcome"] for data in played.of("human_loop.resolved")] == ["canceled"]
    assert not (driver.workspace / "made").exists()


@pytest.mark.capability("stop")
def test_a_stop_in_mid_text_cancels(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[gate:never]]"), person=StopAt("message.delta"))
    assert played.outcome.status is RunStatus.CANCELED
    assert_deltas_join(played)


@pytest.mark.capability("stop")
def test_a_stop_in_mid_command_leaves_no_process(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    script = "import os,time; open('pid','w').write(str(os.getpid())); time.sleep(600)"
    launch = subject.launch(model, f'[[bash:python3 -c "{script}"]]')
    started = driver.workspace / "pid"

    def person(type_: str, _data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if type_ != "tool.call":
            return None
        return {"type": "stop", "by": "usr_alice", "reason": "enough", "once": started}

    played = driver.play(launch, person=person)
    assert played.outcome.status is RunStatus.CANCELED
    assert set(results(played).values()) <= {"error", "denied"}
    pid = int(started.read_text())
    eventually(lambda: not _is_alive(pid), 10, what="the command is gone")


@pytest.mark.capability("questions")
def test_a_question_is_answered(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    asked: list[Mapping[str, Any]] = []

    def person(type_: str, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if type_ != "human_loop.requested":
            return None
        asked.append(data)
        return answer(data, answers={data["questions"][0]["id"]: ["Blue"]})

    played = driver.play(subject.launch(model, "[[ask:Which colour?|Red|Blue]][[text:done]]"), person=person)
    (data,) = asked
    (question,) = data["questions"]
    assert (data["kind"], question["question"]) == ("question", "Which colour?")
    assert [option["label"] for option in question["options"]] == ["Red", "Blue"]
    assert "Blue" in str(model.calls[-1].body)
    assert played.outcome.status is RunStatus.SUCCEEDED


@pytest.mark.capability("todo")
def test_todos_are_told_whole(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[todo]][[text:done]]"))
    last = played.of("todo.update")[-1]["todos"]
    assert [(todo["content"], todo["status"]) for todo in last] == [
        ("write the file", "completed"),
        ("report", "pending"),
    ]
    assert len({todo["id"] for todo in last}) == 2


@pytest.mark.capability("usage")
def test_usage_is_what_the_server_counted(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "[[bash:touch a]][[bash:touch b]][[text:done]]"))
    calls = len(model.calls)
    assert calls == 3
    usage = played.of("usage.update")[-1]
    assert (usage["input"], usage["cacheRead"], usage["output"]) == (100 * calls, 7 * calls, 10 * calls)
    assert played.conversation_id
    second = subject.launch(model, "hello again", run_id="run_2", resume=ResumePoint(played.conversation_id))
    again = driver.play(second).of("usage.update")[-1]
    assert (again["input"], again["output"]) == (100, 10)


@pytest.mark.capability("steering")
def test_a_steer_reaches_the_turn_that_runs(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    person = steering(model, "paint it blue. Continue.")
    played = driver.play(subject.launch(model, "[[gate:steered]][[bash:touch x]][[text:end]]"), person=person)
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    assert "paint it blue" in str(model.calls[-1].body)
    assert told(played) == [("cmd_1", "paint it blue. Continue.")]


@pytest.mark.capability("steering")
def test_a_steer_without_a_tool_behind_it_is_answered_too(
    driver: PipeDriver, subject: Subject, model: ModelServer
) -> None:
    person = steering(model, "paint it blue")
    played = driver.play(subject.launch(model, "[[gate:steered]]"), person=person)
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    assert told(played) == [("cmd_1", "paint it blue")]
    assert texts(played)[-1] == "You said: paint it blue"
    assert_deltas_join(played)
    usage = played.of("usage.update")[-1]
    calls = len(model.calls)  # Codex may break the first one off, and is told no usage of it then
    assert usage["input"] in {100 * calls, 100 * (calls - (subject.kind == "codex-cli"))}


@pytest.mark.capability("steering")
def test_a_steer_before_the_turn_is_kept_for_it(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    steer = {"type": "steer", "id": "cmd_1", "text": "paint it blue. Continue."}
    played = driver.play(subject.launch(model, "[[bash:touch x]][[text:end]]"), first_control=steer)
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    assert told(played) == [("cmd_1", "paint it blue. Continue.")]
    assert "paint it blue" in str(model.calls[-1].body)


@pytest.mark.capability("steering")
def test_of_a_steer_after_the_turn_nothing_is_told(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    """So the platform says that it came too late."""
    turns: list[Turn] = []
    begin = driver.provider.begin
    driver.provider.begin = lambda launch: turns.append(begin(launch)) or turns[0]  # type: ignore[method-assign, func-returns-value]
    played = driver.play(subject.launch(model, "[[text:end]]"))
    late = Record(
        len(played.records) + 1, 0.0, "ctl", b'{"type":"steer","id":"cmd_1","text":"too late"}', "steer:cmd_1"
    )
    assert turns[0].step(late) == NOTHING


@pytest.mark.capability("resume")
def test_the_conversation_goes_on_after_its_process_ended(
    driver: PipeDriver, subject: Subject, model: ModelServer
) -> None:
    first = driver.play(subject.launch(model, "the door is blue [[text:noted]]"))
    assert first.conversation_id
    resume = ResumePoint(first.conversation_id)
    again = driver.play(subject.launch(model, "[[recall]]", run_id="run_2", resume=resume))
    assert "the door is blue" in texts(again)[-1]
    assert again.conversation_id == first.conversation_id


@pytest.mark.capability("resume")
def test_a_conversation_cut_by_a_kill_goes_on(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    probe = driver.provider.probes(subject.launch(model, "", resume=ResumePoint("*")))

    def killer(type_: str, _data: Mapping[str, Any]) -> None:
        if type_ == "message.delta":
            eventually(lambda: all(map(driver.holds, probe)), what="the prompt is in the agent's state")
            driver.kill()

    first = driver.play(subject.launch(model, "the door is blue [[gate:killed]]"), person=killer)
    assert first.outcome.failure is not None
    assert first.outcome.failure.code is FailureCode.INCOMPLETE
    assert first.conversation_id
    model.open("killed")
    resume = ResumePoint(first.conversation_id, has_prompt=True)
    again = driver.play(subject.launch(model, "the door is blue [[gate:killed]]", attempt=2, resume=resume))
    assert again.outcome.status is RunStatus.SUCCEEDED, again.outcome
    assert CONTINUE_MESSAGE in str(model.calls[-1].body)
    assert str(model.calls[-1].body).count("the door is blue") == 1


@pytest.mark.capability("resume")
def test_a_conversation_that_is_gone_is_told_so(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    resume = ResumePoint("00000000-0000-4000-8000-000000000000")
    played = driver.play(subject.launch(model, "hello", resume=resume))
    assert played.outcome.stop_reason == "resume_failed"
    assert played.outcome.failure is not None
    assert played.outcome.failure.may_retry


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("[[error:401]]", FailureCode.AUTH_MISSING),
        ("[[error:402]]", FailureCode.BUDGET_EXCEEDED),
        ("[[error:403]]", FailureCode.AUTH_MISSING),
        ("[[error:529]]", FailureCode.TRANSPORT_ERROR),
        ("[[error:500]]", FailureCode.TRANSPORT_ERROR),
        *([("[[error:429]]", FailureCode.TRANSPORT_ERROR), ("[[error:400]]", FailureCode.AGENT_ERROR)] if LONG else []),
    ],
)
def test_an_error_of_the_model_s_server_is_classified(
    driver: PipeDriver, subject: Subject, model: ModelServer, script: str, code: FailureCode
) -> None:
    played = driver.play(subject.launch(model, script))
    assert played.outcome.status is RunStatus.FAILED
    assert played.outcome.failure is not None
    assert played.outcome.failure.code is code, played.outcome
    assert played.outcome.failure.advice


def test_a_model_that_is_not_there_is_told_so(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    played = driver.play(subject.launch(model, "hello", model=MISSING_MODEL))
    assert played.outcome.failure is not None
    assert played.outcome.failure.code is FailureCode.MODEL_INVALID, played.outcome


@pytest.mark.usefixtures("one_pause")
def test_an_address_where_nobody_is_is_told_so(driver: PipeDriver, subject: Subject, model: ModelServer) -> None:
    nobody = dict(subject.settings("http://127.0.0.1:9"))
    played = driver.play(subject.launch(model, "hello", settings=nobody))
    assert played.outcome.failure is not None
    assert played.outcome.failure.code is FailureCode.TRANSPORT_ERROR, played.outcome


@pytest.mark.usefixtures("one_pause")
def test_an_address_that_is_no_api_of_a_model_is_told_so(
    driver: PipeDriver, subject: Subject, model: ModelServer
) -> None:
    """What answers with 200 and nothing in it: a proxy, a web page, a stream that breaks off at once."""
    played = driver.play(subject.launch(model, "[[nothing]]"))
    assert played.outcome.failure is not None
    assert played.outcome.failure.code is FailureCode.TRANSPORT_ERROR, played.outcome
    assert played.outcome.failure.may_retry
    assert len(model.calls) < 20  # it is asked again, not without end


@pytest.mark.usefixtures("one_pause")
def test_a_stream_that_breaks_off_again_and_again_ends_the_turn(
    driver: PipeDriver, subject: Subject, model: ModelServer
) -> None:
    """Claude Code asks for the answer in one piece at last, and gets it."""
    played = driver.play(subject.launch(model, "[[cut]]"))
    assert len(model.calls) < 20
    assert_deltas_join(played)
    if played.outcome.status is RunStatus.FAILED:
        assert played.outcome.failure is not None
        assert played.outcome.failure.code is FailureCode.TRANSPORT_ERROR, played.outcome
    else:
        assert texts(played)[-1].endswith("This is cut")


def test_an_agent_that_dies_while_its_model_is_silent_is_tried_again(
    driver: PipeDriver, subject: Subject, model: ModelServer
) -> None:

    def kill() -> None:
        eventually(lambda: model.calls, 120, what="the call of the model")
        driver.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    played = driver.play(subject.launch(model, "[[hang]]"))
    killer.join()
    assert played.outcome.failure is not None
    assert played.outcome.failure.code in (FailureCode.PROVIDER_NO_OUTPUT, FailureCode.INCOMPLETE), played.outcome
    assert played.outcome.failure.may_retry


def test_the_models_that_an_agent_takes_by_itself_have_a_price(
    driver: PipeDriver, subject: Subject, model: ModelServer
) -> None:
    """Of a run that names no model, and of an operator who set none: otherwise its cost would be unknown, and a budget would stop it."""
    chosen = driver.provider.model(None, {})
    played = driver.play(subject.launch(model, "hello", model=chosen))
    assert played.outcome.status is RunStatus.SUCCEEDED, played.outcome
    names = {str(call.model) for call in model.calls}
    assert names
    assert [name for name in names if Prices.load().find(name) is None] == []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"

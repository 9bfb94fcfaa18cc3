"""The scripted agent, as a real process, through its adapter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.domain.failure import FailureCode
from app.domain.run_state import RunStatus
from app.domain.turn import CONTINUE_MESSAGE, Launch, ResumePoint
from app.providers.scripted import ScriptedProvider
from tests.contract.providers.pipes import REPOSITORY, PipeDriver, Played, always, answer, ask_all
from tests.support.waiting import eventually


@pytest.fixture
def driver(tmp_path: Path) -> PipeDriver:
    return PipeDriver(ScriptedProvider(), tmp_path)


def launch(prompt: str, **fields: object) -> Launch:
    return Launch(**{"run_id": "run_1", "session_id": "ses_1", "attempt": 1, "prompt": prompt, **fields})  # type: ignore[arg-type]


def texts(played: Played) -> list[str]:
    return [data["text"] for data in played.of("message.stop")]


def assert_deltas_join(played: Played) -> None:
    for whole, delta in (("message.stop", "message.delta"), ("thinking.stop", "thinking.delta")):
        for stop in played.of(whole):
            parts = [data["text"] for data in played.of(delta) if data["messageId"] == stop["messageId"]]
            assert "".join(parts) == stop["text"]


def test_plain_text_is_echoed_in_several_deltas(driver: PipeDriver) -> None:
    played = driver.play(launch("hello"))
    assert played.outcome.status is RunStatus.SUCCEEDED
    assert "hello" in texts(played)[0]
    assert len(played.of("message.delta")) > 3
    assert_deltas_join(played)
    assert played.of("usage.update")[-1]["input"] == 1


def test_an_allowed_write_writes_the_file(driver: PipeDriver) -> None:
    played = driver.play(launch(r"/write /workspace/notes/a.txt hi\nthere"), policy=ask_all, person=always("allow"))
    assert (driver.workspace / "notes/a.txt").read_text() == "hi\nthere\n"
    assert played.of("tool.call")[0]["input"]["content"] == "hi\nthere"  # what was asked is what was written
    assert played.of("tool.result")[0]["status"] == "ok"
    asked, resolved = played.of("human_loop.requested")[0], played.of("human_loop.resolved")[0]
    assert asked["kind"] == "approval"
    assert asked["options"] == ["allow", "allow_always", "deny"]
    assert asked["toolCall"]["name"] == "Write"
    assert asked["toolCallId"] == played.of("tool.call")[0]["toolCallId"]
    assert resolved == {
        "requestId": asked["requestId"],
        "outcome": "answered",
        "by": "usr_alice",
        "reply": {"decision": "allow"},
        "delivery": "live",
    }


def test_a_denied_write_writes_nothing_and_the_turn_goes_on(driver: PipeDriver) -> None:
    played = driver.play(
        launch("/write a.txt hi\n/say done"), policy=ask_all, person=always("deny", message="not today")
    )
    assert not (driver.workspace / "a.txt").exists()
    assert played.of("tool.result")[0]["status"] == "denied"
    assert "not today" in played.of("tool.result")[0]["output"]
    assert texts(played) == ["done"]


def test_allow_always_asks_once(driver: PipeDriver) -> None:
    played = driver.play(launch("/steps 3"), policy=ask_all, person=always("allow_always"))
    assert len(played.of("human_loop.requested")) == 1
    assert (driver.workspace / "steps.txt").read_text() == "step 1\nstep 2\nstep 3\n"


def test_a_policy_that_denies_needs_no_person(driver: PipeDriver) -> None:
    played = driver.play(launch("/run touch made"), policy=lambda _: "deny")
    assert not (driver.workspace / "made").exists()
    assert played.of("human_loop.requested") == []
    assert played.of("tool.result")[0]["status"] == "denied"


def test_a_command_streams_its_output_and_tells_its_exit_code(driver: PipeDriver) -> None:
    played = driver.play(launch("/run echo one; echo two >&2; exit 3"))
    result = played.of("tool.result")[0]
    assert result["status"] == "error"
    assert result["output"] == "Exit code 3\none\ntwo\n"
    assert "".join(data["text"] for data in played.of("tool.output")) == "one\ntwo\n"


def test_a_question_is_answered(driver: PipeDriver) -> None:
    played = driver.play(launch("/ask Which? | Red | Blue"), person=always("", answers={"q1": ["Blue"]}))
    asked = played.of("human_loop.requested")[0]
    assert asked["questions"] == [{"id": "q1", "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}]
    assert texts(played) == ["You answered: Blue"]
    assert played.of("human_loop.resolved")[0]["reply"] == {"answers": {"q1": ["Blue"]}}


def test_todos_come_as_the_whole_list(driver: PipeDriver) -> None:
    played = driver.play(launch("/todo [x] read; [>] write; report"))
    assert [todo["status"] for todo in played.of("todo.update")[0]["todos"]] == ["completed", "in_progress", "pending"]


@pytest.mark.parametrize("busy", ["/sleep 600", "/run sleep 600", "/slow 1000 600", "/ask Which? | A"])
def test_a_stop_ends_a_busy_agent(driver: PipeDriver, busy: str) -> None:
    stop = {"type": "stop", "by": "usr_alice", "reason": "enough"}
    waiting = {"/ask": "human_loop.requested", "/run": "tool.call"}.get(busy[:4], "message.stop")
    played = driver.play(launch(f"/say now\n{busy}"), person=lambda type_, _: stop if type_ == waiting else None)
    assert played.outcome.status is RunStatus.CANCELED
    assert [data["outcome"] for data in played.of("human_loop.resolved")] == (
        ["canceled"] if busy.startswith("/ask") else []
    )


def test_thinking_and_floods_add_up(driver: PipeDriver) -> None:
    played = driver.play(launch("/think let me see now\n/deltas 50 100\n/flood 100000"))
    assert_deltas_join(played)
    assert len(played.of("message.delta")) == 50
    assert sum(len(data["text"]) for data in played.of("tool.output")) == 100000


@pytest.mark.parametrize(
    ("prompt", "code", "retryable"),
    [
        ("/fail model_invalid", FailureCode.MODEL_INVALID, False),
        ("/fail transport_error", FailureCode.TRANSPORT_ERROR, True),
        ("/exit 3", FailureCode.PROVIDER_NO_OUTPUT, True),
        ("/say hm\n/exit 3", FailureCode.INCOMPLETE, True),
        ("/say hm\n/crash", FailureCode.INCOMPLETE, True),
    ],
)
def test_trouble_on_demand(driver: PipeDriver, prompt: str, code: FailureCode, retryable: bool) -> None:
    outcome = driver.play(launch(prompt)).outcome
    assert outcome.status is RunStatus.FAILED
    assert outcome.failure
    assert (outcome.failure.code, outcome.failure.may_retry) == (code, retryable)


def test_garbage_is_a_warning_and_no_crash(driver: PipeDriver) -> None:
    played = driver.play(launch("/garbage\n/say still here"))
    assert sorted(data["code"] for data in played.of("run.warning")) == ["output_unknown", "output_unreadable"]
    assert texts(played) == ["still here"]


def test_a_second_message_remembers_the_first(driver: PipeDriver) -> None:
    first = driver.play(launch("/remember the door is blue"))
    assert first.conversation_id
    resume = ResumePoint(first.conversation_id)
    second = driver.play(launch("/recall", run_id="run_2", resume=resume))
    assert "the door is blue" in texts(second)[0]
    assert second.conversation_id == first.conversation_id
    fresh = driver.play(launch("/recall", run_id="run_3"))
    assert "I remember: nothing" in texts(fresh)[0]


def test_a_resumed_turn_repeats_neither_questions_nor_commands(driver: PipeDriver) -> None:
    prompt = "/ask Which? | A | B\n/run echo ran >> log.txt\n/crash 1\n/say end"
    person = always("", answers={"q1": ["A"]})
    first = driver.play(launch(prompt), person=person)
    assert first.conversation_id
    resume = ResumePoint(first.conversation_id, has_prompt=True)
    second = driver.play(launch(prompt, attempt=2, resume=resume), person=person)
    assert second.of("human_loop.requested") == []
    assert texts(second) == ["end"]
    assert (driver.workspace / "log.txt").read_text() == "ran\n"
    assert second.outcome.status is RunStatus.SUCCEEDED
    assert CONTINUE_MESSAGE not in texts(second)


def test_resuming_what_is_not_there_says_so(driver: PipeDriver) -> None:
    outcome = driver.play(launch("hi", resume=ResumePoint("nowhere"))).outcome
    assert (outcome.status, outcome.stop_reason) == (RunStatus.FAILED, "resume_failed")


def test_the_probe_finds_the_prompt_of_a_run(driver: PipeDriver) -> None:
    first = driver.play(launch("/remember x"))
    assert first.conversation_id
    (probe,) = ScriptedProvider().probes(launch("", resume=ResumePoint(first.conversation_id)))
    (file,) = driver.home.glob(probe.glob)
    assert probe.contains in file.read_text()
    (other,) = ScriptedProvider().probes(launch("", run_id="run_2", resume=ResumePoint(first.conversation_id)))
    assert other.contains not in file.read_text()


def test_stepping_the_journal_again_gives_the_same(driver: PipeDriver) -> None:
    played = driver.play(
        launch("hello\n/write a.txt x\n/ask Q | A\n/todo a"),
        policy=ask_all,
        person=lambda type_, data: (
            answer(data, decision="allow", answers={"q1": ["A"]} if "questions" in data else None)
            if type_ == "human_loop.requested"
            else None
        ),
    )
    turn = ScriptedProvider().begin(launch("hello\n/write a.txt x\n/ask Q | A\n/todo a"))
    assert [turn.step(record) for record in played.records] == played.steps


def test_a_stop_before_the_turn_has_begun_holds(driver: PipeDriver) -> None:
    stop = {"type": "stop", "by": None, "reason": ""}
    played = driver.play(launch("/say one\n/sleep 600"), first_control=stop)
    assert played.outcome.status is RunStatus.CANCELED


def test_a_directive_that_makes_no_sense_fails_the_turn_with_its_reason(driver: PipeDriver) -> None:
    outcome = driver.play(launch("/deltas many")).outcome
    assert outcome.failure
    assert outcome.failure.code is FailureCode.AGENT_ERROR
    assert "many" in outcome.failure.message


def test_a_running_command_ends_with_its_agent(driver: PipeDriver) -> None:
    """SIGTERM of the agent takes its command with it."""

    def person(type_: str, data: object) -> None:
        if type_ == "tool.output":
            assert driver.process
            driver.process.terminate()

    played = driver.play(launch("/run echo $$; exec sleep 600"), person=person)
    assert played.outcome.failure
    pid = int(played.of("tool.output")[0]["text"])
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what="the command is gone")


def test_a_path_below_workspace_is_relative_to_the_working_directory(driver: PipeDriver) -> None:
    driver.play(launch("/write /workspace/a.txt one\n/write b.txt two"))
    assert [(driver.workspace / name).read_text() for name in ("a.txt", "b.txt")] == ["one\n", "two\n"]


def test_every_directive_is_documented(driver: PipeDriver) -> None:
    code = (REPOSITORY / "executor/scripted_agent.py").read_text()
    names = set(re.findall(r"def do_(\w+)", code)) - {"echo", "ask_many"}
    documented = set(re.findall(r"`/(\w+)(?=[ +`])", (REPOSITORY / "docs/scripted-provider.md").read_text()))
    assert names | {"steps"} == documented

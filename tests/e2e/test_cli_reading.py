"""What the command line shows of a run afterwards: who answered, long outputs, why it is where it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.stack import COMMAND, Stack, stack
from tests.support.terminal import at_terminal


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack() as started:
        yield started


def run_id_in(text: str) -> str:
    return next(word for word in text.split() if word.startswith("run_"))


def test_a_plain_hello_saves_no_file_and_says_nothing_of_saving(running: Stack) -> None:
    done = running.paddock("run", "--provider", "scripted", "hello")
    assert done.returncode == 0
    assert "saved" not in done.stdout
    written = running.paddock("run", "--provider", "scripted", "--allow-all", "/write a.txt a\n/write b.txt b")
    assert "changed file" in written.stdout


def test_ones_own_answer_is_told_as_such(running: Stack) -> None:
    words = [*COMMAND, "run", "--provider", "scripted", "/approve Press the button"]
    with at_terminal(words, {**running.environment, "TERM": "xterm"}) as session:
        session.expect("Allow?")
        session.type("y")
        session.expect("answered by you: allow")
        assert session.wait() == 0


def test_a_long_output_is_hinted_at_and_printed_whole(running: Stack) -> None:
    done = running.paddock("run", "--provider", "scripted", "--allow-all", "/run seq 1 20000")
    hint = re.search(r"paddock (blob run_\w+ [0-9a-f]+)", done.stdout)
    assert hint is not None, done.stdout
    whole = running.paddock(*hint[1].split())
    assert whole.stdout.split()[-1] == "20000"
    assert whole.stdout.split() == [str(number) for number in range(1, 20001)]
    assert running.paddock("blob", run_id_in(done.stdout), "abc123").returncode == 2


def test_a_failed_run_is_explained_in_words_and_in_facts(running: Stack) -> None:
    done = running.paddock("run", "--provider", "scripted", "/fail agent_error")
    run_id = run_id_in(done.stdout)
    shown = running.paddock("explain", run_id).stdout
    assert f"{run_id} is failed" in shown
    assert "agent_error" in shown
    assert "→ " in shown
    facts = json.loads(running.paddock("explain", "--json", run_id).stdout)
    assert (facts["status"], facts["failures"]["code"], len(facts["attempts"])) == ("failed", "agent_error", 1)
    assert facts["journal"]["state"] in ("ended", "no_sandbox")

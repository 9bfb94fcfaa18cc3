"""The journal on disk: numbers, keys, segments, acknowledgement, torn tails."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.journal import Journal
from executor.lines import LineCutter
from executor.protocol import Frame, read_frames
from executor.refusal import Refused
from executor.settings import Limits

SMALL = Limits(segment_bytes=400)


def never() -> bool:
    return False


def frames(journal: Journal, after: int = 0) -> list[Frame]:
    return list(read_frames(io.BytesIO(b"".join(journal.stream(after, follow=False, gone=never)))))


def numbers(journal: Journal, after: int = 0) -> list[int]:
    return [frame.header["n"] for frame in frames(journal, after)]


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"), Limits())
    journal.append("in", b"line", key="k", epoch=3)
    journal.append_all([("out", b"\x00\xff{}"), ("out", b"")])
    first, second, third = frames(journal)
    assert (first.header["kind"], first.header["key"], first.header["epoch"], first.body) == ("in", "k", 3, b"line")
    assert (second.body, third.body) == (b"\x00\xff{}", b"")
    assert numbers(journal) == [1, 2, 3]


def test_a_key_is_taken_once_even_after_reopening(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"), SMALL)
    assert journal.append("in", b"a", key="k") == (1, False)
    for number in range(20):
        journal.append("out", b"x" * 100, key=f"o{number}")
    journal.acknowledge(18)
    assert journal.append("in", b"b", key="k") == (1, True)
    again = Journal(str(tmp_path / "j"), SMALL)
    assert again.append("in", b"c", key="k") == (1, True)
    assert again.append("in", b"d", key="new") == (22, False)


def test_segments_go_when_they_are_acknowledged(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"), SMALL)
    for _ in range(40):
        journal.append_all([("out", b"x" * 60)])
    before = journal.unacknowledged_bytes
    assert numbers(journal, 17) == list(range(18, 41))
    assert journal.acknowledge(30) == 30
    assert journal.acknowledge(10) == 30
    assert journal.unacknowledged_bytes < before
    assert numbers(journal, 30) == list(range(31, 41))
    with pytest.raises(Refused) as refused:
        frames(journal, 0)
    assert refused.value.code == "records_gone"
    journal.acknowledge(40)
    assert journal.unacknowledged_bytes == 0
    assert journal.append("out", b"next")[0] == 41
    assert Journal(str(tmp_path / "j"), SMALL).acknowledged == 40


def test_a_journal_can_be_cut_anywhere_and_goes_on_after_its_last_whole_record(tmp_path: Path) -> None:
    whole = Journal(str(tmp_path / "whole"), Limits())
    whole.append("spawn", b'{"a": 1}', epoch=1)
    whole.append_all([("out", b"one\ntwo"), ("out", b"")])
    data = (tmp_path / "whole" / f"{1:016d}.seg").read_bytes()
    ends = [0]
    for frame in frames(whole):
        ends.append(ends[-1] + data[ends[-1] :].index(b"\n") + 1 + len(frame.body) + 1)
    for length in range(len(data) + 1):
        folder = tmp_path / f"cut{length}"
        folder.mkdir()
        (folder / f"{1:016d}.seg").write_bytes(data[:length])
        journal = Journal(str(folder), Limits())
        kept = sum(end <= length for end in ends) - 1
        assert journal.last == kept
        assert journal.append("out", b"more")[0] == kept + 1
        assert numbers(journal) == list(range(1, kept + 2))
        journal.release()


def test_a_closed_journal_takes_nothing_more(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"), Limits())
    journal.append("out", b"x")
    journal.close("code:0")
    journal.close("signal:9")
    assert journal.exit == "code:0"
    with pytest.raises(Refused) as refused:
        journal.append("in", b"late", key="k")
    assert refused.value.code == "agent_exited"
    again = Journal(str(tmp_path / "j"), Limits())
    assert (again.exit, again.last) == ("code:0", 2)
    assert json.loads(frames(again)[-1].body) == {"exit": "code:0"}


def test_a_failed_write_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(str(tmp_path / "j"), Limits())
    journal.append("out", b"a")
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        write(descriptor, bytes(data)[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        journal.append("in", b"b", key="k")
    monkeypatch.undo()
    assert journal.append("in", b"b", key="k") == (2, False)
    assert numbers(journal) == [1, 2]


def test_a_follower_gets_each_record_and_the_end(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"), SMALL)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(journal.stream(0, follow=True, gone=never)))
    reader.start()
    for number in range(200):
        journal.append("out", b"%d" % number)
    journal.close("code:0")
    reader.join(30)
    assert [frame.header["n"] for frame in read_frames(io.BytesIO(b"".join(got)))] == list(range(1, 202))


def test_a_follower_whose_client_is_gone_ends(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"), Limits(beat_seconds=0.01))
    assert list(journal.stream(0, follow=True, gone=lambda: True)) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 12))
def test_lines_are_cut_the_same_whatever_the_chunks(parts: list[bytes], limit: int) -> None:
    def cut(chunks: list[bytes]) -> list[tuple[str, bytes]]:
        cutter = LineCutter("out", limit)
        return [line for chunk in chunks for line in cutter.feed(chunk)] + cutter.finish()

    data = b"".join(parts)
    lines = cut(parts)
    assert lines == cut([data]) == cut([data[at : at + 1] for at in range(len(data))])
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert len(lines) == len(expected)
    for (kind, body), line in zip(lines, expected, strict=True):
        assert kind == ("out" if len(line) <= limit else "cut")
        assert (body == line) if kind == "out" else (json.loads(body)["size"] == len(line))

"""Logs of processes that keep their files open: bounded, and not a line lost while nobody writes."""

from __future__ import annotations

from pathlib import Path

from cli import log_files


def test_a_log_that_has_grown_is_moved_and_its_writer_goes_on_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 1500)
        (tmp_path / "small.log").write_bytes(b"small\n")
        assert log_files.rotate(tmp_path, 5000) == ["web.log"]
        writer.write(b"new\n")
        assert path.read_bytes() == b"new\n"
        assert (tmp_path / "web.log.1").read_bytes() == b"old\n" * 1500
        assert (tmp_path / "small.log").read_bytes() == b"small\n"
        writer.write(b"newer\n" * 1500)
        log_files.rotate(tmp_path, 5000)
    assert (tmp_path / "web.log.1").read_bytes() == b"new\n" + b"newer\n" * 1500
    assert sorted(each.name for each in tmp_path.iterdir()) == ["small.log", "web.log", "web.log.1"]


def test_of_a_log_that_has_outgrown_all_measure_the_end_is_kept_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"".join(b"line %06d\n" % number for number in range(10_000)))
    log_files.rotate(tmp_path, 6000)
    kept = (tmp_path / "web.log.1").read_bytes()
    assert len(kept) <= 12_000
    assert kept.startswith(b"line ")
    assert kept.endswith(b"line 009999\n")
    assert path.stat().st_size == 0

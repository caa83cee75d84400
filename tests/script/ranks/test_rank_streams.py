"""What ranks write: passed on line by line, logged apart, and known by who ends first."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpupool.logs.log_file import LogFile
from pytest_gpupool.script.ranks.streams import RankStreams


@pytest.fixture
def heard() -> list[tuple[str, bytes]]:
    """What was passed on."""
    return []


def streams(folder: Path, heard: list[tuple[str, bytes]], ranks: int = 2) -> RankStreams:
    """Those of a job; rank 0 has a log."""
    logs = [LogFile(folder / "0.log", b"heading\n"), *[None] * (ranks - 1)]
    return RankStreams(folder, logs, lambda stream, data: heard.append((stream, data)))


def test_lines_of_ranks_do_not_mix(tmp_path: Path, heard: list[tuple[str, bytes]]) -> None:
    """Each is passed on when it is whole, or nothing more comes; logs have it at once, as it was."""
    with streams(tmp_path, heard) as both:
        assert sorted(both.inputs.values()) == ["0.stderr", "0.stdout", "1.stderr", "1.stdout"]
        both.hear("0.stdout", b"one\ntw")
        both.hear("1.stdout", b"\nthree")
        both.hear("0.stdout", b"o\nfour")
        assert (tmp_path / "0.log").read_bytes() == b"heading\none\ntwo\nfour"
        both.hear("1.stdout", b"")
        both.close()
    assert heard == [
        ("stdout", b"[rank 0] one\n"),
        ("stdout", b"[rank 1] \n"),
        ("stdout", b"[rank 0] two\n"),
        ("stdout", b"[rank 1] three\n"),
        ("stdout", b"[rank 0] four\n"),
    ]
    assert both.text(1, "stdout") == "\nthree"


def test_a_line_without_end_is_not_kept_back(tmp_path: Path, heard: list[tuple[str, bytes]]) -> None:
    """As a bar of progress is one."""
    with streams(tmp_path, heard) as both:
        for _ in range(9):
            both.hear("1.stderr", b"x" * 2**13)
        assert heard
        both.close()
    assert sum(data.count(b"x") for _, data in heard) == 9 * 2**13


def test_who_ends_first_is_known(tmp_path: Path, heard: list[tuple[str, bytes]]) -> None:
    """Once both of its streams are at their ends."""
    with streams(tmp_path, heard, ranks=3) as all_three:
        for name in ("0.stdout", "2.stdout", "2.stderr", "1.stderr", "0.stderr"):
            all_three.hear(name, b"")
        assert all_three.ended == [2, 0]

"""A journal keeps every whole record, whatever became of its last line, its disk or its writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.records import journal
from pytest_gpupool.records.journal import Journal, dump

RECORDS: list[dict[str, Any]] = [
    {"record": "of a newer version", "test": "test_a.py::test_été[損失]"},
    {"record": "quarantined", "device": "line\nbreak", "reason": "", "samples": ["nan", 1.5]},
    {"record": "timeout", "worker": "gw0", "test": "t", "ended": "2026-11-21T11:46:52.000000Z", "message": ""},
]


def written(path: Path, records: list[dict[str, Any]]) -> Journal:
    """A journal with these records."""
    book = Journal(path)
    for record in records:
        book.append(dump(record))
    book.close()
    return book


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    """Texts of any script and line breaks within them too; one line a record."""
    path = tmp_path / "gw0.jsonl"
    assert written(path, RECORDS).problem is None
    assert list(journal.read(path)) == RECORDS
    heading, *rest = path.read_bytes().splitlines()
    assert json.loads(heading) == {"record": "journal", "version": 1}
    assert len(rest) == len(RECORDS)


def test_every_record_is_on_disk_at_once(tmp_path: Path) -> None:
    """Before the journal is closed: a killed writer loses nothing."""
    path = tmp_path / "gw0.jsonl"
    book = Journal(path)
    for number, record in enumerate(RECORDS, start=1):
        book.append(dump(record))
        assert list(journal.read(path)) == RECORDS[:number]
    book.close()


def test_a_closed_journal_goes_on_behind_its_last_record(tmp_path: Path) -> None:
    """Another one on the same file too; nothing is overwritten."""
    path = tmp_path / "gw0.jsonl"
    book = written(path, RECORDS)
    book.append(dump(RECORDS[0]))
    book.close()
    written(path, RECORDS[1:])
    assert list(journal.read(path)) == RECORDS * 2


def test_closing_twice_is_closing(tmp_path: Path) -> None:
    """Also a journal that was never opened."""
    book = written(tmp_path / "gw0.jsonl", RECORDS)
    book.close()
    Journal(tmp_path / "none.jsonl").close()
    assert not (tmp_path / "none.jsonl").exists()


def test_a_journal_that_is_off_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And has no problem."""
    monkeypatch.chdir(tmp_path)
    book = Journal(None)
    book.append(dump(RECORDS[0]))
    book.close()
    assert (book.problem, list(tmp_path.iterdir())) == (None, [])


def test_there_are_no_records_where_there_is_no_file(tmp_path: Path) -> None:
    """A worker that never began has none."""
    assert list(journal.read(tmp_path / "gw0.jsonl")) == []


def test_a_journal_cut_anywhere_still_has_its_whole_lines(tmp_path: Path) -> None:
    """At every byte of its last two lines."""
    path = tmp_path / "gw0.jsonl"
    written(path, RECORDS)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    ends = [len(b"".join(lines[: number + 1])) for number in range(len(RECORDS) + 1)]
    for length in range(ends[1], len(whole) + 1):
        path.write_bytes(whole[:length])
        # A line that lacks nothing but its line break is whole.
        count = max(number for number, end in enumerate(ends) if length >= end - (number > 0))
        assert list(journal.read(path)) == RECORDS[:count], length


@pytest.mark.parametrize(
    "line",
    [b"", b"   ", b"no json", b"[1, 2]", b'"text"', b"17", b"null", b'{"record": ', b"{'record': 1}", b"\xff\xfe\x00",
     b'{"record": "a"} {"record": "b"}', b"\x00" * 64],
    ids=["empty", "blank", "words", "list", "text", "number", "null", "torn", "python", "bytes", "two", "zeros"],
)  # fmt: skip
def test_a_line_that_is_no_record_is_passed_over(tmp_path: Path, line: bytes) -> None:
    """Those before and behind it are read."""
    path = tmp_path / "gw0.jsonl"
    first, *others = (json.dumps(record).encode() for record in RECORDS)
    path.write_bytes(b"\n".join([first, line, *others]) + b"\n")
    assert list(journal.read(path)) == RECORDS


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_strict_json_is_no_record(value: float) -> None:
    """It is the caller's mistake, and raised as such."""
    with pytest.raises(ValueError, match="JSON"):
        dump({"value": value})


def test_a_record_is_one_line_of_ascii() -> None:
    """Line breaks and lone surrogates within texts too."""
    line = dump({"text": "été\n\u2028\ud800", "n": 1})
    assert line == '{"text":"\\u00e9t\\u00e9\\n\\u2028\\ud800","n":1}'


class TestUnwritable:
    """Where records cannot be kept, the run goes on."""

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        """The problem names the file and the reason."""
        path = tmp_path / "gone" / "gw0.jsonl"
        assert written(path, RECORDS).problem == f"{path}: No such file or directory"

    def test_a_directory_in_place_of_the_file(self, tmp_path: Path) -> None:
        """The problem names it."""
        assert written(tmp_path, RECORDS).problem == f"{tmp_path}: Is a directory"

    def test_a_full_device(self) -> None:
        """The first record already fails, and nothing is raised then or later."""
        path = Path("/dev/full")
        if not path.is_char_device():
            pytest.skip("this system has no /dev/full")
        assert written(path, RECORDS).problem == "/dev/full: No space left on device"

    def test_a_full_disk(self, small_disk: Path) -> None:
        """What was whole before the disk was full is read; a later record is not tried."""
        path = small_disk / "gw0.jsonl"
        book = Journal(path)
        records = [{"record": "x", "number": number, "text": "x" * 1000} for number in range(200)]
        for record in records:
            book.append(dump(record))
        kept = list(journal.read(path))
        assert 10 < len(kept) < 100
        assert kept == records[: len(kept)]
        assert book.problem in (f"{path}: the disk is full", f"{path}: No space left on device")
        size = path.stat().st_size
        (small_disk / "filler").unlink()
        book.append(dump(records[0]))
        assert path.stat().st_size == size
        book.close()

    def test_a_file_that_may_grow_no_further(self, tmp_path: Path) -> None:
        """A limit of the process cuts a line; the problem says so, and the whole lines are read."""
        path = tmp_path / "gw0.jsonl"
        source = f"""
import resource
from pathlib import Path
from pytest_gpupool.records.journal import Journal, dump

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
book = Journal(Path({str(path)!r}))
for number in range(100):
    book.append(dump({{"record": "x", "number": number, "text": "x" * 80}}))
print(book.problem)
"""
        told = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
        assert told.stdout == f"{path}: the disk is full\n"
        assert [record["number"] for record in journal.read(path)] == list(range(8))
        assert path.stat().st_size == 1000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, a part of it taken by a file ``filler``."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk, and not in every container")
    try:
        (disk / "filler").write_bytes(b"x" * 4096)
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_test_that_closes_all_files_costs_no_record(tmp_path: Path) -> None:
    """Nor is anything written to the file that has the journal's number by now."""
    path, other = tmp_path / "gw0.jsonl", tmp_path / "other"
    book = Journal(path)
    book.append(dump(RECORDS[0]))
    assert book._descriptor is not None
    descriptor = os.open(other, os.O_RDWR | os.O_CREAT)
    os.dup2(descriptor, book._descriptor)
    book.append(dump(RECORDS[1]))
    assert book._descriptor is not None
    os.close(book._descriptor)
    book.append(dump(RECORDS[2]))
    book.close()
    assert (book.problem, other.read_bytes(), list(journal.read(path))) == (None, b"", RECORDS)


def test_a_forked_child_writes_nothing(tmp_path: Path) -> None:
    """It would be in the order of another writer."""
    path = tmp_path / "gw0.jsonl"
    book = Journal(path)
    book.append(dump(RECORDS[0]))
    pid = os.fork()
    if pid == 0:
        book.append(dump(RECORDS[1]))
        book.close()
        os._exit(0)
    os.waitpid(pid, 0)
    book.append(dump(RECORDS[2]))
    book.close()
    assert list(journal.read(path)) == [RECORDS[0], RECORDS[2]]

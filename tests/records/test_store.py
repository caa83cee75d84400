"""The store makes a directory for every run, and writes reports whole or not at all."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_gpupool.records.store import create_run, new_run_id, write_whole
from pytest_gpupool.values.errors import UsageProblem


class TestRun:
    """The directory of a run."""

    def test_ids_sort_by_time(self) -> None:
        """To the second, in UTC; the end tells runs of one second apart."""
        ids = [new_run_id(now) for now in (0, 1795261612.9, 1795261613)]
        assert ids == sorted(ids)
        assert re.fullmatch(r"20261121T114652Z-[0-9a-f]{6}", ids[1])
        assert len({new_run_id(0) for _ in range(100)}) > 1

    def test_it_lies_in_runs(self, tmp_path: Path) -> None:
        """Parents are made."""
        base = tmp_path / "project" / ".gpupool"
        directory = create_run(base, "run-1")
        assert directory == base / "runs" / "run-1"
        assert directory.is_dir()

    def test_git_ignores_all_of_it(self, tmp_path: Path) -> None:
        """By a .gitignore of its own, which says who made it."""
        base = tmp_path / ".gpupool"
        create_run(base, "run-1")
        assert (base / ".gitignore").read_text() == "# Made by pytest-gpupool: records of runs.\n*\n"

    def test_a_users_own_gitignore_stays(self, tmp_path: Path) -> None:
        """A second run changes nothing in it."""
        create_run(tmp_path, "run-1")
        (tmp_path / ".gitignore").write_text("runs/\n")
        create_run(tmp_path, "run-2")
        assert (tmp_path / ".gitignore").read_text() == "runs/\n"
        assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["run-1", "run-2"]

    def test_a_file_in_place_of_the_directory(self, tmp_path: Path) -> None:
        """The error names the directory, the reason and the option; the run ends with status 4."""
        base = tmp_path / ".gpupool"
        base.write_text("")
        with pytest.raises(UsageProblem) as raised:
            create_run(base, "run-1")
        assert str(raised.value) == (
            f"cannot keep the run's records in {base}: Not a directory; "
            "give a directory that you may write with --gpupool-dir"
        )
        assert raised.value.exit_status == 4

    def test_a_run_is_never_written_over(self, tmp_path: Path) -> None:
        """One id is one run."""
        create_run(tmp_path, "run-1")
        with pytest.raises(UsageProblem, match=r"cannot keep the run's records in .*: File exists; give a directory"):
            create_run(tmp_path, "run-1")

    def test_a_read_only_disk(self, small_disk: Path) -> None:
        """The error says so."""
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        with pytest.raises(UsageProblem, match=r"cannot keep the run's records in .*: Read-only file system; give"):
            create_run(small_disk / ".gpupool", "run-1")


class TestWriteWhole:
    """A file that a reader sees whole."""

    def test_it_replaces_the_old_one(self, tmp_path: Path) -> None:
        """With the text in UTF-8, and nothing else beside it."""
        path = tmp_path / "report.json"
        path.write_text("old, and longer than the new one")
        write_whole(path, "new: été\n")
        assert path.read_bytes() == "new: été\n".encode()
        assert list(tmp_path.iterdir()) == [path]

    def test_who_has_the_old_one_open_reads_it_to_its_end(self, tmp_path: Path) -> None:
        """It is not written in place."""
        path = tmp_path / "report.json"
        path.write_text("old")
        with path.open() as reader:
            write_whole(path, "new")
            assert reader.read() == "old"
        assert path.read_text() == "new"

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        """The system's error, and nothing is made."""
        with pytest.raises(FileNotFoundError):
            write_whole(tmp_path / "gone" / "report.json", "text")
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_in_its_place(self, tmp_path: Path) -> None:
        """The system's error, and no draft stays."""
        path = tmp_path / "report.json"
        path.mkdir()
        with pytest.raises(IsADirectoryError):
            write_whole(path, "text")
        assert list(tmp_path.iterdir()) == [path]

    def test_a_lone_surrogate_becomes_its_escape(self, tmp_path: Path) -> None:
        """It has no UTF-8, and a report is not lost for it; no draft stays."""
        path = tmp_path / "report.json"
        write_whole(path, '{"message": "a\ud800b"}')
        assert json.loads(path.read_text(encoding="utf-8")) == {"message": "a\ud800b"}
        assert list(tmp_path.iterdir()) == [path]

    def test_what_is_no_regular_file_stays_what_it_is(self, tmp_path: Path) -> None:
        """A pipe gets what is written, also by a link that leads to no path, as that of /dev/stdout does."""
        pipe, reading = tmp_path / "pipe", os.pipe()
        os.mkfifo(pipe)
        links = tmp_path / "links"
        links.mkdir()
        (links / "stdout").symlink_to(f"/proc/self/fd/{reading[1]}")
        (links / "named").symlink_to(pipe)
        named = os.open(pipe, os.O_RDWR)  # which is there before who writes
        write_whole(pipe, "a")
        write_whole(links / "named", ["b"])
        write_whole(links / "stdout", ["c", "d"])
        assert (os.read(named, 100), os.read(reading[0], 100)) == (b"ab", b"cd")
        for one in (named, *reading):
            os.close(one)
        assert sorted(tmp_path.rglob("*")) == [links, links / "named", links / "stdout", pipe]
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    def test_a_full_disk(self, small_disk: Path) -> None:
        """The old file stays, no draft beside it, and room is free again."""
        path = small_disk / "report.json"
        write_whole(path, "old")
        with pytest.raises(OSError, match="No space left on device"):
            write_whole(path, "x" * 200_000)
        assert path.read_text() == "old"
        assert list(small_disk.iterdir()) == [path]
        write_whole(path, "x" * 20_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk, and not in every container")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)

"""Processes that hold the records of a run open, and a run's directory made by hand."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_gpupool.records import archive
from pytest_gpupool.records.journal import Journal, dump

IDS = [f"20261121T11465{number}Z-9f3c2{number}" for number in range(6)]


HOLD = """
import os, sys
from pathlib import Path
from pytest_gpupool.records.journal import Journal

book = Journal(Path(sys.argv[1]))
book.open()
if sys.argv[2] == "fork" and os.fork():
    os.kill(os.getpid(), 9)
print("open", flush=True)
sys.stdin.read()
book.close()
"""
"""Has a journal open until its input ends; with ``fork`` a child waits for that, and the process itself is killed."""


RESUME = """
import sys
from pathlib import Path
from pytest_gpupool.records import archive

with archive.resuming(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def running(source: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Run a process that says that it is ready, until the end of the block."""
    command = [sys.executable, "-c", source, *map(str, args)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.communicate()  # the end of its input is its own end, and that of its child


def make(base: Path, run: str, *, collected: bool = True) -> Path:
    """The directory of a run that ended."""
    directory = base / "runs" / run
    directory.mkdir(parents=True)
    tests = {"record": "collected", "worker": "main", "tests": [["t", {}]]}
    book = Journal(directory / archive.CONTROLLER)
    book.open()
    if collected:
        book.append(dump(tests))
    book.close()
    return directory

"""What is captured into files that are emptied goes to the log, each word once."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from support import LIMIT

from pytest_gpupool.logs.captured import CapturedOutput
from pytest_gpupool.logs.worker_logs import WorkerLogs


@pytest.fixture
def files() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Files as pytest's, for two streams."""
    with tempfile.TemporaryFile(buffering=0) as out, tempfile.TemporaryFile(buffering=0) as err:
        yield out, err


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[WorkerLogs]:
    """Logs of which one attempt goes on."""
    logs = WorkerLogs(tmp_path, "gw0")
    logs.begin("t.py::test", 1, "2026-11-30T10:00:00.000000Z")
    yield logs
    logs.end()


def written(logs: WorkerLogs) -> str:
    """What is in the log, without its heading."""
    return "" if logs.path is None else logs.path.read_text().partition("\n")[2]


def empty(file: IO[bytes]) -> None:
    """As pytest does after each phase."""
    file.seek(0)
    file.truncate()


def test_each_phase_is_copied_once(logs: WorkerLogs, files: tuple[IO[bytes], IO[bytes]]) -> None:
    """Also where the next one is as long as the one before was."""
    captured = CapturedOutput(logs, {"stdout": files[0].fileno(), "stderr": files[1].fileno()})
    for text in (b"one\n", b"two\n", b"a longer one\n"):
        captured.begin()
        files[0].write(text)
        captured.end()
        captured.end()
        empty(files[0])
    captured.close()
    assert written(logs) == "one\ntwo\na longer one\n"


def test_it_is_copied_while_it_grows(logs: WorkerLogs, files: tuple[IO[bytes], IO[bytes]]) -> None:
    """Before the phase has ended, also after this process has forked."""
    captured = CapturedOutput(logs, {"stderr": files[1].fileno()})
    captured.begin()
    for number in range(3):
        files[1].write(f"{number}\n".encode())
        deadline = time.monotonic() + LIMIT
        while not written(logs).endswith(f"{number}\n"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if not os.fork():
            os._exit(0)
        os.wait()
    captured.close()
    assert written(logs) == "0\n1\n2\n"


def test_what_is_written_aside_is_left_out(logs: WorkerLogs, files: tuple[IO[bytes], IO[bytes]]) -> None:
    """What was there before and comes after is not."""
    captured = CapturedOutput(logs, {"stdout": files[0].fileno()})
    captured.begin()
    files[0].write(b"before\n")
    with captured.aside():
        files[0].write(b"aside\n")
    files[0].write(b"after\n")
    captured.end()
    captured.close()
    assert written(logs) == "before\nafter\n"


def test_what_another_process_has_emptied_is_completed(logs: WorkerLogs, files: tuple[IO[bytes], IO[bytes]]) -> None:
    """By what it tells of the phase, of which some was copied, and only what was written in the phase is."""
    captured = CapturedOutput(logs, {"stdout": files[0].fileno()}, of_another=True)
    captured.begin()
    files[0].write("früh\n".encode())
    while not written(logs):
        time.sleep(0.01)
    empty(files[0])
    captured.end_with({"stdout": "früh\nlate\n"})
    files[0].write(b"of nobody\n")
    captured.end()
    captured.close()
    assert written(logs) == "früh\nlate\n"

"""Programs have a time limit that no test's clock has a part in."""

from __future__ import annotations

import signal
import subprocess
from unittest import mock

from pytest_gpupool.processes.own.programs import limited


def test_one_that_takes_too_long_is_killed() -> None:
    with mock.patch("time.sleep", side_effect=AssertionError), mock.patch("time.monotonic", return_value=0.0):
        process = subprocess.Popen(["sleep", "1000"])
        with limited(process, 0.1) as was_killed:
            process.wait()
    assert was_killed.is_set()
    assert process.returncode == -signal.SIGKILL


def test_one_that_ends_is_not() -> None:
    process = subprocess.Popen(["true"])
    with limited(process, 1000) as was_killed:
        process.wait()
    assert not was_killed.is_set()
    assert process.returncode == 0


def test_one_that_outlives_the_block_is_not() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        with limited(process, 1000) as was_killed:
            pass
        assert process.poll() is None
        process.kill()
    assert not was_killed.is_set()

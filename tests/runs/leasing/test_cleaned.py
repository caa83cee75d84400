"""Lock files that are removed while a run goes on: put back before the next test, or the worker ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import Host

CLEANED = """
    import os, pathlib, shutil, subprocess, sys, time

    LOCKS = pathlib.Path(os.environ["GPUPOOL_LOCK_DIR"])

    def test_cleaned(gpu):
        {how}

    def test_next(gpu):
        assert (LOCKS / f"{{gpu.ids[0]}}.lock").exists()
        assert (LOCKS / f"{{gpu.ids[0]}}.json").exists()

    def test_last(gpu):
        assert gpu.is_gpu
"""

STRANGER = """
        lock = LOCKS / f"{gpu.ids[0]}.lock"
        lock.unlink()
        program = "import time; print(flush=True); time.sleep(600)"
        stranger = subprocess.Popen(["flock", lock, sys.executable, "-c", program], stdout=subprocess.PIPE)
        stranger.stdout.readline()
"""
"""Ends with the worker that has started it."""

REMOVE = {"all": "shutil.rmtree(LOCKS)", "files": "[path.unlink() for path in LOCKS.iterdir()]"}


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
@pytest.mark.parametrize("how", REMOVE.values(), ids=REMOVE)
def test_they_are_put_back_before_the_next_test(host: Host, workers: tuple[str, ...], how: str) -> None:
    """And the run goes on as if nothing had been."""
    host.write("test_suite.py", CLEANED.format(how=how))
    run = host.pytest(*workers)
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}


def test_where_another_program_has_locked_the_new_file_the_worker_ends(make_host: Callable[..., Host]) -> None:
    """Its next test says so, and the rest runs on another device."""
    host = make_host(2)
    host.write("test_suite.py", CLEANED.format(how=STRANGER.strip()))
    run = host.pytest("-n1", "--gpupool-order=file")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_cleaned": "passed", "test_next": "error", "test_last": "passed"}
    first, last = run.tests["test_cleaned"]["devices"], run.tests["test_last"]["devices"]
    assert first != last
    lock = host.lock_dir / f"{first[0]}.lock"
    why = f"lease is lost: {lock} was removed while it was locked, and another process has locked a new one"
    assert f"this worker's {why}" in run.tests["test_next"]["message"]
    said = f"gpupool: warning: gw0 ran no more tests after test_suite.py::test_next, since its {why}"
    assert said in run.stdout


def test_a_worker_that_breaks_before_pytest_ends_the_run_with_its_words(host: Host) -> None:
    """Not with exit status 5, as if there were no tests."""
    host.write("test_suite.py", "def test_one(): pass\n")
    host.write(
        "sitecustomize.py",
        """
        import os, sys

        if sys.argv[:1] == ["-c"] and "GPUPOOL_LOCK_DIR" in os.environ:
            from pytest_gpupool.records import journal

            def broken(*args, **keys):
                raise RuntimeError("the disk is made of cheese")

            journal.Journal.append = broken
        """,
    )
    run = host.pytest("-n2", environ=host.environ(PYTHONPATH=str(host.project)))
    assert run.status == 3, run.output
    assert "broke before it ran pytest:" in run.stdout
    assert "RuntimeError: the disk is made of cheese" in run.stdout


def test_one_bad_file_is_said_in_the_header(host: Host) -> None:
    """The run goes on with the other devices; where all are bad it ends with status 4."""
    assert host.driver is not None
    host.write("test_suite.py", "def test_one(gpu): assert gpu.is_gpu\n")
    host.lock_dir.mkdir()
    host.lock_dir.chmod(0o1777)
    bad = [host.lock_dir / f"{uuid}.lock" for uuid in host.driver.uuids]
    bad[1].mkdir()
    run = host.pytest("-n4")
    assert run.status == 0, run.output
    assert f"gpupool: GPU 1 cannot be leased: {bad[1]} is no regular file: remove it" in run.stdout
    for path in bad:
        path.unlink() if path.is_file() else path.rmdir()
        path.mkdir()
    run = host.pytest("-n4")
    assert run.status == 4
    assert f"no device can be leased:\n  GPU 0 cannot be leased: {bad[0]} is no regular file: remove it\n" in run.output

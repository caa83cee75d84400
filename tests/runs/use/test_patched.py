"""Tests that replace parts of the standard library: what is said of them is right all the same."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from support import LIMIT, Host, Run, Running, records

each_way = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])


def is_of_this_world(run: Run) -> None:
    """Fails where a time in the report cannot be."""
    report = run.report
    assert all(0 <= test["duration_s"] < 300 and test["started"] > "2026" for test in report["tests"])
    assert 0 <= (report["summary"]["makespan_s"] or 0.0) < 300  # none where all results are kept
    for record in records(run.directory):
        assert record.get("started", "2026") >= "2026"
        assert record.get("ended", "2026") >= "2026"


@each_way
def test_under_a_frozen_clock(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """By freezegun, in a fixture of the whole session and in one of each test; a record is read back whole."""
    cpu_host.write(
        "test_suite.py",
        """
        import time
        import pytest
        from freezegun import freeze_time

        @pytest.fixture(scope="session", autouse=True)
        def session_frozen():
            with freeze_time("2020-01-01"):
                yield

        @pytest.fixture(autouse=True)
        def frozen(session_frozen):
            with freeze_time("1990-01-01"):
                yield

        @pytest.mark.parametrize("case", range(4))
        def test_case(case, record_metric):
            record_metric("a", case)
            assert time.time() < 1e9
        """,
    )
    run = cpu_host.pytest(*workers, "--gpupool-baseline=b.json", "--gpupool-update-baseline")
    assert (run.status, set(run.outcomes.values())) == (0, {"passed"})
    is_of_this_world(run)
    again = cpu_host.pytest(*workers, "--gpupool-baseline=b.json", f"--gpupool-resume={run.report['run']['id']}")
    assert "4 of 4 results kept" in again.stdout
    is_of_this_world(again)


@each_way
def test_what_is_mocked_is_not_called_by_us(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """A mocked function counts the test's own calls, and may fail at any other."""
    cpu_host.write(
        "test_suite.py",
        """
        import io, json, os, threading, time
        from unittest import mock
        import pytest

        def test_clock(monkeypatch, record_metric):
            ticks = iter([10.0, 12.5])
            monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
            assert -time.perf_counter() + time.perf_counter() == 2.5
            record_metric("a", 1)

        @pytest.mark.parametrize("name", ["time", "monotonic", "perf_counter", "sleep", "clock_gettime"])
        def test_time(name, record_metric):
            with mock.patch(f"time.{name}", side_effect=AssertionError):
                record_metric("a", 1)

        @pytest.mark.parametrize("name", ["write", "open", "close", "fdatasync", "fsync", "fstat", "getpid", "pread"])
        def test_os(name, record_metric):
            with mock.patch(f"os.{name}", side_effect=AssertionError):
                record_metric("a", 1)

        @pytest.fixture(params=["write", "pread", "pwrite", "ftruncate"])
        def mocked(request, monkeypatch):
            monkeypatch.setattr(os, request.param, None)

        def test_in_a_fixture(mocked, record_metric): record_metric("a", 1)

        def test_io(monkeypatch): monkeypatch.setattr(io, "BytesIO", None)

        def test_json(monkeypatch, record_metric):
            for name in ("dumps", "loads", "JSONEncoder", "JSONDecoder"):
                monkeypatch.setattr(json, name, None)
            record_metric("a", 1)

        def test_threads(monkeypatch, record_metric):
            for name in ("Lock", "RLock", "Condition"):
                monkeypatch.setattr(threading, name, None)
            record_metric("a", 1)
        """,
    )
    run = cpu_host.pytest(*workers)
    assert (run.status, set(run.outcomes.values()), len(run.outcomes)) == (0, {"passed"}, 21), run.output
    is_of_this_world(run)
    assert "could not be kept" not in run.stdout


@each_way
def test_another_file_system_in_the_place_of_ours(host: Host, workers: tuple[str, ...]) -> None:
    """As pyfakefs has it for a whole session: each module that has ``os`` has another one, without any file."""
    host.write(
        "test_suite.py",
        """
        import os, sys
        from types import ModuleType
        import pytest

        class NoFiles:
            def __getattr__(self, name):
                if name in ("open", "stat", "fstat", "read", "write", "pread", "pwrite", "close", "unlink", "rename"):
                    raise AssertionError(f"os.{name} is not to be used")
                return getattr(os, name)

        @pytest.fixture(scope="session", autouse=True)
        def no_files():
            with pytest.MonkeyPatch.context() as patch:
                for name, module in list(sys.modules.items()):
                    if name.startswith("pytest_gpupool") and isinstance(module, ModuleType):
                        for key, value in list(vars(module).items()):
                            if value is os:
                                patch.setattr(module, key, NoFiles())
                            elif value in (os.stat, os.open, os.read, os.close) and callable(value):
                                patch.setattr(module, key, None)
                yield

        @pytest.mark.parametrize("case", range(4))
        def test_case(case, gpu, record_metric):
            record_metric("a", case)
            assert gpu.is_gpu
        """,
    )
    baseline = ("--gpupool-baseline=b.json", *workers)
    assert host.pytest("--gpupool-update-baseline", *baseline).status == 0
    run = host.pytest(*baseline)
    assert (run.status, set(run.outcomes.values())) == (0, {"passed"}), run.output
    assert {metric["verdict"] for test in run.report["tests"] for metric in test["metrics"]} == {"ok"}
    assert "could not be kept" not in run.stdout


def test_without_an_environment(cpu_host: Host) -> None:
    """pytest itself needs it to write what failed: that is said in short, and other tests have their results."""
    cpu_host.write(
        "test_a.py",
        """
        import os
        import pytest

        @pytest.fixture(scope="module")
        def no_environment():
            with pytest.MonkeyPatch.context() as patch:
                patch.delattr(os, "environ")
                yield

        def test_a(no_environment): pass
        """,
    )
    cpu_host.write("test_b.py", "def test_b(): pass\n")
    run = cpu_host.pytest("-n1", "--gpupool-order=file")
    assert run.status == 1
    assert run.outcomes["test_a"] in ("failed", "error")
    assert run.outcomes["test_b"] == "passed"
    assert "module 'os' has no attribute 'environ'" in run.tests["test_a"]["message"]
    assert "INTERNALERROR" not in run.output


def test_a_test_that_takes_the_environment_away_harms_no_other(cpu_host: Host) -> None:
    """It is back before pytest looks."""
    cpu_host.write(
        "test_suite.py",
        """
        import os

        def test_a(monkeypatch): monkeypatch.delattr(os, "environ")
        def test_b(): pass
        """,
    )
    run = cpu_host.pytest("-n1", "--gpupool-order=file")
    assert (run.status, set(run.outcomes.values())) == (0, {"passed"}), run.output


SPIES = """
    import select, sys, threading, time

    WAITING = ("subprocess", "threading", "queue", "psutil", "filelock", "selectors")  # on others' behalf
    HERE = __file__.rpartition("/")[0]
    asked = set()

    def spy_on(owner, name):
        real = getattr(owner, name)

        def spied(*args, **keys):
            frame = sys._getframe(1)
            while frame.f_back and name != "wait" and frame.f_globals["__name__"].partition(".")[0] in WAITING:
                frame = frame.f_back
            who = frame.f_globals.get("__name__", "")
            # git has closed its output by the time at which it is waited for.
            if who.startswith("pytest_gpupool") and "earlier.git" not in who and (who, name) not in asked:
                asked.add((who, name))
                with open(f"{HERE}/asked", "a") as file:
                    file.write(f"{who}:{frame.f_lineno} {name}\\n")
            return real(*args, **keys)

        setattr(owner, name, spied)

    for name in ("sleep", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "thread_time"):
        spy_on(time, name)
    for name in ("select", "poll"):
        spy_on(select, name)
    for waits in (threading.Event, threading.Condition):
        spy_on(waits, "wait")
"""

SPIED = {
    "conftest": "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))",
    # As a test would that mocks them and has pytest run then; the plugin was loaded with the outer one.
    "program": "import sys, pytest, pytest_gpupool.plugin, spies; sys.exit(pytest.main(sys.argv[1:]))",
}


@pytest.mark.parametrize("program", SPIED.values(), ids=SPIED)
@each_way
def test_clocks_and_waits_are_those_of_the_start(
    make_host: Callable[..., Host], workers: tuple[str, ...], program: str
) -> None:
    """Whoever replaces them is not asked by us, who wait for a device, keep time, sample, and end what is left.

    A mocked ``time.sleep`` would make what waits spin, and a mocked clock tells no time.
    """
    host = make_host(1)
    host.write("spies.py", SPIES)
    host.write("program.py", program)
    host.write("holds/pytest.ini", "[pytest]\n")
    host.write(
        "holds/test_holds.py",
        """
        import pathlib, time

        def test_holds():
            pathlib.Path("held").touch()
            while not pathlib.Path("go").exists(): time.sleep(0.01)
        """,
    )
    host.write("conftest.py", "" if "spies" in program else "import spies\n")
    host.write(
        "test_suite.py",
        """
        import subprocess, sys, time
        import pytest

        @pytest.mark.parametrize("case", range(3))
        @pytest.mark.gpupool(timeout=100)
        def test_case(case, gpu, record_metric):
            record_metric("case", case)
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

        @pytest.mark.gpupool(timeout=100, memory="1GiB")
        def test_large(): pass
        """,
    )
    holder = host.start(folder="holds")
    try:
        wait_until((host.project / "holds/held").exists, "nobody holds the device")
        command = [sys.executable, "program.py", *host.command("test_suite.py", "--gpupool-sample=0.05", *workers)[3:]]
        waiter = Running(host, command, host.environ())
        try:
            wait_until(lambda: any(host.lock_dir.glob("gpupool-*")), "nobody waits")
            (host.project / "holds/go").touch()
            run = waiter.finish()
        finally:
            waiter.kill()
    finally:
        holder.kill()
    assert (run.status, set(run.outcomes.values())) == (0, {"passed"}), run.output
    asked = host.project / "asked"
    assert not asked.exists(), asked.read_text()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds. Fails where it never does."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)

"""Together with the plugins that most suites have: each alone and all at once, without workers, with one and with 8."""

from __future__ import annotations

import fcntl
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support import Host, Run, gpus

WORKERS = [(), ("-n1",), ("-n8",)]
ALL = ("randomly", "rerunfailures", "timeout", "pytest_cov")

with_workers = pytest.mark.parametrize("workers", WORKERS, ids=["plain", "n1", "n8"])

CASES = """
    import pytest

    @pytest.mark.parametrize("case", range(12))
    def test_case(case, record_metric):
        record_metric("case", case)
"""

FLAKY = """
    import os
    import pathlib
    import pytest

    def attempt(name):
        with open(name, "a") as file:
            file.write("begun\\n")
        return len(pathlib.Path(name).read_text().splitlines())

    def test_flaky(record_metric):
        number = attempt("flaky")
        record_metric("attempt", number)
        record_metric(f"only in attempt {number}", 1)
        assert number == 3

    def test_crashes(record_metric):
        number = attempt("crashes")
        record_metric("attempt", number)
        if number == 1 and "PYTEST_XDIST_WORKER" in os.environ:
            os._exit(3)

    def test_hopeless(record_metric):
        record_metric("attempt", attempt("hopeless"))
        assert False

    def test_fine(record_metric):
        record_metric("attempt", attempt("fine"))
"""

SLOW = """
    import threading
    import pytest

    @pytest.mark.timeout(3, method="signal")
    def test_stuck(record_metric):
        record_metric("before", 1)
        threading.Event().wait(60)

    def test_after_the_stuck_one(): pass
"""

COVERED = """
    import pytest
    import tool

    @pytest.mark.parametrize("case", [-1, 1])
    def test_tool(case):
        assert tool.sign(case) == case
"""

TOOL = """
    def sign(number):
        if number < 0:
            return -1
        return 1
"""


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """A host with eight stand-in GPUs."""
    return make_host(8)


def order(run: Run) -> list[str]:
    """The tests in the order of collection."""
    return [test["nodeid"] for test in run.report["tests"]]


def metrics(run: Run, name: str) -> dict[str, Any]:
    """A test's metrics by name."""
    found = {metric["name"]: metric["value"] for metric in run.tests[name]["metrics"]}
    assert len(found) == len(run.tests[name]["metrics"])
    return found


def junit_properties(run: Run, name: str) -> Counter[str]:
    """How often each property of a test is in the JUnit file, over all its test cases."""
    root = ElementTree.parse(run.directory / "junit.xml").getroot()
    cases = [case for case in root.iter("testcase") if case.get("name") == name]
    assert cases
    return Counter(str(entry.get("name")) for entry in cases[-1].iter("property"))


@contextmanager
def last_gpu_held(host: Host) -> Iterator[None]:
    """Hold the last GPU's lock, as another run's worker would."""
    host.lock_dir.mkdir()
    with (host.lock_dir / f"{gpus(8)[-1].uuid}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def assert_reruns(run: Run, *, crash_attempts: int) -> None:
    """The last attempt is the one that counts, and is the only one in the reports."""
    assert [run.outcomes[name] for name in ("test_flaky", "test_crashes", "test_hopeless", "test_fine")] == [
        "passed",
        "passed",
        "failed",
        "passed",
    ]
    attempts = {name: run.tests[name]["attempt"] for name in run.tests}
    assert attempts["test_flaky"] == attempts["test_hopeless"] == 3
    assert attempts["test_crashes"] == crash_attempts
    assert attempts["test_fine"] == 1
    assert metrics(run, "test_flaky") == {"attempt": 3, "only in attempt 3": 1}
    assert metrics(run, "test_crashes") == {"attempt": crash_attempts}
    assert metrics(run, "test_hopeless") == {"attempt": 3}
    assert junit_properties(run, "test_flaky") == {
        "gpupool.device": 1,
        "gpupool.worker": 1,
        "gpupool.metric.attempt": 1,
        "gpupool.metric.only in attempt 3": 1,
    }


def assert_only_the_dead_lost_coverage(run: Run) -> None:
    """No worker's data is missing but those of workers that died."""
    died = [worker["id"] for worker in run.report["workers"] if worker["exit"] in ("crashed", "killed")]
    _, _, missing = run.output.partition("workers failed to return coverage data")
    assert [line for line in missing.splitlines()[1:] if line.startswith("gw")] == died
    assert "CovReportWarning" not in run.output


def assert_covered(run: Run) -> None:
    """No worker's data is missing, and the table has the tool in full."""
    assert_only_the_dead_lost_coverage(run)
    row = next(line for line in run.stdout.splitlines() if line.startswith("tool.py"))
    assert row.split() == ["tool.py", "4", "0", "100%"]


@with_workers
def test_with_randomly(host: Host, workers: tuple[str, ...]) -> None:
    """pytest-randomly's order is every worker's, the seed's own, and each test has one result."""
    host.write("test_suite.py", CASES)
    run = host.pytest("--randomly-seed=5", *workers, companions=("randomly",))
    assert run.status == 0, run.output
    assert "Using --randomly-seed=5" in run.stdout
    assert run.report["summary"]["passed"] == len(set(order(run))) == 12
    assert order(run) != sorted(order(run), key=lambda nodeid: int(nodeid.split("[")[1][:-1]))
    assert "collected other tests" not in run.output
    assert {name: metrics(run, name) for name in run.tests} == {f"test_case[{n}]": {"case": n} for n in range(12)}


@with_workers
def test_with_rerunfailures(host: Host, workers: tuple[str, ...]) -> None:
    """pytest-rerunfailures: attempts are counted, the last one's metrics count, a crashed test runs again."""
    host.write("test_suite.py", FLAKY)
    run = host.pytest("--reruns=2", *workers, companions=("rerunfailures",))
    assert run.status == 1, run.output
    assert_reruns(run, crash_attempts=2 if workers else 1)
    assert run.report["summary"]["crashed"] == 0
    assert run.report["run"]["complete"] is True


@with_workers
def test_with_timeout(host: Host, workers: tuple[str, ...]) -> None:
    """pytest-timeout's signal fails the one test, keeps what it had recorded, and the run goes on."""
    host.write("test_suite.py", SLOW)
    run = host.pytest(*workers, companions=("timeout",))
    assert run.status == 1, run.output
    assert run.outcomes == {"test_stuck": "failed", "test_after_the_stuck_one": "passed"}
    assert "Timeout" in run.tests["test_stuck"]["message"]
    assert metrics(run, "test_stuck") == {"before": 1}


@with_workers
def test_with_cov(host: Host, workers: tuple[str, ...]) -> None:
    """pytest-cov has the data of every worker that ran, and misses none of one that never got a device."""
    host.write("tool.py", TOOL)
    host.write("test_suite.py", COVERED)
    with last_gpu_held(host):
        run = host.pytest("--cov=tool", "--cov-report=term", *workers, companions=("pytest_cov",))
    assert run.status == 0, run.output
    assert_covered(run)
    without = [worker for worker in run.report["workers"] if not worker["devices"]]
    assert len(without) >= (1 if workers == ("-n8",) else 0)


def test_what_an_ended_worker_covered_stays_when_another_starts(host: Host) -> None:
    """A worker that comes late, here in place of a crashed one, does not erase the data of those that have ended."""
    host.write("tool.py", TOOL)
    host.write("test_a.py", "import tool\ndef test_a(): assert tool.sign(-1) == -1\n")
    host.write(
        "test_b.py",
        """
        import os
        import pathlib
        import time
        import tool

        def test_b():
            deadline = time.monotonic() + 60
            while not list(pathlib.Path().glob(".coverage.*")):
                assert time.monotonic() < deadline, "the other worker never saved its data"
                time.sleep(0.005)
            os._exit(3)

        def test_c():
            assert tool.sign(1) == 1
        """,
    )
    args = ("--cov=tool", "--cov-report=term", "-n2", "--dist=loadfile")
    run = host.pytest(*args, companions=("pytest_cov",))
    assert run.outcomes == {"test_a": "passed", "test_b": "crashed", "test_c": "passed"}
    row = next(line for line in run.stdout.splitlines() if line.startswith("tool.py"))
    assert row.split() == ["tool.py", "4", "0", "100%"], run.output


@with_workers
def test_with_all_at_once(host: Host, workers: tuple[str, ...]) -> None:
    """All four together do what each does alone."""
    host.write("tool.py", TOOL)
    host.write("test_cases.py", CASES)
    host.write("test_flaky.py", FLAKY)
    host.write("test_slow.py", SLOW.replace("timeout(3", "flaky(reruns=0)\n    @pytest.mark.timeout(3"))
    host.write("test_covered.py", COVERED)
    args = ("--randomly-seed=5", "--reruns=2", "--timeout=60", "--cov=tool", "--cov-report=term")
    with last_gpu_held(host):
        run = host.pytest(*args, *workers, companions=ALL)
    assert run.status == 1, run.output
    outcomes = Counter(run.outcomes.values())
    assert outcomes == {"passed": 12 + 3 + 1 + 2, "failed": 2}
    assert_reruns(run, crash_attempts=2 if workers else 1)
    assert_only_the_dead_lost_coverage(run)
    assert metrics(run, "test_stuck") == {"before": 1}
    assert "Using --randomly-seed=5" in run.stdout

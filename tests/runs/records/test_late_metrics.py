"""What comes by a test's ``record_metric`` after that test has ended is no other test's, and never vanishes unseen."""

from __future__ import annotations

import pytest
from support import Host

each_way = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])

CONFTEST = """
    import os

    kept = {}

    def quietly(*metric):
        try:
            kept["record"](*metric)
        except BaseException:
            pass

    def pytest_sessionfinish():
        if "child" in kept:
            go, done = kept["child"]
            os.write(go, b".")
            os.read(done, 1)
        if "finish" in kept:
            quietly("at finish", 1)

    def pytest_unconfigure():
        if "unconfigure" in kept:
            quietly("at unconfigure", 1)
"""

KEPT = "by its record_metric, which something has kept"
THREAD = "from a thread that it had started"
PROCESS = "from a process that it had started"


def late(name: str, test: str, who: str) -> str:
    """How the warning begins."""
    return f"gpupool: warning: metric {name!r} of test_suite.py::{test} came after that test had ended, {who}"


SUITES = {
    "next test": (
        """
        def test_two(record_metric):
            record_metric("own", 2)
            quietly("late", 1)
        """,
        late("late", "test_one", KEPT),
    ),
    "thread": (
        """
        def test_two(record_metric):
            record_metric("own", 2)
            thread = threading.Thread(target=quietly, args=("late", 1))
            thread.start()
            thread.join()
        """,
        late("late", "test_one", THREAD),
    ),
    "child of the next test": (
        """
        def test_two(record_metric):
            record_metric("own", 2)
            if (pid := os.fork()) == 0:
                quietly("late", 1)
                os._exit(0)
            os.waitpid(pid, 0)
        """,
        late("late", "test_one", PROCESS),
    ),
    "child, when all tests are over": (
        """
        def test_two(record_metric):
            record_metric("own", 2)
            (read, go), (done, said) = os.pipe(), os.pipe()
            if os.fork() == 0:
                os.read(read, 1)
                record_metric("late", 1)
                os.write(said, b".")
                os._exit(0)
            kept["child"] = go, done
        """,
        late("late", "test_two", PROCESS),
    ),
    "hook, when all tests are over": (
        """
        def test_two(record_metric):
            record_metric("own", 2)
            kept["finish"] = True
        """,
        late("at finish", "test_one", KEPT),
    ),
    "hook, at the very end": (
        """
        def test_two(record_metric):
            record_metric("own", 2)
            kept["unconfigure"] = True
        """,
        late("at unconfigure", "test_one", KEPT),
    ),
}


@each_way
@pytest.mark.parametrize("case", SUITES)
def test_it_is_said_whoever_hides_the_error(cpu_host: Host, case: str, workers: tuple[str, ...]) -> None:
    """No test has it, none fails by it."""
    suite, said = SUITES[case]
    cpu_host.write("conftest.py", CONFTEST)
    cpu_host.write(
        "test_suite.py",
        """
        import os, threading
        from conftest import kept, quietly

        def test_one(record_metric):
            record_metric("own", 1)
            kept["record"] = record_metric
        """
        + suite,
    )
    run = cpu_host.pytest(*workers, "--gpupool-order=file")
    assert (run.status, run.metrics("test_one"), run.metrics("test_two")) == (0, {"own": 1}, {"own": 2})
    assert run.output.count(said) == 1, run.output


@each_way
def test_a_test_that_uses_anothers_fails_with_what_to_do(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """It has not measured what it seems to have."""
    cpu_host.write(
        "test_suite.py",
        """
        kept = []

        def test_one(record_metric): kept.append(record_metric)
        def test_two(): kept[0]("loss", 1)
        """,
    )
    run = cpu_host.pytest(*workers, "--gpupool-order=file")
    assert (run.status, run.outcomes) == (1, {"test_one": "passed", "test_two": "failed"})
    assert run.tests["test_two"]["message"] == (
        f"metric 'loss' of test_suite.py::test_one came after that test had ended, {KEPT}: it is in no report; record "
        "in the test that measures, with that test's own record_metric"
    )


def test_where_the_pool_is_off_pytest_warns(cpu_host: Host) -> None:
    """By a warning of Python's."""
    cpu_host.write(
        "test_suite.py",
        """
        kept = []

        def test_one(record_metric): kept.append(record_metric)

        def test_two():
            try:
                kept[0]("loss", 1)
            except BaseException:
                pass
        """,
    )
    run = cpu_host.pytest("-pno:gpupool")
    assert run.status == 0
    assert "PytestWarning: gpupool: metric 'loss' of test_suite.py::test_one came after" in run.stdout

"""However a run ends, its reports count every collected test, and no run that is incomplete or wrong exits with 0."""

from __future__ import annotations

import os
import signal
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest
from suites import prepare
from support import Host, Run, wait_for

WRONG = {"failed", "error", "crashed", "timeout", "not-run"}

SIX = """
    import os
    import pytest

    @pytest.mark.parametrize("case", range(6))
    def test_case(case, record_metric): record_metric("case", case)
"""

with_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])


def complete(run: Run) -> Counter[str]:
    """The outcomes of a run's tests; fails where its report does not add up or its exit status hides something."""
    report, about = run.report, run.report["run"]
    outcomes = Counter(test["outcome"] for test in report["tests"])
    left = outcomes["not-run"]
    assert about["finished"] + left == about["collected"] == len(report["tests"]), run.output
    assert len({test["nodeid"] for test in report["tests"]}) == len(report["tests"])
    assert {outcome: report["summary"][outcome] for outcome in outcomes} == outcomes
    assert about["complete"] == (left == 0 and about["collected"] > 0)
    assert about["exit_status"] == run.status, run.output
    assert run.status != 0 or (about["complete"] and not WRONG & set(outcomes)), run.output
    return outcomes


def complete_in_junit(run: Run) -> None:
    """Fails unless each test of the JSON report has one testcase, which is an error where the test did not run."""
    cases = ElementTree.parse(run.directory / "junit.xml").getroot().iter("testcase")
    # pytest has one of its own for an internal error, which is no test.
    names = Counter(case.get("name") for case in cases if case.get("classname") != "pytest")
    assert names == Counter(name.split("::")[-1] for name in run.outcomes)
    left = {name.split("::")[-1] for name, outcome in run.outcomes.items() if outcome == "not-run"}
    assert {name: run.junit_outcomes[name] for name in left} == dict.fromkeys(left, "error")


# Workers that die


@pytest.mark.parametrize("args", [(), ("--max-worker-restart=0",)], ids=["restarted", "not restarted"])
def test_a_worker_that_dies_while_it_collects(host: Host, args: tuple[str, ...]) -> None:
    """Its tests are nobody's loss where it is replaced."""
    host.write("conftest.py", "import os\nif os.environ.get('PYTEST_XDIST_WORKER') == 'gw0': os._exit(3)\n")
    host.write("test_suite.py", SIX)
    run = host.pytest("-n2", *args)
    outcomes = complete(run)
    assert run.exits["gw0"] == "crashed"
    if not args:
        assert (run.status, outcomes) == (0, {"passed": 6}), run.output
    complete_in_junit(run)


@pytest.mark.parametrize("file", ["conftest.py", "test_suite.py"])
def test_all_workers_die_while_they_collect(host: Host, file: str) -> None:
    """The run fails, and its reports say that nothing was collected."""
    host.write("test_suite.py", SIX)
    host.write(file, "import os\nif 'PYTEST_XDIST_WORKER' in os.environ: os._exit(3)\n")
    run = host.pytest("-n2")
    assert complete(run) == {}
    assert run.status != 0
    assert {*run.exits.values()} - {"cancelled"} == {"crashed"}
    complete_in_junit(run)


def test_workers_that_collect_different_tests(host: Host) -> None:
    """The first collection is the run's; a test that only another worker knows is nowhere."""
    host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.parametrize("case", ["usual", os.environ.get("PYTEST_XDIST_WORKER")])
        def test_case(case): pass
        """,
    )
    run = host.pytest("-n2")
    assert complete(run) == {"passed": 2}
    complete_in_junit(run)


def test_no_worker_is_left_that_collected_the_same(host: Host) -> None:
    """Where the first worker dies and each replacement has other tests, the rest is not-run, and the run ends."""
    host.write(
        "conftest.py",
        """
        import pytest

        def pytest_configure_node(node):
            if node.gateway.id == "gw9":
                pytest.exit("one worker after the other is started in vain")
        """,
    )
    host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.parametrize("case", range(3))
        @pytest.mark.parametrize("worker", [os.environ.get("PYTEST_XDIST_WORKER")])
        def test_case(worker, case): os._exit(3)
        """,
    )
    run = host.pytest("-n2")
    assert "in vain" not in run.output
    assert run.status == 1, run.output
    assert complete(run) == {"crashed": 1, "not-run": 2}
    complete_in_junit(run)


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)", "pass"], ids=["exit", "kill", "none"])
def test_a_worker_that_dies_in_its_last_test(host: Host, end: str) -> None:
    """That test is crashed and keeps its metrics; a property that plain xdist cannot send changes nothing."""
    host.write(
        "test_suite.py",
        f"""
        import os
        import numpy
        import pytest

        @pytest.mark.parametrize("case", range(4))
        def test_case(case, record_property): record_property("m", numpy.float64(case))

        @pytest.mark.gpupool(stage=1)
        def test_last(record_property, record_metric):
            record_property("m", numpy.float64(0.5))
            record_metric("m", numpy.float64(0.5))
            {end}
        """,
    )
    run = host.pytest("-n2")
    last = "passed" if end == "pass" else "crashed"
    assert complete(run) == Counter(["passed"] * 4 + [last])
    assert (run.outcomes["test_last"], run.metrics("test_last")) == (last, {"m": 0.5})
    complete_in_junit(run)


# Errors of other plugins

HOOKS = {
    "collection": "pytest_collection_modifyitems()",
    "report": "pytest_runtest_logreport(report)",
    "end": "pytest_sessionfinish()",
}

BROKEN = """
    import os
    import pytest
    from patience import lines, say, until

    WHO = os.environ.get("PYTEST_XDIST_WORKER", "controller")
    say("up", WHO)

    def {hook}:
        if WHO in {whom}: raise RuntimeError("a broken plugin")

    @pytest.fixture(scope="session", autouse=True)
    def all_workers():
        say("runs", WHO)
        until(lambda: set({met}) <= set(lines("{where}")), "no other worker came")
"""
"""A plugin one hook of which raises in some processes; the first test of each waits until others are so far."""


def broken(host: Host, hook: str, whom: list[str], *, met: list[str]) -> None:
    """Write a suite with such a plugin."""
    prepare(host)
    where = "up" if hook == "collection" else "runs"
    host.write("conftest.py", BROKEN.format(hook=HOOKS[hook], whom=whom, met=met, where=where))
    host.write("test_suite.py", SIX)


@pytest.mark.parametrize("whom", [["gw0"], [f"gw{number}" for number in range(9)]], ids=["one", "all"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_raises_in_a_worker(host: Host, hook: str, whom: list[str]) -> None:
    """The error is shown and the run fails; a test has its result, or is not-run."""
    broken(host, hook, whom, met=["gw0", "gw1"])
    run = host.pytest("-n2")
    complete(run)
    assert run.status != 0, run.output
    assert "a broken plugin" in run.output
    complete_in_junit(run)


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_raises_in_the_controller(host: Host, hook: str, workers: str) -> None:
    """The reports are written all the same, with what is known by then; a controller with workers collects nothing."""
    broken(host, hook, ["controller"], met=[])
    run = host.pytest(workers)
    raises = (hook, workers) != ("collection", "-n2")
    assert ("a broken plugin" in run.output) == raises
    assert sum(complete(run).values()) == 6
    assert (run.status != 0) == raises, run.output
    complete_in_junit(run)


# Early ends


@with_workers
@pytest.mark.parametrize("option", ["-x", "--maxfail=2"])
def test_failures_that_end_the_run(host: Host, option: str, workers: tuple[str, ...]) -> None:
    """What had not begun by then is not-run, and the run fails."""
    host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.parametrize("case", range(2))
        def test_fails(case): assert False

        @pytest.mark.gpupool(stage=1)
        @pytest.mark.parametrize("case", range(6))
        def test_case(case): pass
        """,
    )
    run = host.pytest(option, *workers)
    outcomes = complete(run)
    assert sum(outcomes.values()) == 8
    assert outcomes["failed"] in ((2,) if option == "--maxfail=2" else (1, 2))
    assert outcomes["not-run"] >= 5, run.output
    assert f"{outcomes['not-run']} of 8 collected tests have no result (not-run)" in run.stdout
    complete_in_junit(run)


@pytest.mark.parametrize("workers", [(), ("-n0",), ("-n2",)], ids=["plain", "n0", "n2"])
def test_ctrl_c(host: Host, workers: tuple[str, ...]) -> None:
    """What was interrupted and what had not begun is not-run, with exit status 2."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import time
        import pytest
        from patience import say

        @pytest.mark.parametrize("case", range(3))
        def test_case(case): pass

        @pytest.mark.gpupool(stage=1)
        @pytest.mark.parametrize("case", range(3))
        def test_slow(case):
            say("busy")
            while True:  # a signal that comes just before a sleep is only heard after it
                time.sleep(0.05)
        """,
    )
    running = host.start(*workers)
    try:
        wait_for(host.project / "busy", 2 if workers == ("-n2",) else 1)
        os.kill(running.process.pid, signal.SIGINT)
        run = running.finish()
    finally:
        running.kill()
    assert complete(run) == {"passed": 3, "not-run": 3}
    assert run.status == 2, run.output
    complete_in_junit(run)


@with_workers
@pytest.mark.parametrize("status", [0, 3])
def test_pytest_exit_in_a_test(host: Host, status: int, workers: tuple[str, ...]) -> None:
    """The test that ended the run has no result either; the status is its own unless that would be a success."""
    host.write(
        "test_suite.py",
        f"""
        import pytest

        @pytest.mark.parametrize("case", range(3))
        def test_case(case): pass

        @pytest.mark.gpupool(stage=1)
        def test_exits(): pytest.exit("enough", returncode={status})

        @pytest.mark.gpupool(stage=2)
        @pytest.mark.parametrize("case", range(3))
        def test_later(case): pass
        """,
    )
    run = host.pytest(*workers)
    assert complete(run) == {"passed": 3, "not-run": 4}
    assert run.status == (status or 1), run.output
    complete_in_junit(run)

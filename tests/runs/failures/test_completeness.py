"""However a run ends, its reports count every collected test, and no run that is incomplete or wrong exits with 0."""

from __future__ import annotations

import os
import signal
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest
from suites import prepare
from support import Host, Run, records, wait_for

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
    """Each test is the run's, whoever has collected it."""
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
    assert complete(run) == {"passed": 3}
    complete_in_junit(run)


def test_no_worker_is_left_that_collected_the_same(host: Host) -> None:
    """Where workers die and each replacement has other tests, the rest is not-run, and the run ends."""
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
    assert complete(run) == {"crashed": 2, "not-run": 4}
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


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_who_ends_every_process_at_the_end_finds_all_written(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """A conftest.py whose pytest_sessionfinish is the end of the process: reports, baseline and record are there."""
    cpu_host.write(
        "conftest.py",
        """
        import os

        def pytest_sessionfinish(exitstatus):
            os._exit(int(exitstatus))
        """,
    )
    cpu_host.write("test_suite.py", "def test_a(record_metric): record_metric('a', 1)\n")
    run = cpu_host.pytest(*workers, "--gpupool-baseline=b.json", "--gpupool-update-baseline", "--gpupool-html=r.html")
    assert (run.status, run.outcomes, run.metrics("test_a")) == (0, {"test_a": "passed"}, {"a": 1})
    assert (run.report["run"]["complete"], run.report["run"]["exit_status"]) == (True, 0)
    assert '"metric":"a"' in (cpu_host.project / "b.json").read_text()
    assert (cpu_host.project / "r.html").exists()
    assert [record["exit_status"] for record in records(cpu_host.project) if record["record"] == "run-end"] == [0]


def test_a_status_that_another_plugin_changes_last_is_in_the_reports(cpu_host: Host) -> None:
    """They are written again then; the baseline, which was updated, is not."""
    cpu_host.write("conftest.py", "def pytest_sessionfinish(session): session.exitstatus = 9\n")
    cpu_host.write("test_suite.py", "def test_a(record_metric): record_metric('a', 1)\n")
    run = cpu_host.pytest("--gpupool-baseline=b.json", "--gpupool-update-baseline", "--gpupool-markdown=r.md")
    assert (run.status, run.report["run"]["exit_status"]) == (9, 9)
    assert '"metric":"a"' in (cpu_host.project / "b.json").read_text()
    assert (cpu_host.project / "r.md").read_text().count("## gpupool") == 1  # what is appended to is written once


def test_a_workers_internal_error_is_shown_whatever_ends_the_session(cpu_host: Host) -> None:
    """Here another plugin does, before xdist has heard of the error."""
    cpu_host.write(
        "conftest.py",
        """
        import os
        import pathlib
        import time
        import pytest

        WORKER = os.environ.get("PYTEST_XDIST_WORKER")

        def pytest_runtest_logfinish():
            if WORKER:
                raise RuntimeError("a hook of the suite is broken")

        @pytest.hookimpl(trylast=True)
        def pytest_internalerror():
            if WORKER:
                pathlib.Path("told").touch()

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if not WORKER and report.when == "call":
                deadline = time.monotonic() + 60
                while not pathlib.Path("told").exists() and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(0.5)  # it is on its way
                pytest.exit("enough", 7)
        """,
    )
    cpu_host.write("test_suite.py", "def test_one(): pass\n")
    run = cpu_host.pytest("-n1")
    assert run.status == 7
    assert "gpupool: gw0 had an internal error:" in run.stdout
    assert "RuntimeError: a hook of the suite is broken" in run.stdout

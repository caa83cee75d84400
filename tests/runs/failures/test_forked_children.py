"""Tests that fork: what is of the process that runs them acts there alone, and what a child measures is not lost."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

import pytest
from support import Host, Run, Watched, wait_for

each_way = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])

BOXED = """
    import os, pickle
    import pytest
    from _pytest import runner

    def boxed(item):
        path = f"reports-of-{item.name}"
        pid = os.fork()
        if pid == 0:
            try:
                kept = []
                for report in runner.runtestprotocol(item, log=False):
                    values = dict(vars(report), nodeid=report.nodeid)
                    values.pop("_id", None)
                    if hasattr(report.longrepr, "toterminal"):
                        values["longrepr"] = str(report.longrepr)
                    kept.append(values)
                with open(path, "wb") as file:
                    pickle.dump(kept, file)
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        if os.path.exists(path):
            with open(path, "rb") as file:
                reports = [pytest.TestReport(**values) for values in pickle.load(file)]
            os.remove(path)
            return reports
        call = runner.CallInfo.from_call(lambda: 0 / 0, "???")
        call.excinfo = f"running the test CRASHED with signal {status & 127}"
        return [runner.pytest_runtest_makereport(item, call)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in boxed(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.session._setupstate.teardown_exact(nextitem)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True
"""
"""Each test in a child of its own, as pytest-forked has it, whose own version does not go with pytest 9.2."""


def accuracy(host: Host, value: float, *args: str) -> Run:
    """Run with this accuracy, beside a baseline."""
    return host.pytest("--gpupool-baseline=b.json", *args, environ=host.environ(ACCURACY=str(value)))


class TestMetricsOfChildren:
    """What a forked child records is its test's."""

    SUITE = """
        import os

        def test_a(record_metric):
            if (pid := os.fork()) == 0:
                record_metric("acc", float(os.environ["ACCURACY"]), higher_is_better=True)
                os._exit(0)
            os.waitpid(pid, 0)

        def test_b(record_metric): record_metric("other", 1)
    """

    @each_way
    def test_they_are_judged_and_in_every_report(self, cpu_host: Host, workers: tuple[str, ...]) -> None:
        """A regression is one, with exit status 1."""
        cpu_host.write("test_suite.py", self.SUITE)
        assert accuracy(cpu_host, 0.9, *workers, "--gpupool-update-baseline").status == 0
        run = accuracy(cpu_host, 0.1, *workers)
        assert (run.status, run.outcomes) == (1, {"test_a": "failed", "test_b": "passed"})
        assert run.tests["test_a"]["metrics"][0]["verdict"] == "regressed"
        assert run.junit["test_a"]["gpupool.metric.acc"] == "0.1"
        assert "acc 0.1 regressed: baseline 0.9" in run.stdout

    @each_way
    def test_with_each_test_in_a_process_of_its_own(self, cpu_host: Host, workers: tuple[str, ...]) -> None:
        """All of the test was in the child: metrics, verdicts, failures."""
        cpu_host.write("conftest.py", BOXED)
        cpu_host.write(
            "test_suite.py",
            """
            import os, signal
            BAD = os.environ["ACCURACY"] == "0.1"

            def test_a(record_metric): record_metric("acc", float(os.environ["ACCURACY"]), higher_is_better=True)
            def test_b(record_metric):
                record_metric("b", 1)
                assert not BAD
            def test_c(record_metric):
                record_metric("c", 1)
                if BAD: os.kill(os.getpid(), signal.SIGSEGV)
            """,
        )
        run = accuracy(cpu_host, 0.9, *workers, "--gpupool-update-baseline")
        assert (run.status, set(run.outcomes.values())) == (0, {"passed"})
        assert [entry["metric"] for entry in json.loads((cpu_host.project / "b.json").read_text())["entries"]] == [
            "acc",
            "b",
            "c",
        ]
        run = accuracy(cpu_host, 0.1, *workers)
        assert (run.status, run.outcomes) == (1, {"test_a": "failed", "test_b": "failed", "test_c": "crashed"})
        assert {name: len(test["metrics"]) for name, test in run.tests.items()} == dict.fromkeys(run.outcomes, 1)
        assert run.junit["test_a"]["gpupool.metric.acc"] == "0.1"
        again = accuracy(cpu_host, 0.1, *workers, "--gpupool-resume")
        assert (again.status, again.outcomes["test_c"]) == (1, "crashed")

    @each_way
    def test_two_children_may_not_use_one_name(self, cpu_host: Host, workers: tuple[str, ...]) -> None:
        """Neither value would be the test's."""
        cpu_host.write(
            "test_suite.py",
            """
            import os

            def test_a(record_metric):
                for value in range(2):
                    if (pid := os.fork()) == 0:
                        record_metric("acc", value)
                        os._exit(0)
                    os.waitpid(pid, 0)
            """,
        )
        run = cpu_host.pytest(*workers)
        assert (run.status, run.outcomes) == (1, {"test_a": "failed"})
        assert "metric 'acc' was recorded before in this test" in run.tests["test_a"]["message"]

    @each_way
    def test_one_that_comes_too_late_is_named(self, cpu_host: Host, workers: tuple[str, ...]) -> None:
        """It is not the next test's."""
        cpu_host.write(
            "test_suite.py",
            """
            import os
            import pytest

            @pytest.fixture(scope="module")
            def child():
                children = []
                yield children
                os.close(children[0])

            def test_one(record_metric, child):
                read, write = os.pipe()
                done, said = os.pipe()
                if os.fork() == 0:
                    os.read(read, 1)  # until test_two runs
                    record_metric("loss", 0.1)
                    os.write(said, b".")
                    os._exit(0)
                child += [write, done]

            def test_two(child):
                os.write(child[0], b".")
                os.read(child[1], 1)
            """,
        )
        run = cpu_host.pytest(*workers, "--gpupool-order=file")
        assert (run.status, [test["metrics"] for test in run.tests.values()]) == (0, [[], []])
        late = "metric 'loss' of test_suite.py::test_one came after that test had ended, from a process"
        assert f"gpupool: warning: {late}" in run.stdout


class TestChildrenThatReturn:
    """A child comes back into pytest, whose parent runs the tests."""

    @each_way
    def test_it_ends_with_a_word(self, cpu_host: Host, workers: tuple[str, ...]) -> None:
        """No test runs twice, and nothing of it is on record; where a fixture forks and where the child raises, too."""
        cpu_host.write(
            "test_suite.py",
            """
            import os
            import pytest

            def child_code(pid):
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

            def test_returns():
                if pid := os.fork():
                    assert child_code(pid) == 1

            def test_raises():
                pid = os.fork()
                assert pid, "the child's"
                assert child_code(pid) == 1

            @pytest.fixture
            def forking():
                pid = os.fork()
                yield pid

            def test_fixture(forking):
                if forking:
                    assert child_code(forking) == 1

            def test_exits():
                if pid := os.fork():
                    assert child_code(pid) == 7
                else:
                    raise SystemExit(7)

            def test_last():
                with open("last", "a") as file:
                    file.write("here\\n")
            """,
        )
        run = cpu_host.pytest(*workers, "--gpupool-order=file", "-rP", "-s")
        assert (run.status, set(run.outcomes.values()), len(run.outcomes)) == (0, {"passed"}, 5)
        assert (cpu_host.project / "last").read_text() == "here\n"
        if not workers:  # else it goes where the worker's stderr goes
            words = re.findall(r"which was forked in test_suite.py::(\w+), came back into pytest", run.output)
            assert words == ["test_returns", "test_raises", "test_fixture", "test_exits"]


class TestSignals:
    """Children have no handler of ours."""

    @each_way
    def test_a_child_that_is_terminated_ends_by_the_signal(self, cpu_host: Host, workers: tuple[str, ...]) -> None:
        """At once, however early it comes; a pool of processes ends."""
        cpu_host.write(
            "test_suite.py",
            """
            import multiprocessing
            import time
            import pytest

            context = multiprocessing.get_context("fork")

            @pytest.mark.parametrize("i", range(10))
            def test_exit_code(i):
                child = context.Process(target=time.sleep, args=(60,))
                child.start()
                child.terminate()
                child.join()
                assert child.exitcode == -15

            @pytest.mark.parametrize("i", range(10))
            def test_with_pool(i):
                with context.Pool(2) as pool:
                    assert pool.map(abs, range(10)) == list(range(10))
            """,
        )
        run = cpu_host.pytest(*workers)
        assert (run.status, len(run.outcomes)) == (0, 20)


def test_a_child_that_outlives_its_run_does_not_keep_that_open(cpu_host: Host) -> None:
    """The run is resumed although a child that one of its tests had forked lives on."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, signal, time

        def test_done(): pass

        def test_dies():
            if os.path.exists("again"):
                return
            open("again", "w").close()
            if (pid := os.fork()) == 0:
                os.setsid()
                time.sleep(600)
                os._exit(0)
            print(pid, file=open("child", "w"))
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    run = Watched(cpu_host, "--gpupool-order=file").finish()  # whose output the child has, too
    child = int(wait_for(cpu_host.project / "child")[0])
    try:
        assert run.status == -signal.SIGKILL
        again: Any = cpu_host.pytest("--gpupool-resume")
        assert "1 of 2 results kept" in again.stdout
        assert (again.status, set(again.outcomes.values())) == (0, {"passed"})
    finally:
        os.kill(child, signal.SIGKILL)

"""Tests that take too long: each ends as ``timeout``, with all that it started, and the run goes on."""

from __future__ import annotations

import time

import pytest
from standin.devices import GIB
from suites import prepare
from support import Host, Watched, wait_for

pytestmark = pytest.mark.usefixtures("leaves_nothing")

HANGING = """
    import ctypes, os, signal, subprocess, sys, time
    import pytest
    from patience import lines, say, until

    limited = pytest.mark.gpupool(timeout=1)

    def sleep_far_too_long():
        time.sleep(600)

    @limited
    def test_sleeps(record_metric):
        record_metric("before", 0.25, unit="nats")
        sleep_far_too_long()

    @limited
    def test_ignores_sigterm(record_metric):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        record_metric("before", 0.5)
        while True:
            time.sleep(0.05)

    @limited
    def test_holds_the_gil():
        ctypes.PyDLL(None).sleep(600)

    @limited
    def test_is_stopped(record_metric):
        record_metric("before", 0.75)
        os.kill(os.getpid(), signal.SIGSTOP)

    @pytest.fixture
    def slow_to_come(record_metric):
        record_metric("before", 1.0)
        time.sleep(600)

    @pytest.fixture
    def slow_to_go(record_metric):
        yield
        record_metric("late", 1.5)
        time.sleep(600)

    @limited
    def test_hangs_in_setup(slow_to_come): pass

    @limited
    def test_hangs_in_teardown(slow_to_go, record_metric): record_metric("before", 1.25)

    @limited
    def test_has_children():
        program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
        for new_session in (False, True):
            command = [sys.executable, "-c", program]
            child = subprocess.Popen(command, start_new_session=new_session, stdout=subprocess.PIPE)
            child.stdout.readline()
            say("children", child.pid)
        child.wait()

    @pytest.mark.gpupool(timeout=30)
    def test_just_in_time(): time.sleep(2)

    @pytest.mark.parametrize("case", range(4))
    def test_passes(case): pass
"""

WHERE = {
    "test_sleeps": "in sleep_far_too_long",
    "test_ignores_sigterm": "in test_ignores_sigterm",
    "test_holds_the_gil": "in test_holds_the_gil",
    "test_is_stopped": "",
    "test_hangs_in_setup": "in slow_to_come",
    "test_hangs_in_teardown": "in slow_to_go",
    "test_has_children": "in test_has_children",
}
"""The tests of HANGING that hang, with what their stacks show; "" where the process does not answer."""


def test_however_a_test_hangs_the_run_goes_on(host: Host) -> None:
    """Each test that hangs is ``timeout``, with its metrics and its stacks; its worker is killed, and does not count.

    Every other test passes, one that takes nearly its time included.
    """
    prepare(host)
    host.write("test_suite.py", HANGING)
    run = host.pytest("-n4", "--max-worker-restart=0")
    assert run.status == 1, run.output
    passing = ["test_just_in_time", *(f"test_passes[{case}]" for case in range(4))]
    assert run.outcomes == {**dict.fromkeys(WHERE, "timeout"), **dict.fromkeys(passing, "passed")}
    for name, where in WHERE.items():
        test = run.tests[name]
        first, *stacks = test["message"].splitlines()
        words = f"this test took longer than 1 s; worker {test['worker']} was ended"
        if where:
            path = f".gpupool/runs/{run.report['run']['id']}/{test['worker']}-stacks.txt"
            assert first == f"{words}; its stacks then (all of them: {path}):"
            assert where in "\n".join(stacks), test["message"]
            assert "_pytest" not in "\n".join(stacks)  # what is not the user's is only counted
            assert "_pytest" in (run.directory / path).read_text()
        else:
            assert first == words
        assert run.exits[test["worker"]] == "killed"
        assert len(test["devices"]) == 1
        assert f"FAILED test_suite.py::{name}" in run.stdout
    metrics = {name: run.metrics(name) for name in run.tests if run.metrics(name)}
    assert metrics == {
        "test_sleeps": {"before": 0.25},
        "test_ignores_sigterm": {"before": 0.5},
        "test_is_stopped": {"before": 0.75},
        "test_hangs_in_setup": {"before": 1.0},
        "test_hangs_in_teardown": {"before": 1.25, "late": 1.5},
    }
    exits = list(run.exits.values())
    assert exits.count("killed") == len(WHERE)
    assert set(exits) <= {"killed", "finished", "cancelled"}
    assert len({worker["pid"] for worker in run.report["workers"] if worker["pid"]}) >= len(WHERE) + 1
    assert {name: run.junit_outcomes[name] for name in run.outcomes} == {
        **dict.fromkeys(WHERE, "error"),
        **dict.fromkeys(passing, "passed"),
    }
    assert [device["quarantined"] for device in run.report["devices"]] == [None] * 4
    assert run.report["run"]["complete"] is True
    assert len(wait_for(host.project / "children", 2)) == 2  # that they are gone is for leaves_nothing to see


def test_x_stops_after_a_timeout(host: Host) -> None:
    """-x counts a timeout as a failure; the command line's limit is meant rather than the ini file's."""
    host.write("pytest.ini", "[pytest]\ngpupool_timeout = 600\n")
    host.write(
        "test_suite.py",
        """
        import time
        import pytest

        def test_before(record_metric): record_metric("m", 1)

        @pytest.mark.gpupool(stage=1)
        def test_hangs(): time.sleep(600)

        @pytest.mark.gpupool(stage=2)
        @pytest.mark.parametrize("case", range(4))
        def test_after(case): pass
        """,
    )
    run = host.pytest("-n4", "-x", "--gpupool-timeout=1")
    assert run.status not in (0, 3), run.output
    not_run = dict.fromkeys([f"test_after[{case}]" for case in range(4)], "not-run")
    assert run.outcomes == {"test_before": "passed", "test_hangs": "timeout", **not_run}
    assert run.metrics("test_before") == {"m": 1}
    assert "took longer than 1 s" in run.tests["test_hangs"]["message"]
    assert run.junit_outcomes["test_hangs"] == "error"
    assert "4 of 6 collected tests have no result (not-run)" in run.stdout
    assert run.exits[run.tests["test_hangs"]["worker"]] == "killed"


def test_a_timeout_runs_again_with_rerunfailures(host: Host) -> None:
    """--reruns counts it as a failed attempt: the last attempt counts, with its metrics alone."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import time
        import pytest
        from patience import lines, say

        @pytest.mark.parametrize("attempts", [1, 2])
        @pytest.mark.gpupool(timeout=1)
        def test_hangs(attempts, record_metric):
            say(f"attempts{attempts}")
            number = len(lines(f"attempts{attempts}"))
            record_metric(f"in attempt {number}", number)
            if number <= attempts:
                time.sleep(600)

        def test_passes(): pass
        """,
    )
    run = host.pytest("-n4", "--reruns=1", "--max-worker-restart=0", companions=("rerunfailures",))
    assert run.status == 1, run.output
    assert run.outcomes == {"test_hangs[1]": "passed", "test_hangs[2]": "timeout", "test_passes": "passed"}
    assert {name: test["attempt"] for name, test in run.tests.items()} == {
        "test_hangs[1]": 2,
        "test_hangs[2]": 2,
        "test_passes": 1,
    }
    assert run.metrics("test_hangs[1]") == run.metrics("test_hangs[2]") == {"in attempt 2": 2}
    assert [len(wait_for(host.project / f"attempts{attempts}")) for attempts in (1, 2)] == [2, 2]
    assert run.tests["test_hangs[1]"]["message"] is None
    assert set(run.exits.values()) <= {"killed", "finished", "cancelled"}
    assert list(run.exits.values()).count("killed") == 3
    assert run.report["summary"]["timeout"] == 1
    assert "1 failed, 2 passed, 2 rerun" in run.stdout


def test_waiting_does_not_count(host: Host) -> None:
    """Neither for a lock, nor for the turn, nor for memory: the clock runs while the test does."""
    assert host.driver is not None
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import time
        import pytest
        from patience import lines, say, until

        @pytest.fixture(scope="session", autouse=True)
        def ready(): say("ready")

        def test_first(): until(lambda: lines("go"), "nobody lets this test end")

        @pytest.mark.gpupool(timeout=3, memory="60GiB", stage=1)
        def test_large(record_metric): record_metric("ran", 1)

        @pytest.mark.gpupool(timeout=3, lock="port", stage=1)
        @pytest.mark.parametrize("case", range(3))
        def test_locks(case): time.sleep(1.2)
        """,
    )
    running = Watched(host, "-n4")
    try:
        wait_for(host.project / "ready")
        for number in range(4):
            host.driver.replace(number, used=40 * GIB)
        host.write("go", "now\n")
        running.until("waits for memory for test_suite.py::test_large")
        time.sleep(4)  # longer than its limit
        for number in range(4):
            host.driver.replace(number, used=0)
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 0, run.output
    assert run.outcomes == dict.fromkeys(
        ["test_first", "test_large", *(f"test_locks[{n}]" for n in range(3))], "passed"
    )
    assert run.metrics("test_large") == {"ran": 1}


def test_dist_each_goes_on_after_timeouts(host: Host) -> None:
    """Each worker's test is its own: a replacement goes on with the rest, and can hang as well."""
    host.write(
        "test_suite.py",
        """
        import os, time
        import pytest

        @pytest.mark.gpupool(timeout=1)
        def test_hangs():
            if os.environ["PYTEST_XDIST_WORKER"] == "gw0": time.sleep(600)

        @pytest.mark.gpupool(timeout=1)
        def test_hangs_too():
            if os.environ["PYTEST_XDIST_WORKER"] == "gw2": time.sleep(600)

        def test_passes(): pass
        """,
    )
    run = host.pytest("-n2", "--dist=each")
    assert run.status == 1, run.output
    found = {(test["nodeid"].split("::")[1], test["worker"]): test["outcome"] for test in run.report["tests"]}
    assert found == {
        ("test_hangs", "gw0"): "timeout",
        ("test_hangs_too", "gw2"): "timeout",
        ("test_passes", "gw3"): "passed",
        ("test_hangs", "gw1"): "passed",
        ("test_hangs_too", "gw1"): "passed",
        ("test_passes", "gw1"): "passed",
    }
    assert run.exits == {"gw0": "killed", "gw1": "finished", "gw2": "killed", "gw3": "finished"}


def test_without_workers_a_test_that_hangs_in_python_ends(host: Host) -> None:
    """Plain pytest ends it by itself, with ini and marker alike: ``timeout``, stacks, metrics, and on it goes."""
    host.write("pytest.ini", "[pytest]\ngpupool_timeout = 1\n")
    host.write(
        "test_suite.py",
        """
        import time
        import pytest

        def sleep_far_too_long():
            time.sleep(600)

        @pytest.fixture
        def slow_to_come(): sleep_far_too_long()

        @pytest.fixture
        def slow_to_go():
            yield
            sleep_far_too_long()

        def test_call(record_metric):
            record_metric("before", 1)
            sleep_far_too_long()

        @pytest.mark.gpupool(timeout=0.5)
        def test_setup(slow_to_come): pass

        @pytest.mark.gpupool(timeout=0.5)
        def test_teardown(slow_to_go, record_metric): record_metric("before", 2)

        def test_passes(): time.sleep(0.2)

        @pytest.mark.gpupool(timeout=60)
        def test_has_more_time(): time.sleep(1.2)
        """,
    )
    run = host.pytest()
    assert run.status == 1, run.output
    hang = {"test_call": 1, "test_setup": 0.5, "test_teardown": 0.5}
    assert run.outcomes == {**dict.fromkeys(hang, "timeout"), "test_passes": "passed", "test_has_more_time": "passed"}
    for name, limit in hang.items():
        message = run.tests[name]["message"]
        assert message.startswith(f"this test took longer than {limit} s; its stacks then:\n")
        assert "in sleep_far_too_long" in message
    assert (run.metrics("test_call"), run.metrics("test_teardown")) == ({"before": 1}, {"before": 2})
    assert run.junit_outcomes["test_call"] == "failure"
    assert run.junit_outcomes["test_setup"] == "error"
    assert run.exits == {"main": "finished"}
    assert run.report["run"]["complete"] is True


SLOW_CONTROLLER = """
    import os, time
    def pytest_runtest_logreport(report):
        if "PYTEST_XDIST_WORKER" not in os.environ and report.when == "call": time.sleep(3)
"""


def test_waiting_for_the_controller_is_no_tests_time(cpu_host: Host) -> None:
    """Neither on a clock nor in a duration: a hook there takes longer than the tests may.

    So it hears late that a test has begun, when that one's worker waits already.
    """
    cpu_host.write("conftest.py", SLOW_CONTROLLER)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        @pytest.mark.gpupool(timeout=2)
        @pytest.mark.parametrize("case", range(4))
        def test_one(case): pass
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}
    assert set(run.exits.values()) <= {"finished", "cancelled"}
    waited = [test["waited_s"] for test in run.tests.values()]
    assert max(waited) > 2
    assert all(test["duration_s"] < 2 for test in run.tests.values())
    assert all(sum(test["phases"].values()) < 2 for test in run.tests.values())


QUESTION_THAT_CROSSES = """
    import threading, time
    import pytest
    from pytest_gpupool.values.messages import Ask
    from pytest_gpupool.worker.protocol.given_tests import GivenTests
    from pytest_gpupool.worker.protocol.interactor import Interactor

    sent, asked, hangs = threading.Event(), threading.Event(), threading.Event()
    old_say, old_rest = Interactor.say, GivenTests.rest

    def say(self, message):
        if hangs.is_set() and isinstance(message, Ask):
            assert sent.wait(200)
        old_say(self, message)
        if hangs.is_set() and isinstance(message, Ask):
            asked.set()

    def rest(self):
        if hangs.is_set():
            sent.set()
            assert asked.wait(200)
            open("rested", "w").close()
        old_rest(self)

    Interactor.say, GivenTests.rest = say, rest

    def pytest_runtest_call(item):
        if item.name == "test_hangs":
            hangs.set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(item):
        yield
        if item.name == "test_hangs":
            time.sleep(1000)
"""


def test_a_question_that_crossed_with_its_answer_stops_no_clock(cpu_host: Host) -> None:
    """The worker was told that there is no test for it now, asked before it heard that, and then its test hangs."""
    cpu_host.write("conftest.py", QUESTION_THAT_CROSSES)
    cpu_host.write(
        "test_suite.py",
        """
        import os, time
        import pytest

        def test_goes_on_until_the_other_worker_has_its_answer():
            while not os.path.exists("rested"): time.sleep(0.01)

        @pytest.mark.gpupool(timeout=2)
        def test_hangs(): pass

        @pytest.mark.gpupool(stage=1)
        def test_comes_later(): pass
        """,
    )
    run = cpu_host.pytest("-n2", "--gpupool-order=file")
    assert run.status == 1, run.output
    assert run.outcomes == {
        "test_goes_on_until_the_other_worker_has_its_answer": "passed",
        "test_hangs": "timeout",
        "test_comes_later": "passed",
    }


@pytest.mark.parametrize("limit", ["float('inf')", "1e12", "sys.maxsize"])
@pytest.mark.parametrize("workers", ["-n1", "-n0"])
def test_a_limit_beyond_all_clocks_is_none(cpu_host: Host, limit: str, workers: str) -> None:
    """And the clock of the others goes on."""
    cpu_host.write(
        "test_suite.py",
        f"""
        import sys, time
        import pytest

        @pytest.mark.gpupool(timeout={limit})
        def test_one(): time.sleep(0.2)

        @pytest.mark.gpupool(timeout=1)
        def test_two(): time.sleep(1000)
        """,
    )
    run = cpu_host.pytest(workers, "--gpupool-order=file")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_one": "passed", "test_two": "timeout"}


def test_stacks_come_although_a_fixture_has_put_all_handlers_back(cpu_host: Host) -> None:
    """Those that Python knows of, of every signal, after the test before and before this one."""
    cpu_host.write(
        "conftest.py",
        """
        import signal
        import pytest

        def handlers():
            return {number: signal.getsignal(number) for number in signal.valid_signals() if number not in (9, 19)}

        def put_back(known):
            for number, handler in known.items():
                if handler is not None:
                    signal.signal(number, handler)

        @pytest.fixture(autouse=True)
        def restored():
            known = handlers()
            put_back(known)
            yield
            put_back(known)
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        import time
        import pytest

        def test_a(): pass

        @pytest.mark.gpupool(timeout=1)
        def test_hangs(): time.sleep(600)
        """,
    )
    run = cpu_host.pytest("-n1", "--gpupool-order=file")
    assert (run.status, run.outcomes) == (1, {"test_a": "passed", "test_hangs": "timeout"})
    assert "its stacks then" in run.tests["test_hangs"]["message"]
    assert "in test_hangs" in run.tests["test_hangs"]["message"]

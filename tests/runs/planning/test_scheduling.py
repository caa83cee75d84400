"""Which test runs where and when, what a crash costs, and that every collected test has one result."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from suites import prepare
from support import Host, Run, wait_for


def counted(run: Run) -> Counter[str]:
    """The run's outcomes; fails where a test has more than one result or none."""
    tests = run.report["tests"]
    assert len({test["nodeid"] for test in tests}) == len(tests)
    return Counter(test["outcome"] for test in tests)


def exits(run: Run) -> dict[str, str]:
    """How each worker ended."""
    return {worker["id"]: worker["exit"] for worker in run.report["workers"]}


# The next test is chosen late


def test_no_test_waits_behind_a_long_one(host: Host) -> None:
    """A test that ends only when all others have ended gets none of them queued behind it."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from patience import lines, say, until

        def test_long():
            until(lambda: len(lines("done")) == 13, f"a test waits behind this one: {lines('done')}")

        @pytest.mark.parametrize("case", range(13))
        def test_short(case):
            say("done", case)
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert counted(run) == {"passed": 14}
    long_worker = run.tests["test_long"]["worker"]
    assert [test["nodeid"] for test in run.report["tests"] if test["worker"] == long_worker] == [
        "test_suite.py::test_long"
    ]


def test_tests_queued_behind_one_that_turns_out_long_are_taken_back(host: Host) -> None:
    """Short tests get a few ahead; where one of them is long after all, another worker runs what was queued."""
    prepare(host, workers=2)
    host.write(
        "test_suite.py",
        """
        import pytest
        from patience import lines, say, until

        @pytest.mark.parametrize("case", range(80))
        def test_case(case):
            if case == 30:
                until(lambda: len(lines("done")) == 79, f"only {len(lines('done'))} others could end")
            else:
                say("done", case)
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert counted(run) == {"passed": 80}


def test_tests_run_while_another_worker_still_collects(host: Host) -> None:
    """Tests begin with the first worker that has collected; a later one joins and takes its share."""
    prepare(host)
    host.write(
        "conftest.py",
        """
        from patience import WORKER, lines, until

        if WORKER == "gw1":
            until(lambda: lines("began"), "no test began before this worker had collected")
        """,
    )
    host.write(
        "test_suite.py",
        """
        from patience import lines, say, until

        def test_first():
            say("began")
            until(lambda: lines("second"), "the late worker took no test")

        def test_second():
            say("second")
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert {name: test["worker"] for name, test in run.tests.items()} == {"test_first": "gw0", "test_second": "gw1"}


def test_higher_priority_starts_earlier(host: Host) -> None:
    """Priority orders the tests, the nearest marker counts, and equals keep the order of the file."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from patience import say

        def test_plain(): say("order", "plain")

        @pytest.mark.gpupool(priority=-1)
        def test_last(): say("order", "last")

        @pytest.mark.gpupool(priority=5)
        class TestUrgent:
            def test_inherits(self): say("order", "inherits")

            @pytest.mark.gpupool(priority=7)
            def test_own(self): say("order", "own")

        def test_plain_too(): say("order", "plain too")
        """,
    )
    run = host.pytest("-n1")
    assert run.status == 0, run.output
    assert wait_for(host.project / "order") == ["own", "inherits", "plain", "plain too", "last"]


def test_hundreds_of_short_tests_run_once_each(host: Host) -> None:
    """300 tests of no duration on four workers: each runs once and has one result."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from patience import say

        @pytest.mark.parametrize("case", range(300))
        def test_case(case): say("ran", case)
        """,
    )
    run = host.pytest("-n4")
    assert run.status == 0, run.output
    assert counted(run) == {"passed": 300}
    assert sorted(map(int, wait_for(host.project / "ran"))) == list(range(300))
    assert len(run.junit) == 300


def test_fixtures_stay_as_long_as_plain_pytest_keeps_them(host: Host) -> None:
    """A module's fixture stays while the worker's next test is of that module; a session's goes once, at the end."""
    prepare(host)
    host.write(
        "conftest.py",
        """
        import pytest
        from patience import WORKER, lines, say, until

        @pytest.fixture(scope="session", autouse=True)
        def session():
            say("up", WORKER)
            until(lambda: len(lines("up")) >= 2, "not every worker got a test")
            say(WORKER, "session begins")
            yield
            say(WORKER, "session ends")

        @pytest.fixture(scope="module", autouse=True)
        def module(request):
            name = request.module.__name__
            say(WORKER, f"{name} begins")
            yield
            say(WORKER, f"{name} ends")

        @pytest.fixture(autouse=True)
        def each(request):
            say(WORKER, f"{request.module.__name__} test")
        """,
    )
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        host.write(name, "import pytest\n@pytest.mark.parametrize('case', range(6))\ndef test_case(case): pass\n")
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    for worker in ("gw0", "gw1"):
        history = wait_for(host.project / worker)
        modules = [line.removesuffix(" test") for line in history if line.endswith(" test")]
        expected = ["session begins"]
        for position, module in enumerate(modules):
            if position == 0 or modules[position - 1] != module:
                expected.append(f"{module} begins")
            expected.append(f"{module} test")
            if position + 1 == len(modules) or modules[position + 1] != module:
                expected.append(f"{module} ends")
        assert history == [*expected, "session ends"]


# Groups


GROUPED = """
    import os
    import pytest

    @pytest.mark.xdist_group("one-{number}")
    class TestOne:
        def test_a(self): pass
        def test_b(self): {crash}
        def test_c(self): pass
        def test_d(self): pass

    @pytest.mark.xdist_group(name="two")
    class TestTwo:
        def test_a(self): pass
        def test_b(self): pass

    @pytest.mark.xdist_group("{first}")
    @pytest.mark.xdist_group("{second}")
    def test_pair(): pass
"""


def marked_group(nodeid: str) -> str:
    """The group that GROUPED's marks make."""
    file, name = nodeid.split("::", 1)
    return f"one of {file}" if name.startswith("TestOne") else name.split("::")[0]


@pytest.mark.parametrize(
    ("mode", "group"),
    [
        ("loadfile", lambda nodeid: nodeid.split("::")[0]),
        ("loadscope", lambda nodeid: nodeid.rpartition("::")[0]),
        ("loadgroup", marked_group),
    ],
)
def test_a_group_stays_on_one_worker(host: Host, mode: str, group: Callable[[str], str]) -> None:
    """By file, scope or mark; where a group's worker dies, the rest of the group goes to one other worker."""
    prepare(host, workers=3)
    for number in range(3):
        first, second = ("x", "y") if number else ("y", "x")  # several marks are one group, in any order
        crash = "os._exit(3)" if number == 0 else "pass"
        host.write(f"test_{number}.py", GROUPED.format(number=number, first=first, second=second, crash=crash))
    run = host.pytest("-n3", "--dist", mode)
    assert run.status == 1, run.output
    assert counted(run) == {"passed": 20, "crashed": 1}
    groups = defaultdict(list)
    for test in run.report["tests"]:
        groups[group(test["nodeid"])].append(test)
    assert len(groups) == {"loadfile": 3, "loadscope": 9, "loadgroup": 5}[mode]
    for name, tests in groups.items():
        workers = [test["worker"] for test in tests]
        outcomes = [test["outcome"] for test in tests]
        if "crashed" in outcomes:
            position = outcomes.index("crashed")
            assert len(set(workers[: position + 1])) == 1, (name, workers)
            assert workers[position] not in (workers := workers[position + 1 :])
        assert len(set(workers)) == 1, (name, workers)


def test_dist_each_gives_a_result_per_worker(host: Host) -> None:
    """Under ``--dist each`` every worker runs every test, and each pair has its own result and metrics."""
    host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.parametrize("case", range(3))
        def test_case(case, record_metric, gpu):
            record_metric("pid", os.getpid())
        """,
    )
    run = host.pytest("-n2", "--dist", "each")
    assert run.status == 0, run.output
    pids = {worker["id"]: worker["pid"] for worker in run.report["workers"]}
    found = {(test["nodeid"], test["worker"]): test for test in run.report["tests"]}
    assert set(found) == {(f"test_suite.py::test_case[{case}]", worker) for case in range(3) for worker in pids}
    assert len(found) == len(run.report["tests"]) == run.report["run"]["finished"] == 6
    for (_, worker), test in found.items():
        assert test["outcome"] == "passed"
        assert [metric["value"] for metric in test["metrics"]] == [pids[worker]]


# Without workers


@pytest.mark.parametrize("args", [("-n0",), ("--dist", "no"), ("-p", "no:xdist")], ids=" ".join)
def test_without_workers_the_one_process_leases(host: Host, args: tuple[str, ...]) -> None:
    """Without xdist's workers pytest runs as ever, in a process that holds a device."""
    host.write(
        "test_suite.py",
        """
        import os

        def test_passes(gpu):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
            assert "PYTEST_XDIST_WORKER" not in os.environ

        def test_fails(): assert False
        """,
    )
    run = host.pytest(*args)
    assert run.status == 1
    assert "1 failed, 1 passed" in run.stdout
    assert run.outcomes == {"test_passes": "passed", "test_fails": "failed"}
    assert [test["worker"] for test in run.tests.values()] == ["main", "main"]
    assert exits(run).keys() == {"main"}


def test_what_only_informs_leases_and_writes_nothing(host: Host) -> None:
    """--collect-only, --help and the like work while nothing is leased, also with workers asked for."""
    host.write("test_suite.py", "def test_one(): pass\n")
    expected = {
        ("--collect-only",): "1 test collected",
        ("--collect-only", "-n4"): "1 test collected",
        ("--help", "-n4"): "--gpupool-devices",
        ("--version", "-n4"): "pytest ",
        ("--fixtures",): "record_metric",
        ("--fixtures", "-n4"): "record_metric",
        ("--markers", "-n4"): "@pytest.mark.gpupool",
    }
    for args, text in expected.items():
        run = host.pytest(*args)
        assert run.status == 0, (args, run.output)
        assert text in run.output, args
    left = {path.name for path in host.project.iterdir()}
    assert left - {"junit.xml"} == {"pytest.ini", "test_suite.py"}  # pytest writes its JUnit file even then
    assert not host.lock_dir.exists()


# What is left over


def test_the_first_failure_ends_a_plain_run(host: Host) -> None:
    """After -x the tests that did not run are in the report as not-run."""
    host.write(
        "test_suite.py",
        "def test_a(): pass\ndef test_b(): assert False\ndef test_c(): pass\ndef test_d(): pass\n",
    )
    run = host.pytest("-x")
    assert run.status == 1
    assert run.outcomes == {"test_a": "passed", "test_b": "failed", "test_c": "not-run", "test_d": "not-run"}
    assert "2 of 4 collected tests have no result (not-run): test_suite.py::test_c, test_suite.py::test_d" in run.stdout
    assert run.report["run"]["complete"] is False


def test_the_first_failure_ends_a_run_with_workers(host: Host) -> None:
    """After --maxfail=1 under -n2 no new test starts, and those that did not run are not-run."""
    prepare(host)
    host.write(
        "conftest.py",
        """
        import pytest
        from patience import WORKER, say

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if WORKER is None and report.failed:
                say("seen by the controller")
        """,
    )
    host.write(
        "test_suite.py",
        """
        import pytest
        from patience import lines, until

        def test_fails(): assert False

        @pytest.mark.parametrize("case", range(20))
        def test_case(case):
            until(lambda: lines("seen by the controller"), "the failure never came")
        """,
    )
    run = host.pytest("-n2", "--maxfail=1")
    assert run.status not in (0, 3), run.output
    outcomes = counted(run)
    assert outcomes["failed"] == 1
    assert outcomes["not-run"] >= 16  # two workers had one test, and at most one more on its way to them
    assert outcomes["passed"] + outcomes["not-run"] == 20
    assert run.report["run"]["finished"] == 21 - outcomes["not-run"]
    assert f"{outcomes['not-run']} of 21 collected tests have no result (not-run)" in run.stdout


# Crashes


def test_a_crash_blames_only_the_test_that_ran(host: Host) -> None:
    """Killed, exited or crashed: that one test is lost, with its metrics kept; everything else runs."""
    host.write(
        "test_suite.py",
        """
        import ctypes
        import os
        import signal
        import pytest

        def test_killed(record_metric):
            record_metric("loss", 0.25, unit="nats")
            os.kill(os.getpid(), signal.SIGKILL)

        def test_exits():
            os._exit(3)

        @pytest.mark.parametrize("case", range(40))
        def test_case(case):
            if case == 20:
                ctypes.string_at(0)
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 1, run.output
    assert counted(run) == {"passed": 39, "crashed": 3}
    crashed = {name: test for name, test in run.tests.items() if test["outcome"] == "crashed"}
    words = {
        "test_killed": "signal 9, SIGKILL",
        "test_exits": "exit status 3",
        "test_case[20]": "signal 11, SIGSEGV",
    }
    for name, test in crashed.items():
        assert test["message"].startswith(f"worker {test['worker']} died ({words[name]}) while it ran this test")
        assert test["started"]
        assert test["devices"]
    assert [(m["name"], m["value"], m["unit"]) for m in crashed["test_killed"]["metrics"]] == [("loss", 0.25, "nats")]
    ended = exits(run)
    assert {name: ended[test["worker"]] for name, test in crashed.items()} == {
        "test_killed": "killed",
        "test_exits": "crashed",
        "test_case[20]": "crashed",
    }
    # A replacement may come when nothing is left for it.
    others = Counter(how for how in ended.values() if how not in ("finished", "cancelled"))
    assert others == {"killed": 1, "crashed": 2}
    assert "loss" in run.stdout


def test_a_crash_in_a_session_fixtures_tear_down_is_the_last_tests(host: Host) -> None:
    """A worker that dies when its session ends costs the test whose tear-down it was, and the run ends."""
    prepare(host)
    host.write(
        "conftest.py",
        """
        import os
        import pytest

        @pytest.fixture(scope="session", autouse=True)
        def session():
            yield
            os._exit(7)
        """,
    )
    host.write("test_suite.py", "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n")
    run = host.pytest("-n1")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_a": "passed", "test_b": "passed", "test_c": "crashed"}
    assert "exit status 7" in run.tests["test_c"]["message"]
    assert set(exits(run).values()) <= {"crashed", "finished", "cancelled"}


def test_a_crash_after_the_last_test_loses_nothing(host: Host) -> None:
    """A worker that dies after its tests leaves their results, and is in the report as crashed."""
    host.write(
        "conftest.py",
        "import os\ndef pytest_sessionfinish():\n    if 'PYTEST_XDIST_WORKER' in os.environ: os._exit(7)\n",
    )
    host.write("test_suite.py", "def test_a(): pass\ndef test_b(record_metric): record_metric('m', 1)\n")
    run = host.pytest("-n1", "--max-worker-restart=0")
    assert run.outcomes == {"test_a": "passed", "test_b": "passed"}
    assert [metric["value"] for metric in run.tests["test_b"]["metrics"]] == [1]
    assert exits(run) == {"gw0": "crashed"}


def test_a_crash_of_every_worker_while_it_collects_ends_the_run(host: Host) -> None:
    """Where no worker gets through conftest.py the run fails, and does not hang."""
    host.write("conftest.py", "import os\nif 'PYTEST_XDIST_WORKER' in os.environ: os._exit(3)\n")
    host.write("test_suite.py", "def test_one(): pass\n")
    run = host.pytest("-n2")
    assert run.status not in (0, None), run.output
    assert run.report["run"]["complete"] is False
    assert {*exits(run).values()} - {"cancelled"} == {"crashed"}
    assert "Traceback" not in run.output


def test_without_restarts_the_rest_is_not_run(host: Host) -> None:
    """With --max-worker-restart=0 a crash ends the run, and what has no result is named."""
    host.write(
        "test_suite.py",
        "import os\ndef test_a(): pass\ndef test_b(): os._exit(3)\ndef test_c(): pass\ndef test_d(): pass\n",
    )
    run = host.pytest("-n1", "--max-worker-restart=0")
    assert run.status not in (0, 3), run.output
    assert run.outcomes == {"test_a": "passed", "test_b": "crashed", "test_c": "not-run", "test_d": "not-run"}
    assert exits(run) == {"gw0": "crashed"}
    assert "2 of 4 collected tests have no result (not-run)" in run.stdout


# How many workers


def test_no_more_workers_start_than_there_are_slots(make_host: Callable[..., Host]) -> None:
    """-n3 on two GPUs starts two workers, and says so."""
    host = make_host(2)
    host.write(
        "test_suite.py", "import pytest\n@pytest.mark.parametrize('case', range(4))\ndef test_case(case): pass\n"
    )
    run = host.pytest("-n3")
    assert run.status == 0, run.output
    assert "gpupool: 3 workers asked for, but the pool has 2 slots: starting 2" in run.stdout
    assert "gpupool: 2 GPUs (Stand-in GPU), 2 workers, one device each" in run.stdout
    assert exits(run).keys() == {"gw0", "gw1"}


def test_auto_starts_a_worker_per_free_slot(make_host: Callable[..., Host]) -> None:
    """-n auto counts the GPUs that no other run holds."""
    host = make_host(3)
    host.write(
        "holder/test_holder.py",
        """
        import pathlib, time

        def test_holds():
            pathlib.Path("held").write_text("held\\n")
            while not pathlib.Path("release").exists():
                time.sleep(0.01)
        """,
    )
    host.write("test_suite.py", "def test_gpu(gpu): assert gpu.is_gpu\n")
    holder = host.start("holder", "--gpupool-devices=1", "--gpupool-json=holder.json", "--junitxml=holder.xml")
    try:
        wait_for(host.project / "held")
        run = host.pytest("-nauto", "test_suite.py")
    finally:
        (host.project / "release").touch()
        holder.kill()
    assert run.status == 0, run.output
    assert "gpupool: 3 GPUs (Stand-in GPU), 2 workers, one device each" in run.stdout
    assert exits(run).keys() == {"gw0", "gw1"}

"""Workers may collect different tests: each test runs where it was collected, and none is lost without a word."""

from __future__ import annotations

from collections import defaultdict

from suites import prepare
from support import Host, Run

DIFFERENCE = "collected other tests than"


def workers_of(run: Run) -> dict[str, set[str]]:
    """Which workers ran each test, for the report names the last one only: by the part of the id before a bracket."""
    ran = defaultdict(set)
    for name, test in run.tests.items():
        ran[name.partition("[")[0]].add(test["worker"])
    return ran


def names(run: Run) -> set[str]:
    """The workers that were started."""
    return {worker["id"] for worker in run.report["workers"]}


def assert_all_passed(run: Run, *tests: str) -> None:
    assert run.status == 0, run.output
    assert run.outcomes == dict.fromkeys(tests, "passed")
    assert run.report["run"]["complete"] is True
    assert run.report["run"]["collected"] == len(tests)


def test_another_order_is_no_difference(cpu_host: Host) -> None:
    """As where parametrize goes by a set: both workers run tests, each the one that it was given, and nobody warns."""
    prepare(cpu_host, workers=2)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from patience import WORKER

        @pytest.mark.parametrize("case", list("abcdefgh")[:: -1 if WORKER == "gw1" else 1])
        def test_case(case, request):
            assert request.node.name == f"test_case[{case}]"
        """,
    )
    run = cpu_host.pytest("-n2")
    assert_all_passed(run, *(f"test_case[{case}]" for case in "abcdefgh"))
    assert workers_of(run) == {"test_case": {"gw0", "gw1"}}
    assert DIFFERENCE not in run.output


def test_what_one_worker_lacks_others_run(cpu_host: Host) -> None:
    """Though it is the first to collect, and done with its own before the others have collected."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from patience import WORKER, lines, say, until

        if WORKER != "gw0":
            until(lambda: lines("over"), "the first worker's test was never over")

        @pytest.mark.parametrize("case", range(1 if WORKER == "gw0" else 20))
        def test_case(case):
            say("over")
        """,
    )
    run = cpu_host.pytest("-n4")
    assert_all_passed(run, *(f"test_case[{case}]" for case in range(20)))
    assert names(run) == {"gw0", "gw1", "gw2", "gw3"}
    assert run.output.count(DIFFERENCE) == 1
    assert "only gw0" not in run.stdout
    assert ": test_suite.py::test_case[1]" in run.stdout


def test_each_worker_runs_what_it_alone_has(cpu_host: Host) -> None:
    """Random ids, say: the difference is told once, and no worker is started for it."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from patience import WORKER, lines, say, until

        def test_shared():
            say("up")

        @pytest.mark.parametrize("case", [f"{number}{WORKER[2:]}" for number in range(10)])
        def test_case(case):
            assert case.endswith(WORKER[2:])
        """,
    )
    run = cpu_host.pytest("-n3")
    cases = [f"test_case[{number}{worker}]" for worker in range(3) for number in range(10)]
    assert_all_passed(run, "test_shared", *cases)
    assert names(run) == {"gw0", "gw1", "gw2"}
    assert run.output.count(DIFFERENCE) == 1
    told = run.stdout[run.stdout.index("gpupool: warning") :].splitlines()
    assert told[7].startswith("  probably an id has a random value"), told


def test_parameters_of_all_tests_are_in_the_report(cpu_host: Host) -> None:
    """Also of those that the first worker lacks."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from patience import WORKER

        @pytest.mark.parametrize("case", [1] if WORKER == "gw0" else [2])
        def test_case(case): pass
        """,
    )
    run = cpu_host.pytest("-n2")
    assert {name: test["params"] for name, test in run.tests.items()} == {
        "test_case[1]": {"case": 1},
        "test_case[2]": {"case": 2},
    }


def test_what_nobody_has_any_more_is_not_run(cpu_host: Host) -> None:
    """Its worker died, and the one in its place does not have it, but others: the run is incomplete, and ends."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest
        from patience import WORKER

        def test_dies():
            os._exit(1)

        @pytest.mark.parametrize("case", [WORKER, "all"])
        def test_case(case): pass
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.status == 1
    assert run.outcomes == {
        "test_dies": "crashed",
        "test_case[gw0]": "not-run",
        "test_case[all]": "passed",
    }
    assert run.report["run"]["complete"] is False
    assert names(run) == {"gw0", "gw1"}
    assert "1 of 3 collected tests has no result (not-run): test_suite.py::test_case[gw0]" in run.stdout
    assert "probably an id has the name of the worker" in run.stdout
    assert "gpupool: warning: gw1 came later and found test_suite.py::test_case[gw1], which no worker had" in run.stdout


def test_a_file_that_is_saved_meanwhile_costs_no_test(cpu_host: Host) -> None:
    """A worker that has all that is to do is taken, whatever it has besides; that is none of the run's, and said."""
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pathlib
        import pytest

        def test_saves():
            pathlib.Path("test_another.py").write_text("def test_new(): pass\\n")

        def test_dies():
            os._exit(1)

        @pytest.mark.parametrize("case", range(3))
        def test_case(case): pass
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.status == 1
    cases = {f"test_case[{case}]": "passed" for case in range(3)}
    assert run.outcomes == {"test_saves": "passed", "test_dies": "crashed", **cases}
    assert run.report["run"]["complete"] is True
    assert "gw1 found test_another.py::test_new, which this run leaves out" in run.stdout
    assert DIFFERENCE not in run.output


def test_devices_may_be_parameters_beside_tests_of_several_devices(host: Host) -> None:
    """A worker of two devices collects more of them than others, and runs what they lack; that is no surprise."""
    host.write(
        "test_suite.py",
        """
        import os
        import pytest

        COUNT = len(os.environ["CUDA_VISIBLE_DEVICES"].split(","))

        @pytest.mark.parametrize("device", range(COUNT))
        def test_each(device):
            assert device < len(os.environ["CUDA_VISIBLE_DEVICES"].split(","))

        @pytest.mark.gpupool(gpus=2)
        def test_two(gpu):
            assert gpu.count == 2
        """,
    )
    run = host.pytest("-n2")
    assert_all_passed(run, "test_each[0]", "test_each[1]", "test_two")
    assert run.tests["test_each[1]"]["worker"] == run.tests["test_two"]["worker"]
    assert DIFFERENCE not in run.output


def test_a_stolen_or_crashed_test_is_the_same_by_everybodys_numbers(cpu_host: Host) -> None:
    """Workers of which each has another order: no test runs twice, and who is blamed has crashed."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import random
        import time
        import pytest
        from patience import WORKER, say

        CASES = list(range(60))
        random.Random(WORKER).shuffle(CASES)

        @pytest.mark.parametrize("case", CASES)
        def test_case(case):
            say("ran", case)
            if case == 7:
                os._exit(1)
            if case % 20 == 0:
                time.sleep(0.3)
        """,
    )
    run = cpu_host.pytest("-n4")
    assert run.status == 1
    outcomes = {f"test_case[{case}]": "passed" for case in range(60)}
    assert run.outcomes == {**outcomes, "test_case[7]": "crashed"}
    ran = (run.directory / "ran").read_text().split()
    assert sorted(map(int, ran)) == list(range(60))
    assert run.report["run"]["complete"] is True


def test_who_goes_on_for_a_dead_worker_may_have_another_order(cpu_host: Host) -> None:
    """With --dist each: it runs what the dead one had not, by its own numbers, as far as it has it."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest
        from patience import WORKER

        CASES = ["a", "dies", "b", "c", "lacked"]

        @pytest.mark.parametrize("case", ["more", "c", "b", "dies"] if WORKER == "gw2" else CASES)
        def test_case(case):
            if case == "dies" and WORKER == "gw0":
                os._exit(1)
        """,
    )
    run = cpu_host.pytest("-n2", "--dist=each")
    assert run.status == 1
    tests = run.report["tests"]
    found = {(test["nodeid"].partition("[")[2], test["worker"]): test["outcome"] for test in tests}
    assert {case for case, worker in found if worker == "gw1"} == {"a]", "dies]", "b]", "c]", "lacked]"}
    others = {case: outcome for case, outcome in found.items() if case[1] != "gw1"}
    assert others == {
        ("a]", "gw0"): "passed",
        ("dies]", "gw0"): "crashed",
        ("b]", "gw2"): "passed",
        ("c]", "gw2"): "passed",
        ("lacked]", None): "not-run",
    }
    assert run.report["run"]["complete"] is False

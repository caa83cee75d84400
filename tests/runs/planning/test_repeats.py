"""Tests that are measured several times: repeats are handed out one by one, and make one result."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest
from program import gpupool
from support import Host, Run, Watched

each_way = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])


def repeats(run: Run, test: str) -> list[dict[str, Any]]:
    """The repeats of a test."""
    found: list[dict[str, Any]] = run.tests[test]["repeats"]
    return found


@each_way
def test_they_make_one_test(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """One id, one dot, one testcase, one value with its spread; the report has each."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        class TestIt:
            @pytest.mark.gpupool(repeats=4)
            @pytest.mark.parametrize("scale", [1, 10])
            def test_a(self, scale, gpu, record_metric):
                assert not hasattr(self, "seen")  # an instance of its own
                self.seen = True
                record_metric("score", scale * gpu.repeat, higher_is_better=True)

        def test_once(gpu, record_metric):
            assert gpu.repeat == 0
            record_metric("score", 7)
        """,
    )
    run = cpu_host.pytest(*workers)
    assert (run.status, set(run.outcomes.values())) == (0, {"passed"}), run.output
    assert list(run.outcomes) == ["TestIt::test_a[1]", "TestIt::test_a[10]", "test_once"]
    assert "3 passed" in run.stdout
    assert re.search(r"\[100%\]\s*\n", run.stdout), run.stdout
    assert not workers or "[3 items]" in run.stdout
    assert sorted(run.junit_outcomes) == ["test_a[10]", "test_a[1]", "test_once"]
    assert (run.report["run"]["collected"], run.report["run"]["finished"]) == (3, 3)
    (metric,) = run.tests["TestIt::test_a[10]"]["metrics"]
    assert (metric["value"], metric["repeated"]["count"], metric["repeated"]["mean"]) == (15.0, 4, 15.0)
    assert metric["repeated"]["spread"] == pytest.approx(12.909944487358056)
    assert [one["repeat"] for one in repeats(run, "TestIt::test_a[10]")] == [0, 1, 2, 3]
    assert [one["metrics"] for one in repeats(run, "TestIt::test_a[10]")] == [{"score": 10 * n} for n in range(4)]
    assert "15 ± 13 over 4 repeats" in run.stdout
    assert run.junit["test_a[10]"]["gpupool.metric.score"] == "15.0"
    assert run.tests["TestIt::test_a[1]"]["duration_s"] >= max(
        one["duration_s"] for one in repeats(run, "TestIt::test_a[1]")
    )
    assert repeats(run, "test_once") == []


def test_any_worker_may_have_one(cpu_host: Host) -> None:
    """Two at once: each waits for the other."""
    cpu_host.write(
        "test_suite.py",
        """
        import pathlib, time
        import pytest

        @pytest.mark.gpupool(repeats=2)
        def test_a(gpu):
            pathlib.Path(f"here{gpu.repeat}").touch()
            while not pathlib.Path(f"here{1 - gpu.repeat}").exists():
                time.sleep(0.01)
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 0, run.output
    assert {one["worker"] for one in repeats(run, "test_a")} == {"gw0", "gw1"}


SOME_FAIL = """
    import pytest

    @pytest.mark.gpupool(repeats=3)
    def test_all(gpu):
        assert gpu.repeat != 1

    @pytest.mark.gpupool(repeats=3, at_least=2)
    def test_two(gpu):
        assert gpu.repeat != 1

    @pytest.mark.gpupool(repeats=3, at_least=1)
    def test_none(gpu):
        assert False

    @pytest.mark.gpupool(repeats=2)
    def test_skipped():
        pytest.skip("not today")

    @pytest.mark.gpupool(repeats=2)
    @pytest.mark.xfail
    def test_expected():
        assert False
"""


@each_way
def test_as_many_must_pass_as_the_marker_says(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """All where it says nothing; which have not passed is told."""
    cpu_host.write("test_suite.py", SOME_FAIL)
    run = cpu_host.pytest(*workers)
    assert (run.status, run.outcomes) == (
        1,
        {"test_all": "failed", "test_two": "passed", "test_none": "failed", "test_skipped": "skipped"}
        | {"test_expected": "xfailed"},
    )
    assert "2 failed, 1 passed, 1 skipped, 1 xfailed" in run.stdout
    assert run.junit_outcomes["test_two"] == "passed"
    assert run.junit_outcomes["test_all"] == "failure"
    message = run.tests["test_all"]["message"]
    assert message.startswith("2 of 3 repeats passed, 3 must\n#r1 failed: ")
    assert "assert gpu.repeat != 1" in message
    assert run.tests["test_none"]["message"].startswith("0 of 3 repeats passed, 1 must")


@each_way
def test_the_first_failure_that_counts_stops_the_run(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """With ``-x``: that of a repeat is none."""
    cpu_host.write("test_suite.py", "import pytest\n" + "".join(
        f"@pytest.mark.gpupool(repeats=2, at_least={least})\ndef test_{name}(gpu): assert gpu.repeat == 1\n"
        for name, least in [("a", 1), ("b", 2), ("c", 1)]
    ))  # fmt: skip
    run = cpu_host.pytest("-x", "--gpupool-order=file", *(("-n1",) if workers else ()))
    assert run.outcomes["test_a"] == "passed"
    assert run.outcomes["test_b"] == "failed"
    assert run.outcomes["test_c"] == "not-run"
    assert "1 failed, 1 passed" in run.stdout


def test_one_that_crashes_is_a_failure_of_its_own(cpu_host: Host) -> None:
    """The test may pass all the same."""
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.gpupool(repeats=3, at_least=2)
        def test_two(gpu):
            if gpu.repeat == 1: os._exit(3)

        @pytest.mark.gpupool(repeats=2)
        def test_all(gpu, record_metric):
            record_metric("score", 1)
            if gpu.repeat == 0: os._exit(3)
        """,
    )
    run = cpu_host.pytest("-n2")
    assert (run.status, run.outcomes) == (1, {"test_two": "passed", "test_all": "crashed"}), run.output
    assert [one["outcome"] for one in repeats(run, "test_two")] == ["passed", "crashed", "passed"]
    assert "#r0 crashed: worker gw" in run.tests["test_all"]["message"]
    assert run.junit_outcomes == {"test_two": "passed", "test_all": "error"}
    assert "1 passed, 1 error" in run.stdout


@each_way
def test_the_option_is_for_tests_that_say_nothing(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """The marker's value wins; its other keys count for the option's repeats as well."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        def test_plain(): pass

        @pytest.mark.gpupool(repeats=1)
        def test_once(): pass

        @pytest.mark.gpupool(reduce="worst", at_least=1)
        def test_some(gpu, record_metric):
            record_metric("acc", gpu.repeat, higher_is_better=False)
            assert gpu.repeat
        """,
    )
    run = cpu_host.pytest("--gpupool-repeats=3", *workers)
    assert run.status == 0, run.output
    assert {name: len(test["repeats"]) for name, test in run.tests.items()} == {
        "test_plain": 3,
        "test_once": 0,
        "test_some": 3,
    }
    assert run.metrics("test_some") == {"acc": 2}
    bad = cpu_host.pytest("--gpupool-repeats=0")
    assert bad.status == 4
    assert "--gpupool-repeats=0: give a whole number from 1" in bad.stderr


@each_way
def test_they_are_judged_as_one(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """What each has measured is no regression; their mean is one, and fails the test in one line."""
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.gpupool(repeats=2)
        def test_a(gpu, record_metric):
            record_metric("acc", float(os.environ["ACCURACY"]) + (0.1 if gpu.repeat else -0.1), higher_is_better=True)
        """,
    )

    def run_with(accuracy: float, *args: str) -> Run:
        environ = cpu_host.environ(ACCURACY=str(accuracy))
        return cpu_host.pytest("--gpupool-baseline=b.json", *workers, *args, environ=environ)

    assert run_with(0.5, "--gpupool-update-baseline").status == 0
    (entry,) = json.loads((cpu_host.project / "b.json").read_text())["entries"]
    assert (entry["test"], entry["value"]) == ("test_suite.py::test_a", 0.5)
    run = run_with(0.5)
    assert (run.status, run.tests["test_a"]["metrics"][0]["verdict"]) == (0, "ok")
    run = run_with(0.4)
    assert (run.status, run.outcomes) == (1, {"test_a": "failed"})
    assert run.tests["test_a"]["message"].startswith("acc 0.4 regressed: baseline 0.5")
    assert run.tests["test_a"]["judged"] is True
    assert [one["outcome"] for one in repeats(run, "test_a")] == ["passed", "passed"]
    assert run.junit["test_a"]["gpupool.verdict.acc"] == "regressed"


@each_way
def test_a_run_that_was_killed_goes_on_with_those_that_are_left(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Those that have ended are kept, and make the result with the others; so ``gpupool report`` says, too."""
    cpu_host.write(
        "conftest.py",
        """
        import os, pathlib

        def pytest_configure(config):
            if not hasattr(config, "workerinput"):
                pathlib.Path("controller").write_text(str(os.getpid()))
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        import os, pathlib, time
        import pytest

        @pytest.mark.gpupool(repeats=3)
        def test_a(gpu, record_metric):
            record_metric("score", gpu.repeat, higher_is_better=True)
            with open("ran", "a") as file: file.write(f"{gpu.repeat}\\n")
            if gpu.repeat == 2 and not pathlib.Path("again").exists():
                pathlib.Path("again").touch()
                os.kill(int(pathlib.Path("controller").read_text()), 9)
                time.sleep(600)
        """,
    )
    first = Watched(cpu_host, *(("-n1",) if workers else ()), "--gpupool-order=file").finish()
    assert first.status == -signal.SIGKILL
    gpupool(cpu_host, "report", "latest", "--json", "killed.json")
    killed = json.loads((cpu_host.project / "killed.json").read_text())
    assert [test["outcome"] for test in killed["tests"]] == ["not-run"]
    assert [one["outcome"] for one in killed["tests"][0]["repeats"]][:2] == ["passed", "passed"]
    run = cpu_host.pytest("--gpupool-resume", *workers)
    assert (run.status, run.outcomes, run.metrics("test_a")) == (0, {"test_a": "passed"}, {"score": 1.0}), run.output
    assert (cpu_host.project / "ran").read_text().split() == ["0", "1", "2", "2"]
    assert "2 of 3 results kept" in run.stdout
    assert gpupool(cpu_host, "report", "latest", "--json", "again.json")[0] == 0
    assert json.loads((cpu_host.project / "again.json").read_text())["tests"] == run.report["tests"]


def test_a_test_all_of_whose_repeats_are_kept(cpu_host: Host) -> None:
    """It is one result, as in the earlier run."""
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.gpupool(repeats=2)
        def test_a(record_metric): record_metric("score", 1)
        def test_b(): raise KeyError
        """,
    )
    first = cpu_host.pytest().report["run"]["id"]
    run = cpu_host.pytest(f"--gpupool-resume={first}")
    assert run.outcomes == {"test_a": "passed", "test_b": "failed"}
    assert run.metrics("test_a") == {"score": 1}
    assert run.tests["test_a"]["run"] == first
    assert len(repeats(run, "test_a")) == 2


def test_another_try_at_one_is_an_attempt(cpu_host: Host) -> None:
    """By pytest-rerunfailures."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        tries = []

        @pytest.mark.flaky(reruns=1)
        @pytest.mark.gpupool(repeats=2)
        def test_a(gpu, record_metric):
            tries.append(gpu.repeat)
            record_metric("tries", len(tries))
            assert tries.count(gpu.repeat) == 2
        """,
    )
    for workers in [(), ("-n1",)]:
        run = cpu_host.pytest(*workers, companions=("rerunfailures",))
        assert (run.status, run.outcomes) == (0, {"test_a": "passed"}), run.output
        assert "1 passed, 2 rerun" in run.stdout
        assert [one["metrics"] for one in repeats(run, "test_a")] == [{"tries": 2}, {"tries": 4}]
        assert run.junit_outcomes == {"test_a": "passed"}


def test_where_every_worker_runs_every_test_none_is_repeated(cpu_host: Host) -> None:
    """``--dist each`` repeats them anyway."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.gpupool(repeats=3)
        def test_a(gpu): assert not gpu.repeat
        """,
    )
    run = cpu_host.pytest("-n2", "--dist=each")
    assert run.status == 0, run.output
    assert [test["repeats"] for test in run.report["tests"]] == [[], []]


@each_way
def test_a_marker_that_makes_no_sense_is_its_tests_error(cpu_host: Host, workers: tuple[str, ...]) -> None:
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.gpupool(repeats=2, at_least=3)
        def test_more(): pass

        @pytest.mark.gpupool(repeats=2, reduce="sum")
        def test_reducer(): pass

        @pytest.mark.gpupool(repeats=2, reduce="best")
        def test_direction(record_metric): record_metric("m", 1)
        """,
    )
    run = cpu_host.pytest(*workers)
    message = {name: test["message"] for name, test in run.tests.items()}
    assert "repeats=2, at_least=3): so many cannot pass" in message["test_more"]
    assert "reduce must be one of mean, median, best, worst, pass_at_k" in message["test_reducer"]
    assert message["test_direction"] == "metric 'm': reduce='best' needs higher_is_better=True or False"
    assert run.outcomes == {"test_more": "error", "test_reducer": "error", "test_direction": "failed"}


@each_way
def test_what_pytest_repeat_makes_of_a_test_are_its_repeats(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """By ``--count`` and by its mark, with parameters and without; times those that the marker asks for."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        def test_plain(gpu, record_metric): record_metric("number", gpu.repeat)

        @pytest.mark.parametrize("size", ["a", "2-3"])
        def test_size(size, gpu, record_metric): record_metric("number", gpu.repeat)

        @pytest.mark.repeat(2)
        @pytest.mark.gpupool(repeats=2, at_least=1, reduce="median")
        def test_both(gpu, record_metric):
            record_metric("number", gpu.repeat)
            assert gpu.repeat == 3

        @pytest.mark.repeat(1)
        def test_once(gpu): assert gpu.repeat == 0
        """,
    )
    run = cpu_host.pytest("--count=3", *workers, companions=["repeat"])
    assert (run.status, set(run.outcomes.values())) == (0, {"passed"}), run.output
    assert sorted(run.outcomes) == ["test_both", "test_once", "test_plain", "test_size[2-3]", "test_size[a]"]
    assert "5 passed" in run.stdout
    assert {name: len(repeats(run, name)) for name in run.outcomes} == {
        "test_both": 4,
        "test_once": 0,
        "test_plain": 3,
        "test_size[2-3]": 3,
        "test_size[a]": 3,
    }
    numbers = [one["metrics"]["number"] for one in repeats(run, "test_size[2-3]")]
    assert (numbers, run.metrics("test_plain")) == ([0, 1, 2], {"number": 1.0})
    assert (run.tests["test_size[a]"]["params"], run.tests["test_plain"]["params"]) == ({"size": "a"}, {})
    assert run.metrics("test_both") == {"number": 1.5}
    assert sorted(run.junit_outcomes) == sorted(run.outcomes)

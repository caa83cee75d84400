"""Metrics that are judged over many tests: found to have changed where no single test is, and told in every report."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from program import gpupool
from support import Host, Run

FILE = "--gpupool-baseline=baseline.json"
UPDATE = "--gpupool-update-baseline"
each_way = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])

# A hundred questions for each of two models, of which one forgets.
SUITE = """
    import os
    import pytest, pytest_gpupool

    RIGHT = {"small": 67, "large": int(os.environ.get("LARGE", 80))}

    @pytest_gpupool.aggregate("accuracy", of="correct", by=("model",), higher_is_better=True, atol=0.01)
    @pytest.mark.parametrize("model", RIGHT)
    @pytest.mark.parametrize("question", range(100))
    def test_qa(model, question, record_metric):
        record_metric("correct", question < RIGHT[model], n=1, higher_is_better=True)
"""

FEW = """
    import os
    import pytest, pytest_gpupool

    @pytest_gpupool.aggregate("accuracy", of="correct", floor=0.6)
    @pytest.mark.parametrize("question", range(5))
    def test_qa(question, record_metric):
        if os.environ.get("BROKEN") == str(question):
            os._exit(3)
        record_metric("correct", question < int(os.environ.get("RIGHT", 4)), n=1)
"""


def groups(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The aggregates of a report by the part of their id after the file."""
    return {one["id"].split("::")[-1]: one for one in report["aggregates"]}


def told(run: Run) -> dict[str, tuple[str, str | None]]:
    """What became of each, and its verdict."""
    return {name: (one["outcome"], one["verdict"]) for name, one in groups(run.report).items()}


@each_way
def test_a_fall_that_no_single_test_shows_fails_the_run(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """With two hundred tests of one item each: only the model that forgets; said everywhere, and found again."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest(*workers, FILE, UPDATE)
    assert run.status == 0, run.output
    assert told(run)["test_qa (model=large)"] == ("passed", "no-baseline")
    same = cpu_host.pytest(*workers, FILE)
    assert (same.status, set(told(same).values())) == (0, {("passed", "ok")}), same.output
    (cpu_host.project / "report.json").rename(cpu_host.project / "same.json")
    environ = cpu_host.environ(LARGE="60")
    run = cpu_host.pytest(*workers, FILE, "--gpupool-markdown=told.md", "--gpupool-html=told.html", environ=environ)
    assert run.status == 1
    assert told(run) == {"test_qa (model=small)": ("passed", "ok"), "test_qa (model=large)": ("failed", "regressed")}
    assert set(run.outcomes.values()) == {"passed"}
    assert "1 failed, 200 passed" in run.stdout
    large = groups(run.report)["test_qa (model=large)"]
    assert (large["value"], large["baseline"], large["tests"], large["missing"]) == (0.6, 0.8, 100, 0)
    assert (large["group"], large["test"], large["kind"]) == (
        {"model": "large"},
        "test_suite.py::test_qa",
        "proportion",
    )
    # McNemar's exact test of 20 that were lost and none won, and Holm's rule over the two aggregates.
    assert large["p"] == pytest.approx(2 * 0.5**20)
    assert re.search(r"\nFAILED test_suite.py::test_qa \(model=large\) - ", run.stdout)
    row = r"\ntest_qa \(model=large\) +accuracy +0.6 +baseline 0.8 +-20 points .*REGRESSED"
    assert re.search(row, run.stdout), run.stdout
    case = "test_qa (model=large) accuracy"
    assert run.junit_outcomes[case] == "failure"
    assert run.junit_outcomes["test_qa (model=small) accuracy"] == "passed"
    properties = {"gpupool.metric.accuracy": "0.6", "gpupool.verdict.accuracy": "regressed"}
    assert run.junit[case] == properties
    assert "| **regressed** | <code>test&#95;suite.py::test&#95;qa (model=large)" in (
        cpu_host.project / "told.md"
    ).read_text(encoding="utf-8")
    page = (cpu_host.project / "told.html").read_text(encoding="utf-8")
    assert page.index('id="aggregates"') < page.index("<code>test_suite.py::test_qa (model=large)</code>")
    _found_again(cpu_host, run)


def _found_again(host: Host, run: Run) -> None:
    """The program says the same of a run with a fall as that did."""
    assert gpupool(host, "report", "latest", "--json", "again.json", "--junit", "junit.xml")[0] == 0
    again = json.loads((host.project / "again.json").read_text(encoding="utf-8"))
    assert again["aggregates"] == run.report["aggregates"]
    assert run.junit_outcomes["test_qa (model=large) accuracy"] == "failure"
    status, out, _ = gpupool(host, "compare", "same.json", "report.json")
    assert status == 1
    assert re.search(r"REGRESSED +test_suite.py::test_qa \(model=large\) +accuracy +0.8 +0.6 +-20 points", out)
    _, out, _ = gpupool(host, "matrix", "latest", "--metric", "accuracy")
    assert re.search(r"small +0.67\nlarge +0.6\n", out)
    _, out, _ = gpupool(host, "history", "(model=large)", "accuracy")
    assert re.findall(r" (0\.\d+) ", out.split("\n\n")[1]) == ["0.8", "0.8", "0.6"]
    name = "test_suite.py::test_qa (model=large)::accuracy"
    _, out, err = gpupool(host, "baseline", "update", "baseline.json", "--accept", name, "--reason", "smaller")
    assert "1 entry written" in out, err
    assert host.pytest(FILE, environ=host.environ(LARGE="60")).status == 0


@each_way
def test_a_floor_needs_no_baseline(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """What is below it fails the run, also where fewer verdicts do; where none does it is told."""
    cpu_host.write("test_suite.py", FEW)
    run = cpu_host.pytest(*workers)
    assert (run.status, told(run)) == (0, {"test_qa (all)": ("passed", None)}), run.output
    environ = cpu_host.environ(RIGHT="2")
    run = cpu_host.pytest(*workers, environ=environ)
    assert (run.status, told(run)) == (1, {"test_qa (all)": ("failed", "regressed")})
    assert groups(run.report)["test_qa (all)"]["message"] == (
        "accuracy 0.4 regressed: below its floor of 0.6, over 5 tests"
    )
    assert "1 failed, 5 passed" in run.stdout
    assert run.report["run"]["exit_status"] == 1
    run = cpu_host.pytest(*workers, "--gpupool-fail-on=none", environ=environ)
    assert (run.status, told(run)) == (0, {"test_qa (all)": ("passed", "regressed")})


def test_a_group_that_is_not_whole_is_not_judged_until_a_resume_has_the_rest(cpu_host: Host) -> None:
    """Neither are results thrown away, nor is a part taken for the whole."""
    cpu_host.write("test_suite.py", FEW)
    run = cpu_host.pytest("-n2", environ=cpu_host.environ(BROKEN="1", RIGHT="2"))
    assert run.status == 1
    assert told(run) == {"test_qa (all)": ("incomplete", None)}
    (one,) = run.report["aggregates"]
    assert (one["tests"], one["missing"], one["message"]) == (4, 1, "not judged: 1 of 5 tests has no value")
    assert "not judged: 1 of 5 tests has no value" in run.stdout
    assert run.junit_outcomes["test_qa (all) accuracy"] == "skipped"
    run = cpu_host.pytest("-n2", "--gpupool-resume", environ=cpu_host.environ(RIGHT="2"))
    assert "4 of 5 results kept" in run.stdout, run.output
    assert (run.status, told(run)) == (1, {"test_qa (all)": ("failed", "regressed")})
    again = cpu_host.pytest("-n2", "--gpupool-resume", environ=cpu_host.environ(RIGHT="4"))
    assert (again.status, told(again)) == (0, {"test_qa (all)": ("passed", None)})  # complete: a new run


@pytest.mark.parametrize("baseline", [False, True], ids=["floor", "baseline"])
def test_a_run_that_was_killed_before_it_was_judged_is_judged_by_its_report(cpu_host: Host, *, baseline: bool) -> None:
    """By the same rules."""
    cpu_host.write("test_suite.py", FEW)
    if baseline:
        assert cpu_host.pytest(FILE, UPDATE).status == 0
    cpu_host.write(
        "conftest.py",
        """
        import os, signal, pytest

        @pytest.hookimpl(tryfirst=True, wrapper=True)
        def pytest_sessionfinish():
            os.kill(os.getpid(), signal.SIGKILL)
            yield
        """,
    )
    args = (FILE,) if baseline else ()
    assert cpu_host.pytest(*args, environ=cpu_host.environ(RIGHT="1")).status == -9
    assert gpupool(cpu_host, "report", "latest", "--json", "killed.json")[0] == 0
    (one,) = json.loads((cpu_host.project / "killed.json").read_text(encoding="utf-8"))["aggregates"]
    assert (one["outcome"], one["verdict"]) == ("failed", "regressed")
    assert (one["baseline"] is not None) is baseline


def test_classes_files_and_the_ini_file(cpu_host: Host) -> None:
    """All that they hold is one aggregate; functions that record something else have no part in it."""
    cpu_host.write(
        "evals/test_suite.py",
        """
        import pytest, pytest_gpupool

        pytestmark = [pytest_gpupool.aggregate("best", of="score", reduce="max")]

        @pytest_gpupool.aggregate("mean score", of="score", by=["size"], floor=1)
        class TestIt:
            @pytest.mark.parametrize("size", [1, 2])
            def test_a(self, size, record_metric): record_metric("score", float(size))

            @pytest.mark.parametrize("size", [1, 2])
            def test_b(self, size, record_metric): record_metric("score", 10.0 * size)

        def test_c(record_metric): record_metric("score", 7.0)

        def test_none(record_metric): record_metric("other", 3)
        """,
    )
    cpu_host.write(
        "pytest.ini",
        """
        [pytest]
        gpupool_aggregates =
            evals/test_suite.py total of=score reduce=sum
            evals/ 'worst size' of=score by=size reduce=worst_group higher_is_better=true floor=6
            elsewhere/test_no.py::test_x some of=score
        """,
    )
    run = cpu_host.pytest("evals")
    assert run.status == 1, run.output
    values = {(one["id"], one["name"]): (one["value"], one["tests"]) for one in run.report["aggregates"]}
    file = "evals/test_suite.py"
    assert values == {
        (f"{file} (all)", "best"): (20.0, 5),
        (f"{file}::TestIt (size=1)", "mean score"): (5.5, 2),
        (f"{file}::TestIt (size=2)", "mean score"): (11.0, 2),
        (f"{file} (all)", "total"): (40.0, 5),
        ("evals (all)", "worst size"): (5.5, 2),
    }
    worst = next(one for one in run.report["aggregates"] if one["name"] == "worst size")
    assert worst["note"] == "below its floor of 6; worst group: size=1"


def test_tests_that_were_left_out_hold_up_their_group_alone(cpu_host: Host) -> None:
    """By ``-k``, by ids, by the last failures."""
    cpu_host.write("test_suite.py", SUITE.replace("range(100)", "range(3)"))
    run = cpu_host.pytest("-k", "small or 1")
    assert told(run) == {"test_qa (model=small)": ("passed", None), "test_qa (model=large)": ("incomplete", None)}
    assert groups(run.report)["test_qa (model=large)"]["message"] == "not judged: 2 of its tests were deselected"
    run = cpu_host.pytest("-n1", "test_suite.py::test_qa[1-small]")
    assert told(run) == {"test_qa (model=small)": ("incomplete", None)}
    assert "a part of its tests was chosen: test_suite.py::test_qa[1-small]" in run.stdout
    run = cpu_host.pytest("test_suite.py::test_qa")
    assert set(told(run).values()) == {("passed", None)}


MISUSES = {
    "by": (
        "@pytest_gpupool.aggregate('a', of='m', by=['modl'])",
        "aggregate 'a' of test_suite.py::test_it: by='modl' is no parameter of its tests; there are model",
    ),
    "twice": (
        "@pytest_gpupool.aggregate('a', of='m')\n@pytest_gpupool.aggregate('a', of='m', reduce='max')",
        "test_suite.py::test_it has two aggregates called 'a': give each a name of its own",
    ),
    "metric": (
        "@pytest_gpupool.aggregate('a', of='n')",
        "aggregate 'a' of test_suite.py::test_it: no test recorded a metric 'n'; they recorded m",
    ),
    "reducer": (
        "@pytest_gpupool.aggregate('a', of='m', reduce='average')",
        "aggregate 'a': reduce is one of mean, median, min, max, sum, geometric_mean, worst_group, not 'average'",
    ),
    "mean": (
        "@pytest_gpupool.aggregate('a', of='m', reduce='geometric_mean')",
        "aggregate 'a' of test_suite.py::test_it (all): a geometric mean is of numbers above 0, and a test has 0",
    ),
}


@each_way
@pytest.mark.parametrize("misuse", MISUSES)
def test_what_makes_no_sense_is_told_and_no_success(cpu_host: Host, misuse: str, workers: tuple[str, ...]) -> None:
    """In one sentence."""
    decorators, words = MISUSES[misuse]
    test = "@pytest.mark.parametrize('model', [0, 1])\ndef test_it(model, record_metric): record_metric('m', model)\n"
    cpu_host.write("test_suite.py", f"import pytest, pytest_gpupool\n{decorators}\n{test}")
    run = cpu_host.pytest(*workers)
    assert run.status in (1, 2, 4), run.output
    assert words in run.output


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("test_suite.py::test_no a of=m", "there is no such test; there are test_suite.py::test_qa"),
        ("test_suite.py::test_qa accuracy of=correct", "has two aggregates called 'accuracy'"),
        ("test_suite.py::test_qa a of=correct flor=1", "it has no 'flor'; did you mean 'floor'?"),
    ],
)
def test_what_makes_no_sense_in_the_ini_file(cpu_host: Host, line: str, words: str) -> None:
    """The line is named, or the test."""
    cpu_host.write("test_suite.py", FEW)
    cpu_host.write("pytest.ini", f"[pytest]\ngpupool_aggregates =\n    {line}\n")
    run = cpu_host.pytest()
    assert run.status == 4, run.output
    assert words in run.output


def test_where_the_pool_is_off_the_decorator_does_nothing(cpu_host: Host) -> None:
    """Strict markers, too, know it."""
    cpu_host.write("test_suite.py", FEW)
    for args in (["-ogpupool=off"], ["-pno:gpupool"]):
        run = cpu_host.start("--strict-markers", "-Werror", *args).finish()
        assert run.status == 0, run.output

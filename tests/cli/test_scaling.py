"""'gpupool scaling': speedup and efficiency, metrics that must stay what they are."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.cli.commands.scaling import check
from pytest_gpupool.cli.main import main
from pytest_gpupool.cli.trials import SignalForwarder
from pytest_gpupool.reports import scaling as words
from pytest_gpupool.trends.speedup import TimedRun, agreement, idle_of, points, workers_of


def timed(asked: int, time: float, workers: int | None = None) -> TimedRun:
    return TimedRun(asked=asked, workers=workers or asked, time=time)


@pytest.mark.parametrize(
    ("runs", "speedups", "efficiencies", "grades"),
    [
        ([(1, 8.0)], [1.0], [1.0], ["excellent"]),
        ([(1, 8.0), (2, 4.0), (4, 2.0)], [1.0, 2.0, 4.0], [1.0] * 3, ["excellent"] * 3),
        ([(1, 8.0), (2, 5.0), (4, 4.0)], [1.0, 1.6, 2.0], [1.0, 0.8, 0.5], ["excellent", "excellent", "good"]),
        ([(1, 8.0), (2, 8.1)], [1.0, 0.988], [1.0, 0.494], ["excellent", "poor"]),
        # The fewest count as 1, wherever they are.
        ([(4, 3.0), (2, 6.0)], [4.0, 2.0], [1.0, 1.0], ["excellent"] * 2),
        # The pool had two devices.
        ([(1, 8.0), (4, 5.0, 2)], [1.0, 1.6], [1.0, 0.8], ["excellent"] * 2),
        ([], [], [], []),
    ],
)
def test_speedup_and_efficiency(
    runs: list[Any], speedups: list[float], efficiencies: list[float], grades: list[str]
) -> None:
    """Speedup is the time with the fewest workers over the time, efficiency that over the workers that ran."""
    found = points(timed(*run) for run in runs)
    assert [point.speedup for point in found] == pytest.approx(speedups, abs=1e-3)
    assert [point.efficiency for point in found] == pytest.approx(efficiencies, abs=1e-3)
    assert [point.grade for point in found] == grades


def report(metrics: dict[str, Any], workers: int = 1) -> dict[str, Any]:
    """A report of one test per metric, each of which ran on a worker of its own as far as there were any."""
    tests = [
        {
            "nodeid": name,
            "started": "2026-11-21T10:00:00Z",
            "outcome": "passed",
            "worker": f"gw{number % workers}",
            "metrics": [{"name": "m", "unit": "", **(value if isinstance(value, dict) else {"value": value})}],
        }
        for number, (name, value) in enumerate(metrics.items())
    ]
    held = {"started": "2026-11-21T10:00:00Z", "lease_wait_s": 0.2}
    return {"tests": tests, "workers": [{"id": f"gw{number}", **held} for number in range(workers)]}


def test_workers_that_had_no_test_count() -> None:
    """Their devices were taken all the same; one that took a dead one's place does not."""
    few = report({"a": 1, "b": 2}, workers=4)
    assert (workers_of(few, 4), idle_of(few, 4)) == (4, 2)
    assert (workers_of(few, 3), idle_of(few, 3)) == (3, 1)
    assert (workers_of(few, 8), workers_of({"tests": [], "workers": []}, 2)) == (4, 1)


NAN = {"value": None, "non_finite": "nan"}


@pytest.mark.parametrize(
    ("one", "two", "differing"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, [("a", {1: 0.1 + 0.2, 2: 0.3})]),
        ({"a": NAN}, {"a": NAN}, []),
        ({"a": NAN}, {"a": 1}, [("a", {1: "nan", 2: 1})]),
        ({"a": 1, "b": 1}, {"b": 1}, [("a", {1: 1, 2: None})]),
        ({"a": 1}, {"a": 1, "b": 1}, [("b", {1: None, 2: 1})]),
        (
            {"a": 10, "b": 1, "c": 1}, {"a": 11, "b": 2, "c": NAN},
            [("c", {1: 1, 2: "nan"}), ("b", {1: 1, 2: 2}), ("a", {1: 10, 2: 11})],
        ),
        ({"a": 10**400}, {"a": 0.5}, [("a", {1: 10**400, 2: 0.5})]),
    ],
)  # fmt: skip
def test_metrics_must_be_the_same(one: dict[str, Any], two: dict[str, Any], differing: list[Any]) -> None:
    """Exactly; those that differ are told, the worst first."""
    found = agreement({1: report(one), 2: report(two)})
    assert [(each.test, each.values) for each in found.differing] == differing
    assert found.compared == len(one | two)


def test_times_are_not_compared() -> None:
    """Nor rates: they are told by their number."""
    found = agreement({n: report({"a": {"value": n, "unit": "tokens/s"}, "b": 1}) for n in (1, 2)})
    assert (found.compared, found.timed, found.differing) == (1, 1, ())


def told(*runs: tuple[int, dict[str, Any]], verbose: bool = False) -> list[str]:
    """What is printed of reports, by their numbers of workers, below the table."""
    reports = dict(runs)
    found = points(timed(n, 8.0 / n, workers_of(report, n)) for n, report in reports.items())
    lines = list(words.lines(found, agreement(reports), reports, verbose=verbose))
    assert [line.split()[0] for line in lines[: len(runs) + 1]] == ["N", *map(str, reports)]
    return lines[len(runs) + 1 :]


def test_what_is_to_be_known_of_the_figures() -> None:
    """Where the fewest are not one, fewer ran, some had nothing to do, or devices had to be waited for."""
    late = report({"a": 1, "b": 2}, workers=4)
    late["workers"] = [{**worker, "lease_wait_s": 90.0} for worker in late["workers"]]
    assert told((8, late), (2, report({"a": 1, "b": 2}, workers=2))) == [
        "gpupool: n=2 is the fewest: its efficiency is taken for 100%, and the others are relative to it",
        "gpupool: n=8: 4 workers ran, since no more devices are there, or came free",
        "gpupool: n=8: 2 of 4 workers had no test to run",
        "gpupool: n=8: 90.00 s of the time went by until the first device came free",
        "gpupool: 2 metrics equal at every n",
    ]
    assert told((1, report({"a": 1}))) == []


def test_a_worker_that_was_cancelled_while_it_waited_did_not_run() -> None:
    """It held no device, and its wait is not known."""
    one = report({"a": 1})
    one["workers"].append({"id": "gw1", "started": None, "lease_wait_s": None})
    assert (workers_of(one, 2), idle_of(one, 2)) == (1, 0)
    assert told((2, one)) == ["gpupool: n=2: 1 worker ran, since no more devices are there, or came free"]


def test_what_failed_where() -> None:
    """The tests that failed at the same numbers together, the first three by name."""
    runs = [(n, report(dict.fromkeys("abcde", 1))) for n in (1, 2, 3)]
    for n, one in runs:
        for test in one["tests"]:
            test["outcome"] = "crashed" if test["nodeid"] != "e" or n == 3 else "passed"
        one["workers"] = one["workers"] * n
    assert [line for line in told(*runs) if "failed" in line] == [
        "gpupool: 4 tests failed at every n: a, b, c and 1 more",
        "gpupool: 1 test failed at n=3 only: e",
    ]


def test_twenty_of_those_that_differ_are_shown() -> None:
    """Or all; every digit of them."""
    runs = [(n, report({f"test{i}": i + n / 3 for i in range(25)}, workers=n)) for n in (1, 2)]
    lines = told(*runs)
    assert lines[0] == "gpupool: 25 of 25 metrics DIFFER"
    assert lines[1].split() == ["TEST", "METRIC", "N=1", "N=2", "SPREAD"]
    assert lines[2].split() == ["test0", "m", str(1 / 3), str(2 / 3), "0.5"]
    assert len(lines) == 2 + 20 + 1
    assert lines[-1] == "… and 5 more (-v shows all)"
    assert len(told(*runs, verbose=True)) == 2 + 25


def test_signals_are_the_exit_status() -> None:
    """As pytest has it after Ctrl-C, and a shell after others; the first one counts."""
    told = [SignalForwarder(received=received).status for received in ([], [2], [15, 2])]
    assert told == [None, 2, 143]


def test_two_at_a_time_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each would slow the other down."""
    folder = tmp_path / "scaling"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["scaling", "-n1", "--dir", str(tmp_path), "--", "nothing.py"]) == 4
    assert capsys.readouterr().err == (
        f"gpupool: another 'gpupool scaling' measures in {folder}: wait for its end, since both would be slower\n"
    )


GIVEN = "the numbers of workers are given before '--': gpupool scaling -n 1,2,4 -- …"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-n", "1,2,x"], "-n 1,2,x: give whole numbers from 1, such as 1,2,4"),
        (["-n", "0,1"], "-n 0,1: give whole numbers from 1, such as 1,2,4"),
        (["-n=-1"], "-n -1: give whole numbers from 1, such as 1,2,4"),
        (["-n", "1,,2"], "-n 1,,2: give whole numbers from 1, such as 1,2,4"),
        (["-n", "auto"], "-n auto: give whole numbers from 1, such as 1,2,4"),
        (["-n", "²"], "-n ²: give whole numbers from 1, such as 1,2,4"),
        (["-n", "1,2,01"], "-n 1,2,01: give every number once"),
        (["-n1", "--", "-n", "4"], f"-n cannot be among what pytest is given: {GIVEN}"),
        (["-n1", "--", "-n4"], f"-n4 cannot be among what pytest is given: {GIVEN}"),
        (["-n1", "--", "-xvn4"], f"-xvn4 cannot be among what pytest is given: {GIVEN}"),
        (["-n1", "--", "--numprocesses=4"], f"--numprocesses=4 cannot be among what pytest is given: {GIVEN}"),
        (["-n1", "--", "--gpupool-json", "a"], "--gpupool-json cannot be among what pytest is given: every run writes"),
        (["-n1", "--", "--gpupool-dir=a"], "--gpupool-dir=a cannot be among what pytest is given: every run keeps"),
        (["-n1", "--", "--gpupool-resume"], "--gpupool-resume cannot be among what pytest is given: a resumed run"),
        (["-n1", "--", "--dist", "each"], "--dist cannot be among what pytest is given: there every worker runs"),
        (["-n1", "--", "--dist=each"], "--dist=each cannot be among what pytest is given: there every worker runs"),
        (["-n1", "--chart=a.png"], "--chart=a.png: the chart is an SVG file: give a path that ends with .svg"),
        (["-n1", "--chart=."], "--chart=. is a directory: give the path of a file"),
        (["-n1", "--json=/dev/null/a"], "--json=/dev/null/a cannot be written: "),
        (["-n1", "--dir=/dev/null"], "/dev/null/scaling cannot be written: "),
    ],
)  # fmt: skip
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], words: str
) -> None:
    """Exit status 4 before anything runs, and no file is left."""
    monkeypatch.chdir(tmp_path)
    assert main(["scaling", *args]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"gpupool: {words}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", [["-k", "n4 or each"], ["each"], ["-m", "n"], ["--dist=loadfile"], ["--", "-n4"]])
def test_what_is_left_to_pytest(args: list[str]) -> None:
    """Whatever is none of these options."""
    check(args)

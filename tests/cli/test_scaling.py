"""'gpupool scaling': speedup and efficiency, metrics that must stay what they are."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from program import gpupool
from support import Host, wait_for

from pytest_gpupool.cli.commands.scaling import check
from pytest_gpupool.cli.main import main
from pytest_gpupool.cli.trials import Signals
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


SUITE = """
    import os, time
    from pathlib import Path
    import pytest

    @pytest.fixture(scope="session", autouse=True)
    def together():  # each worker has a test
        folder = Path("workers" + os.environ["PYTEST_XDIST_WORKER_COUNT"])
        folder.mkdir(exist_ok=True)
        (folder / os.environ["PYTEST_XDIST_WORKER"]).touch()
        while len(list(folder.iterdir())) < int(os.environ["PYTEST_XDIST_WORKER_COUNT"]):
            time.sleep(0.01)

    @pytest.mark.parametrize("case", range(3))
    def test_case(case, record_metric):
        record_metric("accuracy", case / 3)
        record_metric("took", os.getpid(), unit="s")
"""
BY_WORKERS = """
    import os
    def test_workers(record_metric): record_metric("workers", int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    def test_fails_alone(): assert os.environ["PYTEST_XDIST_WORKER_COUNT"] != "1"
"""


# Installed here, and they only take time.
COMPANIONS = ("cacheprovider", "randomly", "rerunfailures", "timeout", "pytest_cov", "hypothesispytest")
WITHOUT_OTHERS = " ".join(f"-pno:{name}" for name in COMPANIONS)


def scaling(host: Host, *args: str) -> tuple[int, str, str]:
    return gpupool(host, "scaling", *args, PYTEST_ADDOPTS=WITHOUT_OTHERS)


def test_one_suite_at_two_numbers(cpu_host: Host) -> None:
    """The table, the metrics that differ and the tests that fail; the chart, the reports and the outputs are kept."""
    cpu_host.write("test_a.py", SUITE)
    cpu_host.write("test_b.py", BY_WORKERS)
    status, out, err = scaling(cpu_host, "-n", "1,2", "--json=new/measured.json", "--", "test_a.py", "test_b.py")
    assert status == 1
    head, first, second, *lines = out.splitlines()
    assert head.split() == ["N", "WORKERS", "TIME", "MAKESPAN", "SPEEDUP", "EFFICIENCY"]
    assert first.split()[:2] + first.split()[-3:] == ["1", "1", "1.00", "100%", "excellent"]
    assert second.split()[:2] == ["2", "2"]
    assert lines == [
        "gpupool: 1 test failed at n=1 only: test_b.py::test_fails_alone",
        "gpupool: 1 of 4 metrics DIFFER; 3 of time or of a rate not compared",
        "TEST                     METRIC   N=1  N=2  SPREAD",
        "test_b.py::test_workers  workers    1    2     0.5",
        "gpupool: the chart is in .gpupool/scaling/scaling.svg",
    ]
    assert "gpupool: n=1: 4 passed, 1 failed in " in err
    assert "gpupool: n=2: 5 passed in " in err
    kept = cpu_host.project / ".gpupool" / "scaling"
    assert sorted(path.name for path in kept.iterdir()) == [
        ".gitignore", "lock", "n1.json", "n1.log", "n2.json", "n2.log", "scaling.svg",
    ]  # fmt: skip
    assert "pytest test_a.py test_b.py</text>" in (kept / "scaling.svg").read_text()
    assert not (cpu_host.project / ".gpupool" / "durations.json").exists()
    measured = json.loads((cpu_host.project / "new" / "measured.json").read_text())
    assert [(run["n"], run["workers"], run["exit_status"]) for run in measured["runs"]] == [(1, 1, 1), (2, 2, 0)]
    assert measured["metrics"]["differing"] == [
        {"test": "test_b.py::test_workers", "metric": "workers", "values": {"1": 1, "2": 2}}
    ]


def test_every_run_starts_from_the_same_knowledge(cpu_host: Host) -> None:
    """The user's own durations, which stay as they are."""
    cpu_host.write(
        "test_a.py", 'def test_a(): pass\ndef test_b(record_metric): record_metric("m", 1)\ndef test_c(): pass\n'
    )
    tests = {
        f"test_a.py::test_{name}": {"CPU": {"seconds": [seconds]}}
        for name, seconds in zip("abc", (1, 2, 3), strict=True)
    }
    known = cpu_host.write(
        ".gpupool/durations.json", json.dumps({"format": "gpupool-durations", "version": 1, "tests": tests})
    )
    before = known.read_bytes()
    status, out, _ = scaling(cpu_host, "-n1", "--chart=a/chart.SVG", "test_a.py")
    assert status == 0
    assert out.endswith("1.00        100%  excellent\ngpupool: the chart is in a/chart.SVG\n")
    assert known.read_bytes() == before
    alone = json.loads((cpu_host.project / ".gpupool" / "scaling" / "n1.json").read_text())["tests"]
    assert [test["nodeid"][-1] for test in sorted(alone, key=lambda test: str(test["started"]))] == ["c", "b", "a"]


def test_a_run_that_cannot_run_ends_it(cpu_host: Host) -> None:
    """With its exit status and the end of its output."""
    cpu_host.write("test_a.py", "def test_a(): pass\n")
    status, out, err = scaling(cpu_host, "-n", "1,2,4", "--", "--gpupool-devices=7", "test_a.py")
    assert (status, out) == (4, "")
    assert "--gpupool-devices=7" in err
    assert err.endswith(
        "gpupool: n=1 ended with exit status 4; not measured: n=2, 4; its output is in .gpupool/scaling/n1.log\n"
    )
    status, _, err = scaling(cpu_host, "-n", "1", "--", "-o", "gpupool=off", "test_a.py")
    assert status == 4
    assert "gpupool: pytest wrote no report: pytest-gpupool is off there" in err


def test_what_was_measured_is_told_where_it_is_interrupted(cpu_host: Host) -> None:
    """The run that goes on hears the signal and ends in order; no process is left."""
    cpu_host.write(
        "test_a.py",
        """
        import os, time
        from pathlib import Path
        def test_a(record_metric):
            while os.environ["PYTEST_XDIST_WORKER_COUNT"] == "2":
                Path("waits").write_text("\\n")
                time.sleep(0.01)
        """,
    )
    command = [sys.executable, "-m", "pytest_gpupool", "scaling", "-n", "1,2,3", "--", "test_a.py"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environ = cpu_host.environ(PYTEST_ADDOPTS=WITHOUT_OTHERS)
    with subprocess.Popen(command, cwd=cpu_host.project, env=environ, **pipes) as process:
        wait_for(cpu_host.project / "waits")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert process.returncode == 143
    assert out.splitlines()[1].split()[:2] == ["1", "1"]
    assert err.endswith("gpupool: interrupted at n=2; not measured: n=3\n")
    assert not cpu_host.processes()


def test_signals_are_the_exit_status() -> None:
    """As pytest has it after Ctrl-C, and a shell after others; the first one counts."""
    told = [Signals(heard=heard).status for heard in ([], [2], [15, 2])]
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

"""The store of metrics over runs: fed, merged, by several processes at once, and through damage."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_reports import UUIDS, a_metric, a_report, a_test

from pytest_gpupool.cli.main import main
from pytest_gpupool.trends import store, trend
from pytest_gpupool.trends.trend import MeasuredRun, Value
from pytest_gpupool.values.errors import UsageProblem

TEST = "t.py::test_qa[llama]"
Capture = pytest.CaptureFixture[str]


def a_value(number: Any = 0.9, **changes: Any) -> Value:
    """One value on one GPU."""
    usual: dict[str, Any] = {
        "value": number,
        "non_finite": None,
        "unit": "",
        "higher_is_better": True,
        "verdict": None,
        "baseline": None,
        "device": "NVIDIA H200",
        "device_ids": (UUIDS[0],),
        "outcome": "passed",
    }
    return Value(**(usual | changes))


def a_run(day: int, *values: Value, commit: str | None = None) -> MeasuredRun:
    """A run of some day in November."""
    return MeasuredRun(
        id=f"202611{day:02}T100000Z-aaaaaa",
        started=f"2026-11-{day:02}T10:00:00.000000Z",
        commit=commit or f"{day:040x}",
        workers=2,
        makespan_s=3.5,
        speedup=1.5,
        efficiency=None,
        values={TEST: {"accuracy": values or (a_value(),)}},
    )


def listed(folder: Path) -> list[str]:
    """What a folder has."""
    return sorted(path.name for path in folder.iterdir())


def dumped(path: Path) -> list[str]:
    """All that a store has."""
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_what_comes_in_comes_out(tmp_path: Path) -> None:
    """Values of every sort, and the oldest run first."""
    path = tmp_path / "deep" / "history.sqlite"
    odd = (a_value(2**80, baseline=-(2**70)), a_value(None, non_finite="nan", verdict="invalid", device_ids=()))
    told = [a_run(3), a_run(1, *odd), a_run(2, a_value(1, higher_is_better=None, unit="ms", verdict="ok"))]
    assert store.add(path, told) == store.Added(3, 4)
    assert store.runs(path) == [told[1], told[2], told[0]]
    assert store.of_metric(path, TEST, "accuracy") == store.runs(path)
    assert store.names(path) == {TEST: {"accuracy"}}
    assert [run.id for run in store.runs(path, most=2)] == [told[2].id, told[0].id]
    assert len(store.runs(path, most=0)) == 1
    assert listed(path.parent) == ["history.sqlite"]


def test_twice_changes_nothing(tmp_path: Path) -> None:
    """But a verdict, which may come late, is added."""
    path = tmp_path / "history.sqlite"
    store.add(path, [a_run(1), a_run(2)])
    before = dumped(path)
    assert store.add(path, [a_run(2), a_run(1)]) == store.Added(0, 0)
    assert dumped(path) == before
    judged = a_run(1, a_value(verdict="ok", baseline=0.9))
    assert store.add(path, [judged]).values == 1
    assert store.add(path, [a_run(1), judged]).values == 0
    assert store.runs(path)[0] == judged


def test_two_stores_are_merged_in_any_order(tmp_path: Path) -> None:
    """Nothing is lost, and what both have is there once."""
    judged = a_run(2, a_value(verdict="ok", baseline=0.9))
    for name, runs in (("a", [a_run(1), a_run(2)]), ("b", [judged, a_run(3)])):
        store.add(tmp_path / f"{name}.sqlite", runs)
    found = []
    for order in ("ab", "ba"):
        path = tmp_path / f"{order}.sqlite"
        for name in order + order:
            store.add(path, store.runs(tmp_path / f"{name}.sqlite"))
        found.append(dumped(path))
    assert found[0] == found[1]
    assert store.runs(path) == [a_run(1), judged, a_run(3)]


ADDER = """
import sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from test_history_store import a_run, store
for day in range(1, 9):
    store.add(Path(sys.argv[1]), [a_run(day, commit=sys.argv[2])])
print("done")
"""


def a_process(code: str, *args: str | Path) -> subprocess.Popen[str]:
    """A process that has the tests' own modules."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", code, *map(str, args), *folders]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    """Each waits for the others; all is there once."""
    path = tmp_path / "history.sqlite"
    processes = [a_process(ADDER, path, str(number)) for number in range(3)]
    assert [process.communicate(timeout=120)[0] for process in processes] == ["done\n"] * 3
    assert [run.id for run in store.runs(path)] == [a_run(day).id for day in range(1, 9)]
    assert listed(tmp_path) == ["history.sqlite"]


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_history_store import a_run, store
def runs():
    yield a_run(2)
def write(connection):
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("DELETE FROM measured")
    connection.executemany(store._ADD_RUN, [(str(n) * 500, "2026", None, 1, 1, 1, 1) for n in range(500)])
    print("written", flush=True)
    time.sleep(600)
store._written(Path(sys.argv[1]), write)
"""


def test_a_killed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    """The next one takes back what it had begun."""
    path = tmp_path / "history.sqlite"
    store.add(path, [a_run(1)])
    process = a_process(KILLED, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    process.stdout.close()
    assert (tmp_path / "history.sqlite-journal").exists()
    assert store.add(path, [a_run(3)]) == store.Added(1, 1)
    assert store.runs(path) == [a_run(1), a_run(3)]
    assert listed(tmp_path) == ["history.sqlite"]


@pytest.mark.parametrize("damage", ["header", "middle", "cut"])
def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: str) -> None:
    """Every byte of it is kept, and a new one begins; who reads it is told."""
    path = tmp_path / "history.sqlite"
    store.add(path, [replace(a_run(1), id=f"run-{number}-{'x' * 200}") for number in range(200)])
    whole = path.read_bytes()
    data = {
        "header": b"\xff" * 200 + whole[200:],
        "middle": whole[:4096] + b"\xff" * (len(whole) - 4096),
        "cut": whole[: len(whole) // 3],
    }[damage]
    path.write_bytes(data)
    with pytest.raises(UsageProblem, match="cannot be read"):
        store.runs(path)
    added = store.add(path, [a_run(2)])
    assert added.aside is not None
    assert added.aside.read_bytes() == data
    assert store.runs(path) == [a_run(2)]
    assert store.add(path, [a_run(3)]).aside is None


@pytest.mark.parametrize(
    "odd",
    [
        "UPDATE measured SET value = x'00'",
        "UPDATE measured SET value = 'much'",
        "UPDATE measured SET device_ids = '3'",
        "UPDATE measured SET device_ids = '[[]]'",
        "UPDATE measured SET device_ids = '['",
        "UPDATE measured SET higher_is_better = 'yes'",
        "UPDATE measured SET metric = x'ff'",
        "UPDATE runs SET speedup = 'fast'",
        "UPDATE runs SET started = x'ff'",
        "DROP TABLE runs",
    ],
)
def test_a_row_that_somebody_has_edited_is_said_and_no_traceback(tmp_path: Path, odd: str) -> None:
    """By a file that is otherwise whole, whoever reads it, and however; it is left as it is."""
    path = tmp_path / "history.sqlite"
    store.add(path, [a_run(1)])
    ((test, (metric, *_)),) = store.names(path).items()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(odd)
    before = path.read_bytes()
    with pytest.raises(UsageProblem, match=r"cannot be read: (a row of its table|no such table|Expecting|invalid)"):
        store.runs(path)
    with contextlib.suppress(UsageProblem):
        store.of_metric(path, test, metric)
        store.names(path)
    assert path.read_bytes() == before


def test_a_name_that_no_store_can_keep_is_said(tmp_path: Path) -> None:
    """As of a report that somebody has edited."""
    path = tmp_path / "history.sqlite"
    with pytest.raises(UsageProblem, match="cannot be written: 'utf-8' codec can't encode"):
        store.add(path, [replace(a_run(1), id="\ud800")])
    assert store.add(path, [a_run(1)]).runs == 1


def test_what_is_none_of_ours_is_left_alone(tmp_path: Path) -> None:
    """A newer version, another program's database, a file that is none, a folder that may not be written."""
    path = tmp_path / "history.sqlite"
    store.add(path, [a_run(1)])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    text = tmp_path / "report.json"
    text.write_text("no database, " * 100)
    for place, told in (
        (path, "is of version 2, of a newer pytest-gpupool: use that one, or another file; it is left as it is"),
        (other, "is a SQLite file, and no history of pytest-gpupool: give another path"),
        (text, "is no SQLite file: give another path for the history; it is left as it is"),
        (tmp_path, "cannot be written: unable to open database file"),
        (text / "x.sqlite", "cannot be written: "),
    ):
        before = place.read_bytes() if place.is_file() else None
        with pytest.raises(UsageProblem, match=told):
            store.add(place, [a_run(2)])
        assert before is None or place.read_bytes() == before
    with pytest.raises(UsageProblem, match=r"there is no history .*: 'gpupool ingest REPORT… --history .*' makes it"):
        store.runs(tmp_path / "none.sqlite")


def test_a_report_says_what_its_record_does() -> None:
    """Results kept from another run, tests that never ran, and metrics that are gone are none of its own."""
    tests = (
        a_test(
            TEST,
            metrics=[a_metric(), {k: v for k, v in a_metric("old", None, verdict="gone").items() if k != "non_finite"}],
        ),
        a_test("t.py::test_kept", run="run-1", metrics=[a_metric()]),
        a_test("t.py::test_left", "not-run"),
        a_test("t.py::test_cpu", devices=[], metrics=[a_metric(value=None)], worker="gw1"),
    )
    run = trend.of_report(a_report(*tests))
    assert (run.id, run.commit, run.workers) == ("run-2", "0123abcd", 2)
    assert {test: list(metrics) for test, metrics in run.values.items()} == {
        TEST: ["accuracy"],
        "t.py::test_cpu": ["accuracy"],
    }
    assert run.values[TEST]["accuracy"][0].device == "NVIDIA H200"
    assert run.values["t.py::test_cpu"]["accuracy"][0].non_finite == "nan"


def test_the_program_feeds_and_shows_it(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports and another machine's store come in; a commit's runs on one kind of device are one line."""
    monkeypatch.chdir(tmp_path)
    for number, (commit, value) in enumerate((("aaaa", 0.8), ("aaaa", 0.9), ("bbbb", 0.95)), 1):
        test = a_test(TEST, run=f"2026112{number}T100000Z-aaaaaa", metrics=[a_metric("accuracy", value)])
        started = f"2026-11-2{number}T10:00:00.000000Z"
        git = {"commit": commit, "branch": "main", "dirty": False}
        report = a_report(test, id=f"2026112{number}T100000Z-aaaaaa", started=started, git=git)
        Path(f"{number}.json").write_text(json.dumps(report))
    assert main(["ingest", "1.json", "2.json", "--history", "h.sqlite"]) == 0
    assert main(["ingest", "3.json", "--history", "other.sqlite"]) == 0
    assert main(["ingest", "1.json", "other.sqlite", "--history", "h.sqlite"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "gpupool: 1.json: 1 new run, 1 new value",
        "gpupool: 2.json: 1 new run, 1 new value",
        "gpupool: 3.json: 1 new run, 1 new value",
        "gpupool: 1.json: 0 new runs, 0 new values",
        "gpupool: other.sqlite: 1 new run, 1 new value",
    ]
    assert main(["history", "test_qa", "accuracy", "--history", "h.sqlite"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("2026")]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("20261122T100000Z-aaaaaa", "+1", "0.85"),
        ("20261123T100000Z-aaaaaa", "2026-11-23", "+11.8%"),
    ]
    assert main(["history", "test_qa", "accuracy", "--history", "h.sqlite", "--each-run", "--format=json"]) == 0
    values = json.loads(capsys.readouterr().out)["values"]
    assert [value["value"] for value in values] == [0.8, 0.9, 0.95]
    assert main(["history", "test_qa", "loss", "--history", "h.sqlite"]) == 4
    assert "in the history h.sqlite; there are:\n  accuracy" in capsys.readouterr().err
    assert main(["history", "test_qa", "loss", "--history", "none.sqlite"]) == 4
    Path("bad.json").write_text("{")
    Path("bad.sqlite").write_bytes(Path("h.sqlite").read_bytes()[:1000])
    capsys.readouterr()
    assert main(["ingest", "none.json", "bad.json", "bad.sqlite", "3.json", "--history", "new.sqlite"]) == 4
    told = capsys.readouterr()
    assert told.out == "gpupool: 3.json: 1 new run, 1 new value\n"
    for name, line in zip(("none.json", "bad.json", "bad.sqlite"), told.err.splitlines(), strict=True):
        assert line.startswith(f"gpupool: nothing of {name} was added: ")
    assert main(["ingest", "1.json"]) == 4
    assert "there are no records" in capsys.readouterr().err

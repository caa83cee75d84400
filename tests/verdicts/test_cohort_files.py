"""The runs that an entry stands for: what is written beside the baseline file, and what of it counts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry, Key
from pytest_gpupool.verdicts.baselines.baseline_file import keep, kept, load, save, update
from pytest_gpupool.verdicts.baselines.cohort_files import Addition
from pytest_gpupool.verdicts.chance.cohort import MOST, Measurement

FIRST = "20261121T100000Z-000000"
ENTRY = Entry(
    test="a.py::test_a", metric="accuracy", device="CPU", value=0.75, n=4, run=FIRST, date="2026-11-21T10:00:00Z"
)


@dataclass(frozen=True)
class Changed:
    """What an update is told to write."""

    entries: tuple[Entry, ...] = ()
    additions: tuple[Addition, ...] = ()
    removed: tuple[Key, ...] = ()


def found(number: int, value: float = 0.75, of: Entry = ENTRY, **fields: Any) -> Addition:
    """What the run of that number found."""
    measurement = Measurement(value=value, n=4, **fields)
    day = f"2026-12-{number + 1:02}T10:00:00Z"
    return Addition(entry=of, found=measurement, run=f"run-{number:02}", commit="4f2a", date=day)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A baseline file of one entry."""
    save(tmp_path / "b.json", Baseline((ENTRY,)))
    return tmp_path / "b.json"


def later(path: Path) -> list[float]:
    """The values that joined the entry, the latest last."""
    return [one.value for one in load(path).entries[0].later]


def add(path: Path, *additions: Addition) -> None:
    update(path, lambda _: Changed(additions=additions))


def test_runs_join_in_their_order(path: Path) -> None:
    """Of their dates, whoever is added first; a run that is added again counts once."""
    before = path.read_text()
    add(path, found(2, 0.5))
    add(path, found(1, 0.25))
    add(path, found(2, 1.0))
    assert later(path) == [0.25, 1.0]
    assert [one.value for one in load(path).entries[0].runs] == [0.75, 0.25, 1.0]
    assert path.read_text() == before
    assert sorted(one.name for one in (path.parent / "b.runs").iterdir()) == ["run-01.json", "run-02.json"]


def test_a_run_is_told_once_and_has_a_line_for_each_metric(path: Path) -> None:
    other = replace(ENTRY, metric="f1")
    update(path, lambda _: Changed(entries=(other,), additions=(found(1, of=other), found(1))))
    head, *lines = (path.parent / "b.runs" / "run-01.json").read_text().splitlines()
    assert json.loads(head + "]}") == {
        "format": "gpupool-baseline-run",
        "version": 1,
        "run": "run-01",
        "commit": "4f2a",
        "date": "2026-12-02T10:00:00Z",
        "metrics": [],
    }
    assert [json.loads(line.rstrip(","))["metric"] for line in lines[:-1]] == ["accuracy", "f1"]
    assert max(map(len, lines)) < 200


def test_of_more_than_20_the_latest_count(path: Path) -> None:
    """With the first; files that no entry needs any more are removed."""
    for number in range(MOST + 5):
        add(path, found(number, number / 100))
    runs = load(path).entries[0].runs
    assert len(runs) == MOST
    assert [runs[0].value, runs[1].value, runs[-1].value] == [0.75, 0.06, 0.24]
    assert len([*(path.parent / "b.runs").iterdir()]) == MOST


def test_a_changed_entry_begins_anew(path: Path) -> None:
    """What was like the old one says nothing of the new one; its files go with the next update."""
    add(path, found(1))
    changed = replace(ENTRY, value=0.5, run="run-02")
    update(path, lambda _: Changed(entries=(changed,)))
    assert later(path) == []
    add(path, found(3, 0.5, of=changed))
    assert later(path) == [0.5]
    assert [one.name for one in (path.parent / "b.runs").iterdir()] == ["run-03.json"]


def test_a_value_that_was_edited_begins_anew(path: Path) -> None:
    add(path, found(1))
    path.write_text(path.read_text().replace("0.75", "0.5"))
    assert later(path) == []


@pytest.mark.parametrize(
    ("samples", "key"),
    [((1.0, 0.0, 1.0, 1.0), "bits"), ((0.0, 0.0, 0.0, 0.0), "bits"), ((0.5, 1.0, 0.25, math.inf), "samples")],
)
@pytest.mark.parametrize("items", [None, ("q1", "q2", "q3", "q4")])
def test_the_value_of_each_item(
    path: Path, samples: tuple[float, ...], key: str, items: tuple[str, ...] | None
) -> None:
    """Exactly as it was; answers take a quarter of a character each, ids are there once for all runs."""
    add(path, found(1, samples=samples, items=items), found(2, samples=samples, items=items))
    assert load(path).entries[0].later == (Measurement(value=0.75, n=4, samples=samples, items=items),) * 2
    directory = path.parent / "b.runs"
    assert key in json.loads((directory / "run-01.json").read_text())["metrics"][0]
    assert len([*directory.glob("items-*.json")]) == (items is not None)
    assert "samples" not in path.read_text()


def test_the_first_run_has_its_items_there_too(path: Path) -> None:
    samples = (1.0, 0.0, 1.0, 1.0)
    first = Addition(entry=ENTRY, found=Measurement(value=0.75, n=4, samples=samples), run=FIRST, date=ENTRY.date)
    add(path, first, found(1))
    assert load(path).entries[0].samples == samples
    assert later(path) == [0.75]


def test_the_samples_of_an_older_file_move_beside_it(path: Path) -> None:
    """At its next update, whatever that is of; until then they count where they are."""
    samples = (1.0, 0.5, 1.0, 0.5)
    about = {"commit": "4f2a", "dirty": True, "date": ENTRY.date, "reason": "why", "run": FIRST, "spread": 0.1}
    line = {"test": ENTRY.test, "metric": "accuracy", "device": "CPU", "value": 0.75, "n": 4, **about}
    path.write_text(json.dumps({"format": "gpupool-baseline", "version": 1, "entries": [line | {"samples": samples}]}))
    assert load(path).entries[0].samples == samples
    update(path, lambda _: Changed(entries=(replace(ENTRY, metric="f1"),)))
    assert "samples" not in path.read_text()
    assert "why" not in path.read_text()
    told = replace(ENTRY, samples=samples, commit="4f2a", dirty=True, reason="why")
    assert load(path).get("a.py::test_a", "accuracy", "CPU") == told


def test_a_copy_has_all_that_counts(path: Path, tmp_path: Path) -> None:
    """Beside a run's records."""
    add(path, found(1, samples=(1.0, 0.0, 1.0, 1.0), items=("a", "b", "c", "d")))
    (tmp_path / "run").mkdir()
    keep(path, load(path), tmp_path / "run")
    assert kept(tmp_path / "run") == load(path)
    assert kept(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is damaged"),
        ("[]", "is no accepted run of a baseline"),
        ('{"format": "gpupool-baseline-run", "version": 1}', "is no accepted run of a baseline"),
        (
            '{"format": "gpupool-baseline-run", "version": 9, "run": "", "commit": "", "date": "", "metrics": []}',
            "is of version 9, written by a newer pytest-gpupool",
        ),
        (
            '{"format": "gpupool-baseline-run", "version": 1, "run": "", "commit": "", "date": "", "metrics": [{}]}',
            "is damaged: restore it, or delete it",
        ),
    ],
)
def test_a_damaged_one_is_told(path: Path, text: str, told: str) -> None:
    """By its path; nothing is written."""
    (path.parent / "b.runs").mkdir()
    (path.parent / "b.runs" / "run-01.json").write_text(text)
    with pytest.raises(UsageProblem) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path.parent / 'b.runs' / 'run-01.json'} {told}")
    with pytest.raises(UsageProblem):
        add(path, found(2))
    assert [one.name for one in (path.parent / "b.runs").iterdir()] == ["run-01.json"]


def test_where_values_come_from_is_told_once(path: Path) -> None:
    """In the head of the run's file; what differs, in that metric's line. Without it the entry has the run."""
    about: dict[str, Any] = {"commit": "4f2a", "dirty": True, "date": "2026-11-21T10:00:00Z", "reason": "new model"}
    first = replace(ENTRY, **about)
    entries = [first, replace(first, metric="f1"), replace(first, metric="loss", reason="another data set")]

    def addition(entry: Entry) -> Addition:
        told = {key: getattr(entry, key) for key in about}
        return Addition(entry=entry, found=Measurement(value=0.75, n=4), run=FIRST, **told)

    update(path, lambda _: Changed(entries=tuple(entries), additions=tuple(map(addition, entries))))
    assert load(path) == Baseline(tuple(entries))
    (file,) = (path.parent / "b.runs").iterdir()
    assert [line.count("new model") for line in file.read_text().splitlines()] == [1, 0, 0, 0, 0]
    assert path.read_text().splitlines()[1] == (
        '{"test":"a.py::test_a","metric":"accuracy","device":"CPU","value":0.75,"n":4,"run":"000000"},'
    )
    file.unlink()
    lost = load(path).entries[0]
    assert (lost.run, lost.commit, lost.reason) == ("000000", "", "")
    add(path, found(1))
    assert later(path) == [0.75]

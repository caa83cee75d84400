"""The baseline of one run: as it was at the start, and what becomes of it at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_run_parts import options, records

from pytest_gpupool.metrics.metric import make
from pytest_gpupool.records.folding.result import TestResult
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.run.baseline import RunBaseline
from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry
from pytest_gpupool.verdicts.baselines.baseline_file import kept, load, save

TEST = "test_a.py::test_a"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The user's baseline file, with two metrics of a test."""
    entries = tuple(
        Entry(test=TEST, metric=name, device="CPU", value=1.0, higher_is_better=True) for name in ("accuracy", "f1")
    )
    save(tmp_path / "baseline.json", Baseline().updated(entries))
    return tmp_path / "baseline.json"


def run(file: Path, directory: Path | None = None, **changes: Any) -> RunBaseline:
    """A run that is judged by that file."""
    return RunBaseline(options(file.parent, baseline=file, **changes), records(directory))


def metric(name: str) -> dict[str, Any]:
    """What a test records."""
    return make(name, 1.0).to_record() | {"verdict": None}


def ended(outcome: str, *metrics: str, kind: str | None = "CPU") -> TestResult:
    """What became of the test."""
    return TestResult(nodeid=TEST, outcome=outcome, kind=kind, metrics={name: metric(name) for name in metrics})


def test_it_is_as_it_was_at_the_start(file: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    baseline = run(file, directory)
    known = load(file)
    file.unlink()
    assert baseline.decides
    assert kept(directory) == known


def test_without_a_baseline_there_is_nothing_to_judge_by(tmp_path: Path) -> None:
    baseline = RunBaseline(options(tmp_path), records(None))
    assert not baseline.decides
    assert not list(baseline.decided(Results(), None))


def test_a_file_that_is_yet_to_be_made_is_no_problem_where_it_will_be(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    assert run(missing, update_baseline=True).decides
    with pytest.raises(UsageProblem, match="is missing: make it with --gpupool-update-baseline"):
        run(missing)


@pytest.mark.parametrize(
    ("result", "gone", "outcome"),
    [
        (ended("passed", "accuracy", "f1"), [], None),
        (ended("passed", "f1"), ["accuracy"], "failed"),
        (ended("xpassed", "f1"), ["accuracy"], "xfailed"),
        (ended("skipped"), ["accuracy", "f1"], "failed"),
        (ended("failed", "f1"), ["accuracy"], None),  # which says more
        (ended("not-run"), [], None),
        (ended("passed", kind=None), [], None),
        (ended("passed", kind="NVIDIA H200"), [], None),
    ],
)
def test_a_metric_that_is_not_recorded_any_more_is_gone(
    file: Path, result: TestResult, gone: list[str], outcome: str | None
) -> None:
    results = Results()
    results.add({"record": "collected", "worker": "", "tests": [[TEST, {}]]})
    (test,) = results.tests
    test.outcome, test.kind, test.metrics = result.outcome, result.kind, result.metrics
    found = [record for _, record in run(file).decided(results, None)]
    assert [metric["name"] for record in found for metric in record.get("gone", ())] == gone
    assert [record.get("outcome") for record in found if "gone" in record] == [outcome] * bool(gone)


def test_an_incomplete_run_changes_no_baseline(file: Path) -> None:
    before = file.read_bytes()
    update = run(file, update_baseline=True).update({"run": {"complete": False}}, folder=file.parent)
    assert update.warnings == (f"the baseline {file} was not updated: the run is incomplete",)
    assert update.status == pytest.ExitCode.TESTS_FAILED
    assert file.read_bytes() == before


def test_a_complete_one_says_what_it_has_changed(file: Path) -> None:
    facts = {"complete": True, "id": "a", "started": "2026-11-21T10:00:00Z", "git": None}
    report = {"run": facts, "devices": [], "tests": []}
    update = run(file, update_baseline=True).update(report, folder=file.parent)
    assert [note.partition(":")[0] for note in update.notes] == ["baseline baseline.json"]
    assert update.status == 0

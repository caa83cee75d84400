"""What runs of pytest on record have measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from standin import Driver
from support import Host, gpus

from pytest_gpupool.processes.cpu.model import model
from pytest_gpupool.records import archive
from pytest_gpupool.trends import placement, trend
from pytest_gpupool.trends.trend import MeasuredRun, Value
from pytest_gpupool.verdicts.baselines.baseline import cpu_kind

Report = dict[str, Any]


SUITE = """
    import os, time
    from pathlib import Path
    import pytest

    LATER = Path("later").exists()

    def test_good(gpu, record_metric):
        record_metric("accuracy", 0.5, unit="%", higher_is_better=True)
        # As on a bad card, where every worker runs this test.
        slow = gpu.ids == [os.environ.get("SLOW")]
        record_metric("time", 2.0 if slow else 1.0, unit="s", higher_is_better=False)
    def test_is_nan(record_metric): record_metric("loss", float("inf"))
    def test_raises(record_metric):
        record_metric("steps", 7)
        if not LATER: raise OSError("the disk is gone")
    @pytest.mark.gpupool(gpus=0)
    def test_none(record_metric): record_metric("threads", 3)
    def test_without(): pass
"""


def value_of(run: MeasuredRun, test: str, name: str) -> Value:
    """The one value of a metric; ``test`` is the part of the id after the file."""
    (value,) = run.values[f"test_suite.py::{test}"][name]
    return value


@dataclass(frozen=True)
class Kept:
    """Three runs: with two failures, going on with that, and one in which each worker ran every test."""

    base: Path
    reports: tuple[Report, ...]
    runs: tuple[MeasuredRun, ...]
    uuids: tuple[str, ...]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, libraries: Path) -> Iterator[Kept]:
    """Made once: no test below changes what is on record."""
    folder = tmp_path_factory.mktemp("kept")
    driver = Driver(libraries, folder / "nvml-state", gpus(2, name="NVIDIA H200"))
    host = Host(folder, driver)
    host.write("test_suite.py", SUITE)
    first = host.pytest().report
    host.write("later", "")
    second = host.pytest("--gpupool-resume").report
    assert second["run"]["resumed_from"] == first["run"]["id"]
    only = ["test_suite.py::test_good", "test_suite.py::test_none"]
    third = host.pytest("-n2", "--dist=each", *only, environ=host.environ(SLOW=driver.uuids[1])).report
    base = host.project / ".gpupool"
    yield Kept(base, (first, second, third), trend.history(base).runs, driver.uuids)
    assert not host.processes()


class TestRealRuns:
    """What runs of pytest have left."""

    def test_they_come_the_oldest_first(self, kept: Kept) -> None:
        """With the facts and figures of their own reports."""
        assert [run.id for run in kept.runs] == [report["run"]["id"] for report in kept.reports]
        for run, report in zip(kept.runs, kept.reports, strict=True):
            assert (run.started, run.commit) == (report["run"]["started"], None)
            figures = ("makespan_s", "speedup", "efficiency")
            assert [getattr(run, name) for name in figures] == [report["summary"][name] for name in figures]

    def test_values_are_those_of_the_reports(self, kept: Kept) -> None:
        """Every metric that a run has measured by itself; a test without any is not told."""
        for run, report in zip(kept.runs, kept.reports, strict=True):
            told = [
                (test["nodeid"], metric["name"], metric["value"], metric["unit"], metric["verdict"], test["outcome"])
                for test in report["tests"]
                if test["run"] == run.id
                for metric in test["metrics"]
            ]
            read = [
                (test, name, value.value, value.unit, value.verdict, value.outcome)
                for test, metrics in run.values.items()
                for name, values in metrics.items()
                for value in values
            ]
            assert sorted(read, key=str) == sorted(told, key=str)
            assert read

    def test_what_a_value_says(self, kept: Kept) -> None:
        """Its kind of device, the devices themselves, the outcome of its test, and what is not finite."""
        run = kept.runs[0]
        good = value_of(run, "test_good", "accuracy")
        assert (good.value, good.unit, good.higher_is_better, good.baseline) == (0.5, "%", True, None)
        assert (good.device, good.outcome) == ("NVIDIA H200", "passed")
        assert set(good.device_ids) < set(kept.uuids)
        infinite = value_of(run, "test_is_nan", "loss")
        assert (infinite.value, infinite.non_finite, infinite.verdict) == (None, "inf", "invalid")
        none = value_of(run, "test_none", "threads")
        assert (none.device, none.device_ids) == (cpu_kind(model()), ())
        assert value_of(run, "test_raises", "steps").outcome == "failed"

    def test_what_was_kept_is_not_counted_twice(self, kept: Kept) -> None:
        """A run that goes on with another has its own results alone."""
        assert len(kept.reports[1]["tests"]) == 5
        assert list(kept.runs[1].values) == ["test_suite.py::test_raises"]
        assert value_of(kept.runs[1], "test_raises", "steps").outcome == "passed"

    def test_each_worker_ran_every_test(self, kept: Kept) -> None:
        """All results are there, each with its device."""
        values = kept.runs[2].values["test_suite.py::test_good"]["time"]
        assert {value.device_ids: value.value for value in values} == {
            (kept.uuids[0],): 1.0, (kept.uuids[1],): 2.0,
        }  # fmt: skip
        assert kept.runs[2].workers == 2

    def test_a_run_that_has_just_ended(self, kept: Kept) -> None:
        """What it measured can be asked for beside those on record, and is the same."""
        latest = archive.load(archive.find(kept.base, "latest"))
        now = trend.measured(latest.facts(), latest.results, latest.devices())
        before = trend.history(kept.base, skip=now.id).runs
        assert (*before, now) == kept.runs

    def test_one_device_says_something_of_a_card(self, kept: Kept) -> None:
        """Neither none, nor a value that is not finite."""
        told = [(one.test.partition("::")[2], one.metric, one.value) for one in trend.observations(kept.runs)]
        assert sorted(told) == [
            ("test_good", "accuracy", 0.5), ("test_good", "accuracy", 0.5), ("test_good", "accuracy", 0.5),
            ("test_good", "time", 1.0), ("test_good", "time", 1.0), ("test_good", "time", 2.0),
            ("test_raises", "steps", 7.0), ("test_raises", "steps", 7.0),
        ]  # fmt: skip

    def test_a_bad_card_is_found(self, kept: Kept) -> None:
        """Where runs like the last one were made thrice."""
        runs = [replace(kept.runs[2], id=f"{kept.runs[2].id}{number}") for number in range(3)]
        (found,) = placement.findings(trend.observations(runs))
        assert (found.test, found.metric, found.unit) == ("test_suite.py::test_good", "time", "s")
        assert {found.device, found.other} == set(kept.uuids)
        assert found.device_name == "NVIDIA H200"
        assert {found.value, found.others} == {1.0, 2.0}

    def test_the_page(self, kept: Kept) -> None:
        """Strict JSON; of several values the mean."""
        page = trend.to_page(kept.runs[2])
        assert json.loads(json.dumps(page, allow_nan=False)) == page
        assert {key: page[key] for key in ("run", "commit", "workers")} == {
            "run": kept.runs[2].id, "commit": None, "workers": 2,
        }  # fmt: skip
        assert page["makespan_s"] == kept.reports[2]["summary"]["makespan_s"]
        good = {"verdict": None, "device": "NVIDIA H200"}
        none = {"unit": "", "verdict": None, "device": cpu_kind(model())}
        assert page["values"] == {
            "test_suite.py::test_good": {
                "accuracy": {"value": 0.5, "unit": "%", **good},
                "time": {"value": 1.5, "unit": "s", **good},
            },
            "test_suite.py::test_none": {"threads": {"value": 3, **none}},
        }
        first = trend.to_page(kept.runs[0])["values"]["test_suite.py::test_is_nan"]
        assert first == {"loss": {"value": None, "unit": "", "verdict": "invalid", "device": "NVIDIA H200"}}

"""The history keeps the last measurements of every test, and is never a reason for a run to fail."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gpupool.records import durations
from pytest_gpupool.records.durations import NAME, Observed, from_results
from pytest_gpupool.records.estimates import Known, Learned
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.records.journal import dump

H200 = "NVIDIA H200"
NOW = 1795261612.0  # 2026-11-21 in UTC
DAY = 86400.0
T = "test_a.py::test_f[été]"


def load(*given: Any) -> tuple[Any, str | None]:
    """What is known of tests, and the warning."""
    base, *others = given
    learned, warning = durations.load(base / NAME, *others)
    return learned.tests, warning


def save(base: Path, observed: list[Observed], **keys: Any) -> str | None:
    """Keep what a run measured in the file of a directory."""
    return durations.save(base / NAME, observed, **keys)


def content(base: Path) -> Any:
    return json.loads((base / "durations.json").read_bytes())


def put(base: Path, tests: object, **fields: object) -> Path:
    """A file with these tests."""
    path = base / "durations.json"
    path.write_text(json.dumps({"format": "gpupool-durations", "version": 1, "tests": tests, **fields}))
    return path


class TestKept:
    """What a run measured is known to the next one."""

    def test_a_missing_file_is_no_warning(self, tmp_path: Path) -> None:
        """The first run has none, nor perhaps the directory."""
        assert load(tmp_path, [H200]) == ({}, None)
        assert load(tmp_path / "none", [H200]) == ({}, None)

    def test_what_was_saved_is_loaded(self, tmp_path: Path) -> None:
        """The median of the seconds and the largest of the peaks; the directory is made."""
        base = tmp_path / "project" / ".gpupool"
        for seconds, peak in [(3.0, 100), (1.0, 300), (2.0, None)]:
            assert save(base, [Observed(T, H200, seconds, peak)]) is None
        assert load(base, [H200]) == ({T: Known(2.0, 300)}, None)

    def test_the_file_is_one_line_per_test(self, tmp_path: Path) -> None:
        """Sorted, in ASCII, with the day in UTC; nothing but the file and its lock is in the directory."""
        model = Observed("model[m0]", H200, 180.5, None, is_fixture=True)
        save(tmp_path, [Observed("b", "CPU", 0.12345678, None), model, Observed(T, H200, 2, 5)], now=NOW)
        assert (tmp_path / "durations.json").read_text().splitlines() == [
            '{"format":"gpupool-durations","version":2,"tests":{',
            '"b":{"CPU":{"seconds":[0.123457],"peak":[],"used":"2026-11-21"}},',
            '"test_a.py::test_f[\\u00e9t\\u00e9]":{"NVIDIA H200":{"seconds":[2.0],"peak":[5],"used":"2026-11-21"}}',
            '},"fixtures":{',
            '"model[m0]":{"NVIDIA H200":{"seconds":[180.5],"used":"2026-11-21"}}',
            "}}",
        ]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["durations.json", "durations.lock"]

    def test_the_order_of_ends_does_not_change_the_file(self, tmp_path: Path) -> None:
        """A comparison of two files shows measurements only."""
        observed = [Observed(nodeid, kind, 1.0, None) for nodeid in "cab" for kind in ("CPU", H200)]
        save(tmp_path / "1", observed, now=NOW)
        save(tmp_path / "2", observed[::-1], now=NOW)
        assert (tmp_path / "1/durations.json").read_text() == (tmp_path / "2/durations.json").read_text()

    def test_the_last_five_count(self, tmp_path: Path) -> None:
        """Newest last, of one run or of several."""
        save(tmp_path, [Observed(T, H200, number, number) for number in range(4)])
        save(tmp_path, [Observed(T, H200, number, None) for number in range(4, 8)], now=NOW)
        assert content(tmp_path)["tests"][T][H200] == {
            "seconds": [3, 4, 5, 6, 7],
            "peak": [0, 1, 2, 3],
            "used": "2026-11-21",
        }
        save(tmp_path, [Observed(T, H200, 8, None)], keep=2)
        assert content(tmp_path)["tests"][T][H200]["seconds"] == [7, 8]

    def test_other_tests_stay(self, tmp_path: Path) -> None:
        """Also where this run measured nothing."""
        save(tmp_path, [Observed("a", H200, 1.0, None)])
        save(tmp_path, [Observed("b", H200, 2.0, None)])
        save(tmp_path, [])
        assert load(tmp_path, [H200])[0] == {"a": Known(1.0, None), "b": Known(2.0, None)}

    def test_fixtures_are_known_by_the_kind_of_device(self, tmp_path: Path) -> None:
        """The median of one instance; a file of version 1, which has none, is read as well."""
        put(tmp_path, {"a": {"CPU": {"seconds": [3.0], "peak": []}}})
        path = tmp_path / NAME
        assert durations.load(path, ["CPU"]) == (Learned({"a": Known(3.0, None)}, {}, has_fixtures=False), None)
        for kind, seconds in [("CPU", 2.0), ("CPU", 4.0), (H200, 1.0)]:
            save(tmp_path, [Observed("model[m0]", kind, seconds, None, is_fixture=True)])
        assert durations.load(tmp_path / NAME, ["CPU"]) == (Learned({"a": Known(3.0, None)}, {"model[m0]": 3.0}), None)
        assert durations.load(tmp_path / NAME, [H200])[0].fixtures == {"model[m0]": 1.0}

    @pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
    def test_what_is_no_duration_is_not_kept(self, tmp_path: Path, seconds: float) -> None:
        """A clock that was set back measures nothing."""
        assert save(tmp_path, [Observed("a", H200, seconds, None), Observed("b", H200, 1.0, -1)]) is None
        assert load(tmp_path, [H200]) == ({"b": Known(1.0, None)}, None)

    def test_any_text_is_a_nodeid(self, tmp_path: Path) -> None:
        """Lone surrogates and control characters too."""
        names = ["\ud800", 'a"\n\0', "", "\u2028"]
        assert save(tmp_path, [Observed(name, name, 1.0, None) for name in names]) is None
        assert load(tmp_path, []) == (dict.fromkeys(names, Known(1.0, None)), None)


class TestKinds:
    """Measurements are kept by kind of device."""

    def test_the_first_kind_with_data_counts(self, tmp_path: Path) -> None:
        """Test by test."""
        save(tmp_path, [Observed("a", H200, 1.0, 1), Observed("a", "CPU", 9.0, 9), Observed("b", "CPU", 8.0, 8)])
        assert load(tmp_path, [H200, "CPU"])[0] == {"a": Known(1.0, 1), "b": Known(8.0, 8)}
        assert load(tmp_path, ["CPU", H200])[0] == {"a": Known(9.0, 9), "b": Known(8.0, 8)}

    def test_else_the_one_measured_last(self, tmp_path: Path) -> None:
        """Another kind tells more than nothing."""
        save(tmp_path, [Observed("a", "NVIDIA L4", 5.0, None)], now=NOW)
        save(tmp_path, [Observed("a", "NVIDIA A100", 3.0, None)], now=NOW + DAY)
        save(tmp_path, [Observed("a", "Tesla T4", 7.0, None)], now=NOW - DAY)
        assert load(tmp_path, [H200])[0] == load(tmp_path, [])[0] == {"a": Known(3.0, None)}


class TestMost:
    """The file does not grow without end."""

    def test_those_measured_least_recently_go(self, tmp_path: Path) -> None:
        """By day."""
        for day, nodeid in enumerate("cab"):
            save(tmp_path, [Observed(nodeid, H200, 1.0, None)], now=NOW + day * DAY)
        save(tmp_path, [Observed("d", H200, 1.0, None)], now=NOW + 3 * DAY, most=3)
        assert set(content(tmp_path)["tests"]) == {"a", "b", "d"}

    def test_of_one_day_this_runs_stay(self, tmp_path: Path) -> None:
        """Those of earlier runs go."""
        save(tmp_path, [Observed(nodeid, H200, 1.0, None) for nodeid in "wxyz"], now=NOW)
        save(tmp_path, [Observed(nodeid, H200, 1.0, None) for nodeid in "ax"], now=NOW, most=2)
        assert set(content(tmp_path)["tests"]) == {"a", "x"}

    def test_a_test_is_as_young_as_its_youngest_kind(self, tmp_path: Path) -> None:
        """It goes whole or stays whole."""
        save(tmp_path, [Observed("a", "CPU", 1.0, None)], now=NOW)
        save(tmp_path, [Observed("b", H200, 1.0, None)], now=NOW + DAY)
        save(tmp_path, [Observed("a", H200, 1.0, None)], now=NOW + 2 * DAY)
        save(tmp_path, [], most=1)
        assert {nodeid: set(kinds) for nodeid, kinds in content(tmp_path)["tests"].items()} == {"a": {"CPU", H200}}


class TestDamaged:
    """A file that is not as it should be is said once, and costs no run."""

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "it is not JSON"),
            (b"\xff\xfe\x00", "it is not JSON"),
            (b"[" * 100_000, "it is not JSON"),
            (b'{"format": "gpupool-durations", "version": 1, "tests": {"a": ', "it is not JSON"),
            (b"[]", "it is not a file of durations"),
            (b'{"format": "other", "version": 1, "tests": {}}', "it is not a file of durations"),
            (b'{"format": "gpupool-durations", "version": "1"}', "it is not a file of durations"),
            (b'{"format": "gpupool-durations", "version": 1}', "1 part of it is not what it should be"),
        ],
        ids=["empty", "bytes", "deep", "torn", "list", "other", "version", "no-tests"],
    )
    def test_nothing_can_be_read(self, tmp_path: Path, data: bytes, why: str) -> None:
        """The warning says why; the next run begins anew and keeps the old file beside it."""
        path = tmp_path / "durations.json"
        path.write_bytes(data)
        warning = f"{path} is damaged: {why}; the durations in it are used as far as they can be read"
        assert load(tmp_path, [H200]) == ({}, warning)
        assert save(tmp_path, [Observed("a", H200, 1.0, None)]) is None
        assert load(tmp_path, [H200]) == ({"a": Known(1.0, None)}, None)
        assert (tmp_path / "durations.json.damaged").read_bytes() == data

    @pytest.mark.parametrize(
        "past",
        [None, [], {}, 1, {"seconds": []}, {"seconds": 1}, {"seconds": [True]}, {"seconds": ["1"]}, {"seconds": [-1]},
         {"seconds": [float("nan")]}, {"seconds": [float("inf")]}, {"seconds": [10**400]}, {"seconds": [[1]]},
         {"seconds": [1], "peak": [0.5]}, {"seconds": [1], "peak": None}, {"seconds": [1], "used": 3}],
        ids=repr,
    )  # fmt: skip
    def test_a_wrong_part_is_passed_over(self, tmp_path: Path, past: object) -> None:
        """The others are used, and stay when a run adds to them."""
        path = put(tmp_path, {"a": {H200: past, "CPU": {"seconds": [2]}}, "b": {H200: past}, "c": past})
        known, warning = load(tmp_path, [H200])
        assert known == {"a": Known(2, None)}
        assert warning is not None
        assert warning.startswith(f"{path} is damaged: ")
        assert save(tmp_path, [Observed("d", H200, 1.0, None)]) is None
        assert load(tmp_path, [H200]) == ({"a": Known(2, None), "d": Known(1.0, None)}, None)
        assert (tmp_path / "durations.json.damaged").exists()

    def test_a_newer_version_is_left_alone(self, tmp_path: Path) -> None:
        """What is understood is used; a run of this version does not write over it."""
        path = put(tmp_path, {"a": {H200: {"seconds": [2.0], "watts": 1}}, "b": "new"}, version=3)
        before = path.read_bytes()
        warning = (
            f"{path} is of version 3, which a newer pytest-gpupool wrote; "
            "the durations in it are used as far as this one understands them"
        )
        assert load(tmp_path, [H200]) == ({"a": Known(2.0, None)}, warning)
        assert save(tmp_path, []) == f"{warning}, and those of this run are not kept"
        assert path.read_bytes() == before

    @given(st.binary())
    @example(b'{"format": "gpupool-durations", "version": NaN}')
    @example(b"\xef\xbb\xbf{}")
    @example(b"9" * 5000)
    def test_any_bytes_are_survived(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        """There is a warning, and what is saved then is loaded."""
        base = tmp_path_factory.mktemp("fuzz")
        (base / "durations.json").write_bytes(data)
        assert load(base, [H200])[1] is not None
        assert save(base, [Observed("a", H200, 1.0, None)]) is None
        assert load(base, [H200]) == ({"a": Known(1.0, None)}, None)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab", max_size=2),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["seconds", "peak", "used", H200, "a"]), inner, max_size=4)
            ),
            max_leaves=20,
        ),
        st.sampled_from([1, 2, 2, 3, 0, None]),
    )
    def test_any_values_are_survived(
        self, tmp_path_factory: pytest.TempPathFactory, tests: object, version: object
    ) -> None:
        """What is known has a duration, and what a run adds is known then."""
        base = tmp_path_factory.mktemp("fuzz")
        put(base, tests, version=version)
        known, _ = load(base, [H200])
        assert all(test.seconds >= 0 for test in known.values())
        problem = save(base, [Observed("new", H200, 1.0, None)])
        assert (problem is not None) == (version == 3)
        if problem is None:
            assert load(base, [H200]) == ({**known, "new": Known(1.0, None)}, None)


class TestUnwritable:
    """Where the file cannot be read or written, there is a text and no error."""

    def test_a_directory_in_its_place(self, tmp_path: Path) -> None:
        """The text names the file and the reason."""
        path = tmp_path / "durations.json"
        path.mkdir()
        assert load(tmp_path, []) == (
            {},
            f"{path} cannot be read: Is a directory; the durations of earlier runs are not used",
        )
        assert save(tmp_path, []) == f"{path}: Is a directory; the durations of this run are not kept"
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["durations.json", "durations.lock"]

    def test_a_file_in_place_of_the_directory(self, tmp_path: Path) -> None:
        """Neither read nor written."""
        base = tmp_path / ".gpupool"
        base.write_text("")
        path = base / "durations.json"
        assert load(base, [])[1] == (
            f"{path} cannot be read: Not a directory; the durations of earlier runs are not used"
        )
        assert save(base, []) == f"{path}: File exists; the durations of this run are not kept"

    def test_a_lock_that_nobody_gives_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run that is stopped in the middle of it does not keep another one from ending."""
        monkeypatch.setattr(durations, "LOCK_SECONDS", 0.1)
        with (tmp_path / "durations.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert save(tmp_path, []) == (
                f"{tmp_path / 'durations.json'}: another run has kept its lock for too long; "
                "the durations of this run are not kept"
            )
        assert save(tmp_path, []) is None

    def test_a_read_only_disk(self, small_disk: Path) -> None:
        """What is there is still loaded."""
        save(small_disk, [Observed("a", H200, 1.0, None)])
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        path = small_disk / "durations.json"
        assert save(small_disk, [Observed("b", H200, 1.0, None)]) == (
            f"{path}: Read-only file system; the durations of this run are not kept"
        )
        assert load(small_disk, [H200]) == ({"a": Known(1.0, None)}, None)

    def test_a_full_disk(self, small_disk: Path) -> None:
        """The old file stays, with no draft beside it."""
        save(small_disk, [Observed("a", H200, 1.0, None)])
        path = small_disk / "durations.json"
        assert save(small_disk, [Observed("x" * 100_000, H200, 1.0, None)]) == (
            f"{path}: No space left on device; the durations of this run are not kept"
        )
        assert load(small_disk, [H200]) == ({"a": Known(1.0, None)}, None)
        assert sorted(entry.name for entry in small_disk.iterdir()) == ["durations.json", "durations.lock"]


def test_runs_that_end_together_all_count(tmp_path: Path) -> None:
    """Each adds its own tests to the others'."""
    source = """
import sys
from pathlib import Path
from pytest_gpupool.records.durations import Observed, save

for number in range(10):
    assert save(Path(sys.argv[1], "durations.json"), [Observed(f"{sys.argv[2]}-{number}", "CPU", 1.0, None)]) is None
"""
    runs = [subprocess.Popen([sys.executable, "-c", source, str(tmp_path), str(run)]) for run in range(4)]
    assert [run.wait() for run in runs] == [0, 0, 0, 0]
    assert set(load(tmp_path, ["CPU"])[0]) == {f"{run}-{number}" for run in range(4) for number in range(10)}


class TestFromResults:
    """What of a run's results is worth keeping."""

    @pytest.mark.parametrize("outcome", ["passed", "failed", "xfailed", "xpassed", "timeout"])
    def test_a_test_that_ran(self, outcome: str) -> None:
        """By the kind of its first device."""
        results = run_of(outcome, devices=["GPU-1", "GPU-2"], duration=2.5)
        assert from_results(results, {"GPU-1": H200, "GPU-2": "CPU"}) == [Observed(T, H200, 2.5, None)]

    @pytest.mark.parametrize("outcome", ["error", "skipped", "crashed", "not-run"])
    def test_a_test_that_did_not_run_to_its_end(self, outcome: str) -> None:
        """Its duration tells nothing."""
        assert from_results(run_of(outcome, devices=[], duration=2.5), {}) == []

    def test_a_test_without_a_duration(self) -> None:
        """There is nothing to keep."""
        assert from_results(run_of("passed", devices=[], duration=None), {}) == []

    def test_a_test_without_a_device(self) -> None:
        """It ran on the CPU."""
        assert from_results(run_of("passed", devices=[], duration=1.0), {"GPU-1": H200}) == [
            Observed(T, "CPU", 1.0, None)
        ]

    def test_a_memory_peak(self) -> None:
        """Where the result has one."""
        results = run_of("passed", devices=[], duration=1.0)
        test = SimpleNamespace(nodeid=T, outcome="passed", devices=["GPU-1"], duration=1.0, peak=7, cause=None)
        short = SimpleNamespace(**{**vars(test), "outcome": "failed", "cause": "out-of-memory"})
        with_peak = cast(Results, SimpleNamespace(ran=[*results.ran, test, short], set_ups={}))
        # What has run out of memory needs more than it had.
        assert [observed.peak for observed in from_results(with_peak, {})] == [None, 7, 14]


def run_of(outcome: str, *, devices: list[str], duration: float | None) -> Results:
    """The results of a run of one test."""
    started = "2026-11-21T11:46:52.000000Z"
    common = {"worker": "gw0", "test": T}
    results = Results()
    results.add({"record": "start", **common, "devices": devices, "started": started})
    end = {"record": "end", **common, "outcome": outcome, "duration_s": duration, "ended": started}
    results.add({**end, "phases": {}, "message": None})
    return results


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk, and not in every container")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


class TestKilledRuns:
    """Runs that were killed left their records, but saved no durations."""

    def record(self, runs: Path, run: str, seconds: float, *, ended: bool) -> None:
        directory = runs / "runs" / run
        directory.mkdir(parents=True)
        worker: list[dict[str, object]] = [
            {
                "record": "start", "worker": "gw0", "test": "t.py::a", "devices": ["cpu:0"],
                "started": "2026-11-21T00:00:00Z",
            },
            {
                "record": "end", "worker": "gw0", "test": "t.py::a", "outcome": "passed", "phases": {},
                "duration_s": seconds, "ended": "2026-11-21T00:00:09Z", "message": None,
            },
        ]  # fmt: skip
        (directory / "gw0.jsonl").write_text("".join(f"{dump(line)}\n" for line in worker))
        last = [{"record": "run-end", "ended": "2026-11-21T00:00:10Z", "exit_status": 0}] if ended else []
        (directory / "controller.jsonl").write_text("".join(f"{dump(line)}\n" for line in last))

    def test_what_they_measured_counts_until_it_is_too_old(self, tmp_path: Path) -> None:
        """One that ended has saved its own, and the present one's records are no history."""
        killed, ended, present = (f"20261121T00000{number}Z-9f3c2a" for number in range(3))
        self.record(tmp_path, killed, 3.0, ended=False)
        self.record(tmp_path, ended, 5.0, ended=True)
        self.record(tmp_path, present, 7.0, ended=False)
        observed, unreadable = durations.of_killed_runs(tmp_path, {}, skip=present)
        assert unreadable == []
        assert observed == [Observed("t.py::a", "CPU", 3.0, None)]
        known, problem = load(tmp_path, ["CPU"], observed)
        assert (known["t.py::a"].seconds, problem) == (3.0, None)

    def test_damaged_records_are_passed_over(self, tmp_path: Path) -> None:
        """Whatever is in them."""
        killed = "20261121T000000Z-9f3c2a"
        self.record(tmp_path, killed, 3.0, ended=False)
        (tmp_path / "runs" / killed / "gw1.jsonl").write_bytes(
            b'{"record":"start"}\n\xff\n[]\n{"record":"end","test":5}\n'
        )
        (tmp_path / "a-file").write_text("")
        assert [one.seconds for one in durations.of_killed_runs(tmp_path, {}, skip="")[0]] == [3.0]

    def test_a_run_that_cannot_be_read_is_told_and_costs_no_other_one(self, tmp_path: Path) -> None:
        """Whichever of its files it is."""
        self.record(tmp_path, "20261121T000000Z-9f3c2a", 3.0, ended=False)
        bad = tmp_path / "runs" / "20261121T000001Z-9f3c2a"
        (bad / "controller.jsonl").mkdir(parents=True)
        observed, unreadable = durations.of_killed_runs(tmp_path, {}, skip="")
        assert [one.seconds for one in observed] == [3.0]
        assert unreadable == [f"a run is left out: {bad} cannot be read: Is a directory"]

    def test_no_runs_are_no_problem(self, tmp_path: Path) -> None:
        """As in the first run of all."""
        assert durations.of_killed_runs(tmp_path, {}, skip="") == ([], [])

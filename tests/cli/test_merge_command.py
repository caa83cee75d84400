"""What 'gpupool merge' makes of shards on record: their verdicts, exit status and baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import CARDS, Record, attempt, metric, write_run
from program import gpupool
from support import Host

TESTS = ["test_a.py::test_a", "test_a.py::test_b"]
POLICY = {"record": "policy", "worker": "controller", "error": 0.005, "rtol": 0.01, "fail_on": ["regressed"]}


def write_shards(
    host: Host, *records: Record, value: float = 0.9, status: int | None = 0, indices: tuple[int, ...] = (1, 2)
) -> list[Path]:
    """Two shards that have ended, each with a test; the directories of their runs."""
    base = host.project / ".gpupool"
    made = []
    for index in indices:
        of = {"record": "shard", "worker": "controller", "index": index, "count": 2}
        lines = [{**of, "tests": TESTS, "fingerprint": "f", "paths": [""]}, *records]
        accuracy = metric("accuracy", value, unit="", higher_is_better=True)
        started, *rest = attempt(TESTS[index - 1], accuracy)
        lines += [{**started, "device_kind": CARDS[0].name}, *rest]
        if status is not None:
            ended = {"ended": "2026-11-21T12:00:00.000000Z", "exit_status": status}
            lines.append({"record": "run-end", "worker": "controller", **ended})
        number = len(list(base.glob("runs/*")))
        made.append(write_run(base, f"20261121T11465{number}Z-00000{index}", lines))
    return made


def merged(host: Host, *args: str | Path) -> tuple[int, Any, str]:
    """The exit status, the report, and what is said."""
    status, out, err = gpupool(host, "merge", *args, "--json=merged.json")
    path = host.project / "merged.json"
    return status, json.loads(path.read_text()) if path.exists() else None, out + err


def test_the_baseline_is_made_and_used_by_merge(cpu_host: Host) -> None:
    """Shards need none; a file that is missing is refused, unless it is to be made."""
    runs = write_shards(cpu_host)
    status, report, said = merged(cpu_host, *runs, "--baseline=baseline.json")
    assert (status, report) == (4, None)
    assert "the baseline file baseline.json is missing" in said
    status, report, said = merged(cpu_host, *runs, "--baseline=baseline.json", "--update-baseline")
    assert status == 0, said
    assert "baseline baseline.json: 2 entries written, 0 unchanged" in said
    assert report["summary"]["metrics"]["no-baseline"] == 2
    worse = write_shards(cpu_host, value=0.5)
    status, report, said = merged(cpu_host, *worse, "--baseline=baseline.json")
    assert status == report["run"]["exit_status"] == 1
    assert report["summary"]["metrics"]["regressed"] == 2
    assert "FAILED test_a.py::test_a - accuracy 0.5" in said
    status, report, said = merged(cpu_host, worse[0], "--baseline=baseline.json", "--update-baseline")
    assert status == 1
    assert "the baseline baseline.json was not updated: the run is incomplete" in said
    assert "say which file with --baseline PATH" in merged(cpu_host, *worse, "--update-baseline")[2]


def test_shards_that_had_a_baseline_are_judged_by_it(cpu_host: Host) -> None:
    """As it was when they began; where that differs, or is gone, nothing is taken to be well."""
    runs = write_shards(cpu_host, POLICY)
    status, _, said = merged(cpu_host, *runs)
    assert status == 4
    assert "the shards' copies of the baseline are gone: say by which to judge with --baseline PATH" in said
    merged(cpu_host, *runs, "--baseline=baseline.json", "--update-baseline")
    text = (cpu_host.project / "baseline.json").read_text()
    worse = write_shards(cpu_host, POLICY, value=0.5)
    (worse[1] / "baseline.json").write_text(text)
    assert merged(cpu_host, *worse)[0] == 1
    (worse[0] / "baseline.json").write_text(text.replace("0.9", "0.4"))
    status, _, said = merged(cpu_host, *worse)
    assert status == 4
    assert "the shards began with baselines that differ" in said


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (None, 0), (3, 1), (1, 1)])
def test_an_exit_status_that_no_test_explains(cpu_host: Host, status: int | None, expected: int) -> None:
    """Makes the whole run one that failed: a plugin, or an error that is no test's, was to blame."""
    runs = write_shards(cpu_host, status=status)
    told, report, said = merged(cpu_host, *runs)
    assert told == expected
    assert report["run"]["complete"]
    assert (f"(shard 1) ended with exit status {status}, by no test's" in said) is bool(expected)

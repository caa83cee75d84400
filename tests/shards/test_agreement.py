"""Whether runs are shards of one run, by their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_runs import CARDS, COMMIT, Record, attempt, write_run

from pytest_gpupool.records import archive
from pytest_gpupool.records.archive import Recorded
from pytest_gpupool.records.journal import VERSION
from pytest_gpupool.shards.agreement import agreed
from pytest_gpupool.shards.merging import merged
from pytest_gpupool.values.errors import UsageProblem

TESTS = ["test_a.py::test_a[0]", "test_a.py::test_a[1]", "test_b.py::test_b"]


def run_of(
    base: Path,
    index: int,
    *records: Record,
    ran: Sequence[str] = (),
    resumed_from: str | None = None,
    recipe: str = "s:c:p:o",
    plan: dict[str, Any] | None = None,
    **changes: Any,
) -> Recorded:
    """A run that was shard ``index`` of 2; ``changes`` are to what its record has of that, ``plan`` to its plan."""
    number = len(archive.runs(base))
    told = {"index": index, "count": 2, "tests": TESTS, "fingerprint": "f", "paths": [""]} | changes
    lines = [{"record": "shard", "worker": "gw0", **told}] if told["count"] else []
    for test in ran:
        started, *rest = attempt(test)
        lines += [{**started, "recipe": recipe}, *rest]
    path = write_run(base, f"20261121T11465{number}Z-00000{index}", [*lines, *records] or attempt(TESTS[0]))
    recorded = archive.load(path)
    facts = dict(recorded.plan.facts) | {"resumed_from": resumed_from}
    return replace(recorded, plan=replace(recorded.plan, **({"facts": facts, "sources": {}} | (plan or {}))))


def test_shards_of_one_run_agree(tmp_path: Path) -> None:
    """In any order; what is missing is known, and has no outcome."""
    second, first = run_of(tmp_path, 2, ran=TESTS[2:]), run_of(tmp_path, 1, ran=TESTS[:2])
    found = agreed([second, first, second])
    assert (found.runs, found.missing, found.notes) == ((first, second), (), ())
    alone = agreed([second])
    assert alone.missing == (1,)
    outcomes = {test.nodeid: test.outcome for test in merged(alone.runs).results.tests}
    assert outcomes == {TESTS[0]: "not-run", TESTS[1]: "not-run", TESTS[2]: "passed"}


OTHER_GIT = {"commit": "b" * 40, "branch": "main", "dirty": False}
POLICY = {"record": "policy", "worker": "gw0", "error": 0.01, "rtol": 0.01, "fail_on": []}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": {"facts": {"git": OTHER_GIT}}}, f"their commits are {COMMIT[:10]} and bbbbbbbbbb"),
        ({"plan": {"facts": {}}}, "and unknown"),
        ({"plan": {"sources": {"lib.py": "1234"}}}, "beside the commit they differ in lib.py"),
        ({"plan": {"devices": ()}}, "one ran on CPU slots, the other on GPUs"),
        ({"count": 3}, "one is of 2 shards, the other of 3"),
        ({"tests": TESTS[:2]}, "only one of them has collected test_b.py::test_b"),
        ({"tests": [*TESTS, "c", "d", "e", "f"]}, "only one of them has collected c, d, e and 1 more"),
        ({"fingerprint": "g"}, "by other durations, or by another --dist, so that some tests may be in none"),
        ({"ran": [TESTS[1]], "recipe": "x:c:p:o"}, "they differ in the source of test_a.py::test_a"),
        ({"ran": [TESTS[1]], "recipe": "s:x:p:o"}, "the conftest.py files of test_a.py::test_a"),
        ({"ran": [TESTS[2]], "recipe": "t:d:q:x"}, "the suite's own options, or --gpupool-seed"),
    ],
)
def test_what_is_of_another_run_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """With the two runs, and what they differ in."""
    leased = {"record": "worker", "worker": "gw0", "host": "a", "pid": 1, "devices": [], "lease_wait_s": 0.0}
    leased["started"] = "2026-11-21T11:46:50.000000Z"
    one, other = run_of(tmp_path, 1, leased, ran=[TESTS[0]]), run_of(tmp_path, 2, leased, **changes)
    with pytest.raises(UsageProblem) as caught:
        agreed([one, other])
    assert str(caught.value).startswith(
        f"run {one.id} (shard 1/2) and run {other.id} (shard 2/{changes.get('count', 2)})"
    )
    assert said in str(caught.value)


def test_rules_that_differ(tmp_path: Path) -> None:
    """By which metrics are judged."""
    one, other = run_of(tmp_path, 1, POLICY), run_of(tmp_path, 2, {**POLICY, "rtol": 0.5})
    with pytest.raises(UsageProblem, match=r"they are judged by other rules \(rtol\)"):
        agreed([one, other])
    with pytest.raises(UsageProblem, match="only one of them had --gpupool-baseline"):
        agreed([one, run_of(tmp_path, 2)])


def test_what_cannot_be_merged_at_all(tmp_path: Path) -> None:
    """A whole run, a damaged one, and one of a newer version."""
    with pytest.raises(UsageProblem, match="is no shard: those are merged that had --gpupool-shard"):
        agreed([run_of(tmp_path, 1, count=0)])
    with pytest.raises(UsageProblem, match="is damaged: its record says that it is shard 3/2"):
        agreed([run_of(tmp_path, 3)])
    with pytest.raises(UsageProblem, match="is damaged: its record says that it is shard 1/300000000"):
        agreed([run_of(tmp_path, 1, count=300_000_000)])
    with pytest.raises(UsageProblem, match="of a newer pytest-gpupool: merge with that one"):
        agreed([replace(run_of(tmp_path, 1), version=VERSION + 1)])


def test_the_run_that_went_on_counts(tmp_path: Path) -> None:
    """Over any number of steps; of two that did not there is no saying which."""
    first = run_of(tmp_path, 1)
    second = run_of(tmp_path, 1, resumed_from=first.id)
    third = run_of(tmp_path, 1, resumed_from=second.id)
    assert agreed([third, first, second]).runs == (third,)
    with pytest.raises(UsageProblem, match="several times, and none goes on with the other") as caught:
        agreed([third, first])
    assert f"{third.id} and {first.id}" in str(caught.value)


def test_other_software_is_told(tmp_path: Path) -> None:
    """It is no reason to refuse them."""
    software = dict.fromkeys(("python", "pytest", "pytest_xdist", "pytest_gpupool", "torch", "driver"))
    facts = run_of(tmp_path, 1).plan.facts
    plans = [{"facts": {**facts, "software": {**software, "driver": driver}}} for driver in ("580.1", "575.2")]
    runs = [run_of(tmp_path, index, plan=plan) for index, plan in enumerate(plans, 1)]
    assert agreed(runs).notes == ("shards differ in driver: 580.1 in 1/2, 575.2 in 2/2",)


def test_devices_of_several_machines(tmp_path: Path) -> None:
    """Each once."""
    run = merged(agreed([run_of(tmp_path, 1, ran=TESTS[:2]), run_of(tmp_path, 2, ran=TESTS[2:])]).runs)
    assert run.devices() == CARDS
    assert [test.worker for test in run.results.tests] == ["1/gw0", "1/gw0", "2/gw0"]

"""Agreement: whether runs are shards of one and the same run, and which of them count.

Pure: no clock, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..records.archive import Recorded
from ..records.folding.result import TestResult
from ..records.journal import VERSION
from ..records.record import Record
from ..values.errors import UsageProblem
from ..values.nodeids import function_of
from ..values.texts import one_line, safe_repr
from .place import MOST

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The runs that count, in the order of their shards; which shards no run is of; and what is to be said."""

    runs: tuple[Recorded, ...]
    missing: tuple[int, ...]
    notes: tuple[str, ...]


def agreed(runs: Sequence[Recorded]) -> Agreement:
    """Return what becomes one run.

    Raises:
        UsageProblem: they are no shards, not of one run, or there are two of a shard of which none goes on with the
            other.
    """
    for run in runs:
        _check_alone(run)
    first, *others = runs
    for other in others:
        for differs in _ASPECTS:
            if why := differs(first, other):
                raise UsageProblem(f"{_name(first)} and {_name(other)} are not of one run: {why}")
    _check_sources(runs)
    latest = [_latest(list(of_one)) for of_one in _by_shard(runs)]
    there = {shard_of(run)["index"] for run in latest}
    count = shard_of(first)["count"]
    return Agreement(
        runs=tuple(latest),
        missing=tuple(index for index in range(1, count + 1) if index not in there),
        notes=tuple(_notes(latest)),
    )


def shard_of(run: Recorded) -> Record:
    """Return what a run's record has of its shard."""
    assert run.results.shard is not None
    return run.results.shard


def _check_alone(run: Recorded) -> None:
    shard = run.results.shard
    if run.version > VERSION:
        raise UsageProblem(f"run {run.id} has records of a newer pytest-gpupool: merge with that one")
    if shard is None:
        raise UsageProblem(
            f"run {run.id} is no shard: those are merged that had --gpupool-shard and have collected their tests"
        )
    if not 1 <= shard["index"] <= shard["count"] <= MOST:
        raise UsageProblem(f"run {run.id} is damaged: its record says that it is shard {_place(shard)}")


def _commit(one: Recorded, other: Recorded) -> str | None:
    commits = [run.plan.facts.get("git") for run in (one, other)]
    first, second = ((git.get("commit") if isinstance(git, dict) else None) for git in commits)
    return None if first == second else f"their commits are {_short(first)} and {_short(second)}"


def _changes(one: Recorded, other: Recorded) -> str | None:
    before, after = dict(one.plan.sources or {}), dict(other.plan.sources or {})
    differing = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return None if not differing else f"beside the commit they differ in {_few(differing)}"


def _count(one: Recorded, other: Recorded) -> str | None:
    counts = [shard_of(run)["count"] for run in (one, other)]
    return None if counts[0] == counts[1] else f"one is of {counts[0]} shards, the other of {counts[1]}"


def _tests(one: Recorded, other: Recorded) -> str | None:
    before, after = (dict.fromkeys(shard_of(run)["tests"]) for run in (one, other))
    lacking = [test for test in before if test not in after] + [test for test in after if test not in before]
    return None if not lacking else f"only one of them has collected {_few(lacking)}"


def _knowledge(one: Recorded, other: Recorded) -> str | None:
    if shard_of(one)["fingerprint"] == shard_of(other)["fingerprint"]:
        return None
    return (
        "they have cut the same tests by other durations, or by another --dist, so that some tests may be in none; "
        "give all machines one --gpupool-durations file, and run them again"
    )


def _policy(one: Recorded, other: Recorded) -> str | None:
    rules = [run.results.policy or {} for run in (one, other)]
    differing = [key for key in ("error", "rtol", "fail_on") if rules[0].get(key) != rules[1].get(key)]
    if not differing:
        return None
    if bool(rules[0]) != bool(rules[1]):
        return "only one of them had --gpupool-baseline"
    return f"they are judged by other rules ({', '.join(differing)})"


def _kind_of_device(one: Recorded, other: Recorded) -> str | None:
    on_cpu = [not run.devices() for run in (one, other) if run.results.workers]
    return "one ran on CPU slots, the other on GPUs" if len(set(on_cpu)) > 1 else None


_ASPECTS: Sequence[Callable[[Recorded, Recorded], str | None]] = (
    *(_commit, _changes, _count, _tests, _knowledge, _policy, _kind_of_device),
)


def _check_sources(runs: Sequence[Recorded]) -> None:
    """Refuse runs of which tests of one function were made from other sources, or by other options of the suite.

    Raises:
        UsageProblem: naming one.
    """
    known: dict[str, tuple[str, Recorded]] = {}
    for run in runs:
        for test in run.results.single:
            for about, digest in _sources(test):
                before, first = known.setdefault(about, (digest, run))
                if before != digest:
                    raise UsageProblem(
                        f"{_name(first)} and {_name(run)} are not of one run: they differ in {one_line(about)}"
                    )


def _sources(test: TestResult) -> Iterator[tuple[str, str]]:
    parts = (test.recipe or "").split(":")
    if len(parts) == 4:
        function = function_of(test.nodeid)
        yield f"the source of {function}", parts[0]
        yield f"the conftest.py files of {function}", parts[1]
        yield "the suite's own options, or --gpupool-seed", parts[3]


def _by_shard(runs: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    for index in sorted({shard_of(run)["index"] for run in runs}):
        # The same run may have been named twice.
        yield list({run.id: run for run in runs if shard_of(run)["index"] == index}.values())


def _latest(runs: Sequence[Recorded]) -> Recorded:
    """Return the run of one shard that counts: the one that has gone on with all the others."""
    gone_on_with = {run.plan.facts.get("resumed_from") for run in runs}
    left = [run for run in runs if run.id not in gone_on_with]
    if len(left) != 1:
        names = " and ".join(run.id for run in left[:_SHOWN])
        raise UsageProblem(
            f"shard {_place(shard_of(runs[0]))} is there several times, and none goes on with the other: {names}; give "
            "one of them, or run it again with --gpupool-resume"
        )
    return left[0]


def _notes(runs: Sequence[Recorded]) -> Iterator[str]:
    versions: dict[str, dict[Any, list[str]]] = {}
    for run in runs:
        software = run.facts()["software"]
        for name in software:
            versions.setdefault(name, {}).setdefault(software[name], []).append(_place(shard_of(run)))
    for name, found in versions.items():
        if len(found) > 1:
            told = ", ".join(f"{version or 'none'} in {shards[0]}" for version, shards in found.items())
            yield f"shards differ in {name}: {told}"


def _name(run: Recorded) -> str:
    return f"run {run.id} (shard {_place(shard_of(run))})"


def _place(shard: Record) -> str:
    return f"{shard['index']}/{shard['count']}"


def _short(commit: object) -> str:
    return "unknown" if commit is None else safe_repr(commit)[1:11]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return one_line(", ".join(names[:_SHOWN])) + more

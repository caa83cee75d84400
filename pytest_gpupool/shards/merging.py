"""Merging: the records of several shards as those of one run, whose metrics nobody has judged yet."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..records import archive, journal
from ..records.archive import Plan, Recorded
from ..records.beside import attachments
from ..records.beside.samples import Samples
from ..records.folding.results import Results
from ..records.record import Record, in_order
from ..values.texts import epoch, iso
from .agreement import shard_of

_OPTION = "--gpupool-shard"
_CPU = "cpu:"

# What each shard says of itself alone: its part, its verdicts, its end.
_OF_SHARD = frozenset({"shard", "setting", "policy", "decided", "aggregated", "run-end"})


def merged(runs: Sequence[Recorded]) -> Recorded:
    """Return the run that these shards are of together, each of which is there once.

    Workers are called ``2/gw0`` by the shard that they were in; CPU slots of several machines have numbers of their
    own. Tests that no shard has run have no outcome.
    """
    first, stamp = runs[0], min(run.facts()["started"] for run in runs)
    results = Results()
    results.add_all(_heading(runs))
    results.add_all(in_order(_journals(runs)))
    for worker in results.workers.values():
        worker.exit = worker.exit or "killed"
    samples = Samples(*(run.path for run in runs))
    samples.complete(results.single)
    for run in runs:
        attachments.complete(run.path, results.single)
    ended = max((run.ended for run in runs if run.ended), default=None)
    devices = {device.id: device for run in runs for device in run.devices()}
    facts = first.facts() | {
        "started": stamp,
        "command": _command(first.facts()["command"]),
        "git": _git(runs),
        "resumed_from": None,
    }
    return replace(
        first,
        id=_id(runs, stamp),
        plan=Plan(facts=facts, devices=tuple(devices.values()), sources=first.plan.sources),
        results=results,
        exit_status=None,
        ended=ended,
        items=archive.items_of(*(run.path for run in runs)),
        samples=samples,
        problems=tuple(f"shard {shard_of(run)['index']}: {text}" for run in runs for text in run.problems),
    )


def paths_of(runs: Sequence[Recorded]) -> list[str] | None:
    """Return where all shards together have looked for tests, None where that is not known, or not everywhere there."""
    # All have collected the same: who went on with an earlier run cannot tell, the others can.
    return next((shard_of(run)["paths"] for run in runs if shard_of(run)["paths"] is not None), None)


def differing_baselines(runs: Sequence[Recorded]) -> bool:
    """Say whether shards began with baselines that are not the same, as far as their copies are there."""
    kept = [run.path / "baseline.json" for run in runs]
    return len({path.read_bytes() for path in kept if path.is_file()}) > 1


def _heading(runs: Sequence[Recorded]) -> Iterator[Record]:
    """Yield what is known of the whole run: its tests, in their order, its rules and settings."""
    yield {"record": "collected", "worker": "", "tests": [[test, {}] for test in shard_of(runs[0])["tests"]]}
    if (policy := runs[0].results.policy) is not None:
        # Each shard had its share of the error.
        yield {**policy, "error": policy["error"] * shard_of(runs[0])["count"]}
    cores: dict[str, float] = {}
    for run in runs:
        host = run.facts()["host"]["name"]
        cores[host] = max(cores.get(host, 0.0), run.results.settings.get("cores", 0.0))
    yield {"record": "setting", "name": "cores", "value": sum(cores.values())}
    if "timeout" in runs[0].results.settings:
        yield {"record": "setting", "name": "timeout", "value": runs[0].results.settings["timeout"]}


def _journals(runs: Sequence[Recorded]) -> Iterator[Iterable[Record]]:
    slots = 0
    for run in runs:
        for path in sorted(run.path.glob("*.jsonl")):
            yield _of_journal(path, shard_of(run)["index"], slots)
        held = (name for worker in run.results.workers.values() for name in worker.devices)
        slots += max((_slot(name) + 1 for name in held if name.startswith(_CPU)), default=0)


def _of_journal(path: Path, index: int, slots: int) -> Iterator[Record]:
    for record in journal.read(path):
        if record["record"] in _OF_SHARD:
            continue
        named: dict[str, Any] = {key: f"{index}/{record[key]}" for key in ("worker", "dead") if record.get(key)}
        if "devices" in record:
            named["devices"] = [_device(name, slots) for name in record["devices"]]
        # What was held up only since this was one shard of several.
        yield {**record, **named, "shard": ""} if "shard" in record else {**record, **named}


def _device(name: str, slots: int) -> str:
    return f"{_CPU}{_slot(name) + slots}" if name.startswith(_CPU) else name


def _slot(name: str) -> int:
    return int(name.removeprefix(_CPU))


def _id(runs: Sequence[Recorded], stamp: str) -> str:
    """Return an id that the same shards always have, so that who has taken in the run once knows it."""
    digest = hashlib.sha256(" ".join(run.id for run in runs).encode()).hexdigest()[:6]
    return f"{iso(epoch(stamp))[:19].replace('-', '').replace(':', '')}Z-{digest}"


def _command(command: str) -> str:
    """Return a command line without what makes it one of a shard."""
    try:
        args = shlex.split(command)
    except ValueError:
        return command
    kept = [
        arg
        for before, arg in zip(["", *args], args, strict=False)
        if not arg.startswith(f"{_OPTION}=") and _OPTION not in (before, arg)
    ]
    return shlex.join(kept)


def _git(runs: Sequence[Recorded]) -> dict[str, Any] | None:
    found = [git for run in runs if (git := run.facts()["git"]) is not None]
    if not found:
        return None
    dirty = [git["dirty"] for git in found]
    return {**found[0], "dirty": True if True in dirty else None if None in dirty else False}

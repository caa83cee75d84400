"""The files of accepted runs, beside a baseline file: one for each run, so that branches that add runs merge.

    baseline.json                     what is reviewed: one line for each metric
    baseline.runs/RUN.json            where values of that run come from (commit, date, reason), once, and what it found
                                      of each metric: by which entry it counts
    baseline.runs/items-DIGEST.json   the ids of items, once for all runs that have the same

A run counts for an entry that still has the value, and is of the run, that it was found to be like.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...records.beside.items import decoded, keep_ids
from ...records.beside.items import encoded as encoded_values
from ...records.datatypes import FLAG, NAME, NUMBER, SAMPLES, TEXT, Shape, optional
from ...records.shapes.metrics import METRIC
from ...records.store import write_whole
from ...values.errors import UsageProblem
from ..chance.cohort import MOST, Measurement
from .baseline import Baseline, Entry, Key, short_run
from .entries import encoded

FORMAT = "gpupool-baseline-run"
VERSION = 1

_SAFE = re.compile(r"[\w.-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """What a run found of a metric that an entry stands for; the entry's own run among them, for its samples."""

    entry: Entry
    found: Measurement
    run: str
    commit: str = ""
    dirty: bool = False
    date: str = ""
    reason: str = ""


_METRIC = Shape(
    {
        "test": NAME,
        "metric": NAME,
        "device": NAME,
        "of": TEXT,
        "first": NUMBER,
        "value": NUMBER,
        "n": optional(METRIC.keys["n"].type),
        "bits": optional(TEXT),
        "samples": optional(SAMPLES),
        "items": optional(TEXT),
        "commit": optional(TEXT),
        "dirty": optional(FLAG),
        "date": optional(TEXT),
        "reason": optional(TEXT),
    }
)


def directory_of(baseline: Path) -> Path:
    """Return where the runs of a baseline file lie."""
    return baseline.with_suffix(".runs")


def attached(baseline: Baseline, directory: Path) -> Baseline:
    """Return a baseline with the accepted runs of its entries, which lie in that directory, if there is one.

    Raises:
        UsageProblem: a file there is damaged.
    """
    later: defaultdict[Key, list[Measurement]] = defaultdict(list)
    first: dict[Key, Measurement] = {}
    files = _files(directory)
    baseline = _with_provenance(baseline, files)
    for run, key, found in _counting(baseline, directory, files):
        entry = baseline.get(*key)
        if entry is not None and short_run(run) == short_run(entry.run):
            first[key] = found
        else:
            later[key].append(found)
    if not later and not first:
        return baseline
    return Baseline(tuple(_with(entry, first.get(entry.key), later[entry.key]) for entry in baseline.entries))


def add(baseline: Baseline, additions: Iterable[Addition], directory: Path) -> None:
    """Write what runs found into their files, and remove files that count for no entry of the baseline any more.

    Raises:
        OSError: as the system says it.
        UsageProblem: a file there is damaged.
    """
    by_run: defaultdict[str, list[Addition]] = defaultdict(list)
    for one in additions:
        by_run[one.run].append(one)
    for run, found in by_run.items():
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{_file_name(run)}.json"
        head = _read(path) if path.exists() else {"metrics": [], "run": run} | _provenance(found[0])
        lines = {_key(data): data for data in head["metrics"]}
        for one in found:
            lines[one.entry.key] = _joined(lines.get(one.entry.key), _written(one, head, directory))
        _write(path, head, [lines[key] for key in sorted(lines)])
    _prune(baseline, directory)


def _joined(old: Mapping[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a metric; what the same run has told of its items before stays."""
    is_same = old is not None and all(old[key] == new[key] for key in ("of", "first", "value"))
    return {**old, **new} if is_same and old is not None and not {"bits", "samples"} & set(new) else new


def _provenance(one: Addition) -> dict[str, Any]:
    return {"commit": one.commit, "dirty": one.dirty, "date": one.date, "reason": one.reason}


def _with_provenance(baseline: Baseline, files: Sequence[dict[str, Any]]) -> Baseline:
    """Return it with where each value comes from, as the file of its run tells; what its own line says goes before."""
    runs: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for data in files:
        for name in {data["run"], short_run(data["run"])}:
            runs[name].append(data)
    lines = {(data["run"], *_key(line)): line for data in files for line in data["metrics"]}
    return Baseline(tuple(_from(entry, runs.get(entry.run, ()), lines) for entry in baseline.entries))


def _from(
    entry: Entry, runs: Sequence[Mapping[str, Any]], lines: Mapping[tuple[str, str, str, str], Mapping[str, Any]]
) -> Entry:
    told = [(data, lines.get((data["run"], *entry.key), {})) for data in runs]
    fitting = [one for one in told if one[1].get("first") == entry.value] or told
    if len(fitting) != 1 or not entry.run:
        return entry
    data, line = fitting[0]
    known = {key: getattr(entry, key) or line.get(key, data.get(key, "")) for key in ("commit", "date", "reason")}
    dirty = entry.dirty or bool(line.get("dirty", data.get("dirty", False)))
    return replace(entry, run=data["run"], dirty=dirty, **known)


def _with(entry: Entry, first: Measurement | None, later: Sequence[Measurement]) -> Entry:
    kept = tuple(later)[-(MOST - 1) :]
    if first is None:
        return replace(entry, later=kept)
    return replace(entry, samples=first.samples, items=first.items, later=kept)


def _files(directory: Path) -> list[dict[str, Any]]:
    return [_read(path) for path in sorted(directory.glob("*.json")) if not path.name.startswith("items-")]


def _counting(
    baseline: Baseline, directory: Path, files: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, Key, Measurement]]:
    """Yield what counts, the earliest run first: of which run, for which entry."""
    items: dict[str, tuple[str, ...]] = {}
    for data in sorted(files, key=lambda one: (one["date"], one["run"])):
        for line in data["metrics"]:
            entry = baseline.get(*_key(line))
            if entry is None:
                continue
            # The file of its own run may be lost, so that of that no more is known than the line has.
            if (short_run(line["of"]), line["first"]) == (short_run(entry.run), entry.value):
                yield data["run"], entry.key, _measurement(line, directory, items)


def _measurement(line: Mapping[str, Any], directory: Path, known: dict[str, tuple[str, ...]]) -> Measurement:
    samples, items = decoded(line), line.get("items")
    if items is not None and items not in known:
        known[items] = tuple(_json(directory / f"items-{items}.json"))
    return Measurement(
        value=line["value"],
        n=line.get("n"),
        samples=samples,
        items=None if items is None else known[items],
    )


def _written(one: Addition, head: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    entry, found = one.entry, one.found
    data = {"test": entry.test, "metric": entry.metric, "device": entry.device, "of": entry.run, "first": entry.value}
    data |= {"value": found.value} | ({} if found.n is None else {"n": found.n})
    default: dict[str, Any] = {"commit": "", "dirty": False, "date": "", "reason": "", **head}
    data |= {key: value for key, value in _provenance(one).items() if value != default[key]}
    if found.samples is None:
        return data
    data |= encoded_values(found.samples) | {"n": len(found.samples)}
    return data if found.items is None else data | {"items": keep_ids(directory, found.items)}


def _write(path: Path, told: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    head = {"format": FORMAT, "version": VERSION, **{key: told[key] for key in ("run", "commit", "date")}}
    head |= {key: told[key] for key in ("dirty", "reason") if told.get(key)}
    metrics = ",\n".join(map(encoded, lines))
    write_whole(path, f'{encoded(head)[:-1]}, "metrics": [\n{metrics}\n]}}\n')


def _prune(baseline: Baseline, directory: Path) -> None:
    runs: defaultdict[Key, list[str]] = defaultdict(list)
    first = {entry.run for entry in baseline.entries}
    for run, key, _ in _counting(baseline, directory, _files(directory)):
        runs[key].append(run)
    used = first.union(*(known[-MOST:] for known in runs.values()))
    for path in directory.glob("*.json"):
        if not path.name.startswith("items-") and not {(run := _read(path)["run"]), short_run(run)} & used:
            path.unlink(missing_ok=True)


def _key(line: Mapping[str, Any]) -> Key:
    return line["test"], line["metric"], line["device"]


def _file_name(run: str) -> str:
    return run if _SAFE.fullmatch(run) else f"run-{hashlib.sha256(run.encode()).hexdigest()[:16]}"


def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = _json(path)
    is_one = isinstance(data, dict) and data.get("format") == FORMAT and isinstance(data.get("metrics"), list)
    if not is_one or not all(isinstance(data.get(key), str) for key in ("run", "date", "commit")):
        raise UsageProblem(f"{path} is no accepted run of a baseline: restore it, or delete it")
    if not isinstance(data.get("version"), int) or data["version"] > VERSION:
        raise UsageProblem(
            f"{path} is of version {data.get('version')}, written by a newer pytest-gpupool: update that"
        )
    if not all(map(_is_sound, data["metrics"])):
        raise UsageProblem(f"{path} is damaged: restore it, or delete it")
    return data


def _is_sound(line: Any) -> bool:
    if not _METRIC.fits(line):
        return False
    return "bits" not in line or (line.get("n") is not None and re.fullmatch("[0-9a-f]+", line["bits"]) is not None)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}: restore it") from None
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path} is damaged: {error}; restore it, or delete it") from None

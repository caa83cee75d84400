"""The archive: the runs on record, ``<gpupool-dir>/runs/<run>/``; read, found by name, and pruned.

A run's directory holds ``plan.json`` (what the run was to do, and where), a journal per writer, and in ``items`` the
values per item of its metrics, and what its tests have said of single items (:mod:`beside`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..values.device import UNKNOWN, Device
from ..values.errors import UsageProblem
from ..values.texts import epoch, iso
from . import journal, store
from .beside import attachments
from .beside.items import FOLDER, Items
from .beside.samples import Samples
from .datatypes import is_time
from .folding.results import Results
from .journal import VERSION
from .record import Record, in_order
from .shapes.plans import DEVICE, FACTS, VERSIONS
from .store import LATEST, RUN_ID, lock, write_whole

PLAN = "plan.json"
PLAN_FORMAT = "gpupool-plan"
PLAN_VERSION = 1

CONTROLLER = "controller.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run was to do: ``facts`` are the parts of a report's ``run`` that its records do not tell."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    each: bool = False
    sources: Mapping[str, str | None] | None = None
    """What the sources were beside the commit: a digest by path, None for what is gone. None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run as its directory tells it; ``problems`` are sentences about what could not be read."""

    id: str
    path: Path
    plan: Plan
    results: Results
    exit_status: int | None
    ended: str | None
    """When its last record was made that has a time."""
    items: Items
    """The values per item of its metrics."""
    samples: Samples
    """What its tests have said of single items."""
    problems: tuple[str, ...] = ()
    version: int = VERSION
    """Of its records, the newest of them."""

    def facts(self) -> dict[str, Any]:
        """Return the facts for a report of it, as far as they are known."""
        told = {name: value for name, value in self.plan.facts.items() if name in FACTS and FACTS[name].check(value)}
        started = told.get("started") or started_by_id(self.id)
        seconds = max(0.0, epoch(self.ended) - epoch(started)) if self.ended else 0.0
        return {
            **_UNKNOWN,
            "started": started,
            **told,
            "id": self.id,
            "duration_s": seconds,
            "exit_status": self.exit_status,
        }

    def devices(self) -> tuple[Device, ...]:
        """Return its GPUs and MIG instances; where the plan is lost, and of a cluster, those that its workers held."""
        if self.results.devices:
            return tuple(self.results.devices.values())
        if self.plan.devices:
            return self.plan.devices
        held = dict.fromkeys(name for worker in self.results.workers.values() for name in worker.devices)
        return tuple(
            Device(id=name, kind="mig" if name.startswith("MIG-") else "gpu", index=number, name=UNKNOWN)
            for number, name in enumerate(name for name in held if not name.startswith("cpu:"))
        )


_UNKNOWN: Mapping[str, Any] = {
    "command": "unknown",
    "rootdir": "unknown",
    "git": None,
    "host": {"name": "unknown", "platform": "unknown", "cpu_count": None, "memory_bytes": None},
    "software": dict.fromkeys(VERSIONS),
    "resumed_from": None,
    "seed": None,
}


def started_by_id(run: str) -> str:
    """Return when a run was started, as its id says it, to the second."""
    try:
        return datetime.strptime(run[:16], "%Y%m%dT%H%M%SZ").isoformat() + "Z"
    except ValueError:
        return iso(0)


def runs(base: Path) -> list[Path]:
    """Return the directories of the runs on record, the latest last."""
    try:
        found = [path for path in (base / "runs").iterdir() if RUN_ID.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def find(base: Path, wanted: str) -> Path:
    """Return the directory of a run, by its id, the beginning of it, its path, or :data:`LATEST`.

    Raises:
        UsageProblem: there is none, or several begin so.
    """
    known = runs(base)
    if wanted == LATEST:
        latest = next((run for run in reversed(known) if _has_collected(run)), None)
        if latest is None:
            raise UsageProblem(f"there is no run on record in {base}")
        return latest
    with contextlib.suppress(OSError, ValueError):  # as of a name that no file can have
        path = Path(wanted).resolve()
        if wanted and ((path / CONTROLLER).is_file() or (path / PLAN).is_file()):
            return path
    fitting = [run for run in known if wanted and run.name.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(run.name for run in fitting[-5:])
        raise UsageProblem(f"{len(fitting)} runs in {base} begin with {wanted!r}: {names}; give more of the name")
    latest_names = ", ".join(run.name for run in known[-3:]) or "none"
    raise UsageProblem(f"there is no run {wanted!r} on record in {base}; the latest there: {latest_names}")


def goes_on(run: Path) -> bool:
    """Say whether some process of a run still writes."""
    return any(journal.is_open(path) for path in run.glob("*.jsonl"))


def prune(base: Path, keep: int) -> None:
    """Remove all but the latest ``keep`` runs, and those into whose folders these write; never one that goes on.

    What cannot be removed stays. Those that collected nothing count for nothing: they go where a later run has
    collected something.
    """
    known = runs(base)
    counted = [run for run in known if _has_tests(run)]
    kept = counted[-keep:]
    # Into which later runs that are kept have gone on to write.
    written = {store.out_of(run).parent.name for run in known if run in kept or goes_on(run)}
    for run in known:
        if kept and run < kept[-1] and run not in kept and run.name not in written and not goes_on(run):
            remove(run)


def remove(run: Path) -> None:
    """Remove a run's directory, as far as that can be."""
    with contextlib.suppress(OSError):
        # Others may see it half removed: without its first file it is no run.
        (run / CONTROLLER).unlink(missing_ok=True)
        shutil.rmtree(run)


@contextlib.contextmanager
def resuming(run: Path) -> Iterator[None]:
    """Be the only run that goes on with this one.

    Raises:
        UsageProblem: it goes on by itself, or another run resumes it now.
    """
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.open(run / "resume.lock", os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, descriptor)
            lock(descriptor, 0.0)
        except TimeoutError:
            raise UsageProblem(f"run {run.name} is being resumed by another run, wait for its end") from None
        except OSError:
            pass  # read-only, or without locks: what is there can be read all the same
        if goes_on(run):
            raise UsageProblem(f"run {run.name} still goes on: wait for its end, or end it, before you resume it")
        yield


def write_plan(run: Path, plan: Plan) -> None:
    """Keep what a run is to do. Raises OSError."""
    data = {
        "format": PLAN_FORMAT,
        "version": PLAN_VERSION,
        "run": dict(plan.facts),
        "devices": [device.to_wire() for device in plan.devices],
        "each": plan.each,
        "sources": None if plan.sources is None else dict(plan.sources),
    }
    write_whole(run / PLAN, json.dumps(data, allow_nan=False, indent=1) + "\n")


def load(run: Path) -> Recorded:
    """Read a run's directory. What is damaged is left out, and said.

    Raises:
        UsageProblem: the directory cannot be read.
    """
    problems: list[str] = []
    plan = _read_plan(run / PLAN, problems)
    paths = sorted(run.glob("*.jsonl"))
    readers = [_Reader(path) for path in paths]
    results = Results(each=plan.each)
    try:
        results.add_all(in_order(readers))
    except OSError as error:
        raise UsageProblem(f"{run} cannot be read: {error.strerror}") from None
    if not paths:
        problems.append(f"{run} holds no records")
    for reader in readers:
        problems += reader.problems()
    if not goes_on(run):
        for worker in results.workers.values():
            worker.exit = worker.exit or "killed"
    samples = Samples(run)
    samples.complete(results.single)
    attachments.complete(run, results.single)
    told = plan.facts.get("id")  # a copy may have any name
    return Recorded(
        id=told if isinstance(told, str) and RUN_ID.fullmatch(told) else run.name,
        path=run,
        plan=plan,
        results=results,
        exit_status=next((reader.status for reader in readers if reader.status is not None), None),
        ended=max((reader.latest for reader in readers if reader.latest), default=None),
        items=items_of(run),
        samples=samples,
        problems=tuple(problems),
        version=max((reader.version for reader in readers), default=VERSION),
    )


def load_all(paths: Iterable[Path]) -> tuple[list[Recorded], list[str]]:
    """Return those of many runs that can be read, and sentences about the others, which cost nobody these."""
    found, left_out = [], []
    for path in paths:
        try:
            found.append(load(path))
        except (UsageProblem, OSError) as error:
            left_out.append(f"a run is left out: {error}")
    return found, left_out


def items_of(*runs: Path | None) -> Items:
    """Return the values per item of a run by its directory, of which there may be several; None is none."""
    return Items(*(run / FOLDER for run in runs if run is not None))


class _Reader:
    """Reads one journal, and keeps what is to be said of it."""

    def __init__(self, path: Path) -> None:
        self.status: int | None = None
        self.latest = ""
        self._path = path
        self.version = VERSION
        self._lost = 0

    def __iter__(self) -> Iterator[Record]:
        bad = False
        for record in journal.lines(self._path):
            self._lost += bad  # what a kill cuts is the last line, and that is no damage
            bad = record is None
            if record is None:
                continue
            if record["record"] == "run-end":
                self.status = record["exit_status"]
            elif record["record"] == "journal":
                self.version = max(self.version, record["version"])
            moment: Any = record.get("ended") or record.get("started")
            if is_time(moment):  # of a kind that is unknown here it may be anything
                self.latest = max(self.latest, moment)
            yield record

    def problems(self) -> Iterator[str]:
        """Yield what a user should know."""
        name, lost = self._path.name, self._lost
        if lost:
            yield f"{name}: {lost} damaged line{'' if lost == 1 else 's'} left out"
        if self.version > VERSION:
            yield f"{name} is of version {self.version}, of a newer pytest-gpupool: read as far as known here"


def _has_collected(run: Path) -> bool:
    return any(record["record"] in ("collected", "kept") for record in journal.read(run / CONTROLLER))


def _has_tests(run: Path) -> bool:
    """Say whether a run has a word on any test, also where only workers could write; by how lines begin, unread."""
    for path in sorted(run.glob("*.jsonl")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if any(line.startswith(_OF_TESTS) for line in file):
                return True
    return False


_OF_TESTS = tuple(f'{{"record":"{kind}"'.encode() for kind in ("collected", "kept", "start"))


def _read_plan(path: Path, problems: list[str]) -> Plan:
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != PLAN_FORMAT:
            raise ValueError(data["format"])
        if data["version"] > PLAN_VERSION:
            problems.append(f"{path.name} is of version {data['version']}, of a newer pytest-gpupool")
        told = [{name: device.get(name) for name in DEVICE.keys} for device in data["devices"]]
        devices = tuple(Device.from_wire(device) for device in told if DEVICE.fits(device))
        sources = data.get("sources")  # a version that did not write them, or somebody's edit: not known
        return Plan(
            facts=dict(data["run"]),
            devices=devices,
            each=bool(data["each"]),
            sources=sources if isinstance(sources, dict) else None,
        )
    except FileNotFoundError:
        problems.append(f"{path.name} is missing: the run was ended before it was written")
    except (OSError, ValueError, TypeError, KeyError, RecursionError, AttributeError):
        problems.append(f"{path.name} is damaged: it is not used")
    return Plan()

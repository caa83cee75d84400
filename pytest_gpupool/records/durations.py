"""Durations: what earlier runs measured of tests and of what they share, mostly ``<gpupool-dir>/durations.json``.

    {"format":"gpupool-durations","version":2,"tests":{
    "test_a.py::test_b":{"NVIDIA H200":{"seconds":[2.1,2.0],"peak":[1048576],"used":"2026-11-21"}}
    },"fixtures":{
    "model[m0]":{"NVIDIA H200":{"seconds":[181.2],"used":"2026-11-21"}}
    }}

By test and by kind of device: the last few durations in seconds and memory peaks in bytes, newest last, and the day
of the newest in UTC; a test's time is its own, without what it sets up for others as well. By wide fixture: what it
took to set it up and to tear it down. One line each, sorted, so that a comparison of two files can be read. Version 1
had no fixtures, and their time in that of the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..values.outcomes import OUT_OF_MEMORY, WHOLE
from . import archive
from .estimates import Known, Learned, median
from .folding.result import TestResult
from .folding.results import Results
from .store import LOCK_SECONDS, lock, write_whole

NAME = "durations.json"
FORMAT = "gpupool-durations"
VERSION = 2

_TIMED = WHOLE | {"timeout"}
"""Outcomes whose duration tells how long the test takes: in the others its body may not have run, or not whole."""

_WHOLE: Set[type] = {int}
_NUMBERS: Set[type] = {int, float}
_KEEP = 5
_MOST = 200_000
_LAST_RUNS = 5  # so many are looked at for one that was killed
_LARGEST = 1 << 53  # a number beyond is no measurement, and not exact in every reader of JSON


@dataclass(frozen=True, slots=True)
class Observed:
    """What one run measured of one test on one kind of device: seconds, and its memory peak in bytes.

    With ``is_fixture`` that of a wide fixture, by its key.
    """

    nodeid: str
    kind: str
    seconds: float
    peak: int | None
    is_fixture: bool = False


@dataclass(slots=True)
class _Measured:
    seconds: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    used: str = ""

    def add(self, observed: Observed, keep: int, today: str) -> None:
        self.seconds.append(round(float(observed.seconds), 6))
        del self.seconds[:-keep]
        if observed.peak is not None and _is_amount(observed.peak, _WHOLE):
            self.peak.append(observed.peak)
            del self.peak[:-keep]
        self.used = today


_Tests = dict[str, dict[str, _Measured]]


@dataclass(slots=True)
class _Content:
    tests: _Tests = field(default_factory=dict)
    fixtures: _Tests = field(default_factory=dict)
    damage: str | None = None
    newer: int | None = None  # its version, where that is above ours
    has_fixtures: bool = True


def load(path: Path, kinds: Sequence[str], more: Iterable[Observed] = ()) -> tuple[Learned, str | None]:
    """Return what is known, and a warning where the file is not as it should be.

    The first of ``kinds`` with data counts, else the kind that was measured last. ``more`` is what the file
    does not have yet. Nothing is raised.
    """
    try:
        content = _read(path)
    except OSError as error:
        return Learned(
            {}, {}
        ), f"{path} cannot be read: {error.strerror or error}; the durations of earlier runs are not used"
    _merge(content, more, _KEEP, _MOST, "")
    tests = {nodeid: _known(by_kind, kinds) for nodeid, by_kind in content.tests.items()}
    fixtures = {key: _known(by_kind, kinds).seconds for key, by_kind in content.fixtures.items()}
    return Learned(tests, fixtures, content.has_fixtures or bool(fixtures)), _warning(path, content)


def save(
    path: Path, observed: Iterable[Observed], *, keep: int = _KEEP, most: int = _MOST, now: float | None = None
) -> str | None:
    """Add what a run measured, ``keep`` values of each at most; return why that was not possible, else None.

    Runs that end together both count. Beyond ``most`` tests those measured least recently are dropped. A damaged
    file is replaced and kept beside it; one of a newer version is left alone. ``now`` is in seconds since 1970.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f"{path.name.removesuffix('.json')}.lock")):
            content = _read(path)
            if content.newer is not None:
                return f"{_warning(path, content)}, and those of this run are not kept"
            _merge(content, observed, keep, most, time.strftime("%Y-%m-%d", time.gmtime(now)))
            if content.damage is not None:
                path.replace(path.with_name(f"{path.name}.damaged"))
            write_whole(path, _dump(content))
    except OSError as error:
        return f"{path}: {error.strerror or error}; the durations of this run are not kept"
    return None


def from_results(results: Results, kinds: Mapping[str, str]) -> list[Observed]:
    """Return what a run measured; ``kinds`` maps device ids to names. A test without a device ran on the CPU."""
    tests = [
        Observed(test.nodeid, _kind(test.devices, kinds), test.duration, _peak(test))
        for test in results.ran
        if test.outcome in _TIMED and test.duration is not None
    ]
    set_ups = (one for one in results.set_ups.values() if not one.failed)
    return tests + [
        Observed(one.fixture, _kind(one.devices, kinds), one.seconds, None, is_fixture=True) for one in set_ups
    ]


def _peak(test: TestResult) -> int | None:
    """Return the bytes to let a test have, by what it had: one that ran out of memory needs more, who knows how much.

    Doubled from run to run it comes to what is enough, or to all that a device has.
    """
    return test.peak if test.peak is None or test.cause != OUT_OF_MEMORY else 2 * test.peak


def of_killed_runs(base: Path, kinds: Mapping[str, str], skip: str) -> tuple[list[Observed], list[str]]:
    """Return what the latest runs measured that never came to :func:`save`, by their records, but that of ``skip``.

    Also sentences about those of them that cannot be read.
    """
    killed = (run for run in archive.runs(base) if run.name != skip)
    observed: list[Observed] = []
    unreadable: list[str] = []
    for run in [*killed][-_LAST_RUNS:]:
        if not _has_ended(run):
            found, untold = archive.load_all([run])
            observed += (one for recorded in found for one in from_results(recorded.results, kinds))
            unreadable += untold
    return observed, unreadable


def _has_ended(run: Path) -> bool:
    try:
        with (run / archive.CONTROLLER).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 200))
            return b'"record":"run-end"' in file.read()
    except OSError:  # there is none, or it cannot be read, as reading all of them says
        return False


def _kind(devices: Sequence[str], kinds: Mapping[str, str]) -> str:
    return (kinds.get(devices[0]) if devices else None) or "CPU"


def _known(by_kind: Mapping[str, _Measured], kinds: Sequence[str]) -> Known:
    wanted = next((by_kind[kind] for kind in kinds if kind in by_kind), None)
    past = wanted or max(by_kind.values(), key=lambda past: past.used)
    return Known(median(past.seconds), max(past.peak, default=None))


def _warning(path: Path, content: _Content) -> str | None:
    if content.newer is not None:
        return (
            f"{path} is of version {content.newer}, which a newer pytest-gpupool wrote; "
            "the durations in it are used as far as this one understands them"
        )
    if content.damage is not None:
        return f"{path} is damaged: {content.damage}; the durations in it are used as far as they can be read"
    return None


def _merge(content: _Content, observed: Iterable[Observed], keep: int, most: int, today: str) -> None:
    fresh: dict[bool, set[str]] = {False: set(), True: set()}
    for one in observed:
        if _is_amount(one.seconds, _NUMBERS):
            subjects = content.fixtures if one.is_fixture else content.tests
            subjects.setdefault(one.nodeid, {}).setdefault(one.kind, _Measured()).add(one, keep, today)
            fresh[one.is_fixture].add(one.nodeid)
    _drop_oldest(content.tests, fresh[False], most)
    _drop_oldest(content.fixtures, fresh[True], most)


def _drop_oldest(tests: _Tests, fresh: Set[str], most: int) -> None:
    if len(tests) > most:
        # Days are coarse: of two tests of one day this run's is the newer one.
        age = {nodeid: (max(past.used for past in tests[nodeid].values()), nodeid in fresh) for nodeid in tests}
        for nodeid in sorted(tests, key=age.__getitem__)[: len(tests) - most]:
            del tests[nodeid]


def _dump(content: _Content) -> str:
    tests, fixtures = _lines(content.tests), _lines(content.fixtures, has_peaks=False)
    return f'{{"format":"{FORMAT}","version":{VERSION},"tests":{{\n{tests}\n}},"fixtures":{{\n{fixtures}\n}}}}\n'


def _lines(subjects: _Tests, *, has_peaks: bool = True) -> str:
    return ",\n".join(f"{_json(name)}:{_json(_plain(subjects[name], has_peaks))}" for name in sorted(subjects))


def _plain(by_kind: Mapping[str, _Measured], has_peaks: bool) -> dict[str, Any]:
    return {
        kind: {"seconds": past.seconds, **({"peak": past.peak} if has_peaks else {}), "used": past.used}
        for kind, past in sorted(by_kind.items())
    }


_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _read(path: Path) -> _Content:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return _Content()
    except (ValueError, RecursionError):
        return _Content(damage="it is not JSON")
    if not isinstance(data, dict) or data.get("format") != FORMAT or type(data.get("version")) is not int:
        return _Content(damage="it is not a file of durations")
    tests, wrong = _parse(data.get("tests"))
    fixtures, wrong_too = _parse(data.get("fixtures", {}))
    wrong += wrong_too
    are = "part of it is not what it" if wrong == 1 else "parts of it are not what they"
    damage = f"{wrong} {are} should be" if wrong else None
    version = data["version"]
    return _Content(tests, fixtures, damage, version if version > VERSION else None, version > 1)


def _parse(data: object) -> tuple[_Tests, int]:
    # People edit this file and merge it, so nothing in it is trusted. Also count what is passed over.
    if not isinstance(data, dict):
        return {}, 1
    tests: _Tests = {}
    wrong = 0
    for nodeid, by_kind in data.items():
        found = {kind: _measured(past) for kind, past in by_kind.items()} if isinstance(by_kind, dict) else {"": None}
        good = {kind: past for kind, past in found.items() if past is not None}
        wrong += len(found) - len(good)
        if good:
            tests[nodeid] = good
    return tests, wrong


def _measured(data: object) -> _Measured | None:
    if not isinstance(data, dict):
        return None
    seconds, peak, used = data.get("seconds"), data.get("peak", []), data.get("used", "")
    if not (_are_amounts(seconds, _NUMBERS) and seconds and _are_amounts(peak, _WHOLE) and isinstance(used, str)):
        return None
    return _Measured(seconds, peak, used)


def _is_amount(value: object, types: Set[type]) -> bool:
    return type(value) in types and 0 <= value <= _LARGEST  # type: ignore[operator]


def _are_amounts(values: object, types: Set[type]) -> bool:
    # No bools, nor NaN (which makes every comparison with the sum false), nor infinite ones.
    if not isinstance(values, list) or not {*map(type, values)} <= types:
        return False
    return not values or (min(values) >= 0 and sum(values) <= _LARGEST)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        lock(descriptor, LOCK_SECONDS)
        yield
    finally:
        os.close(descriptor)  # which unlocks

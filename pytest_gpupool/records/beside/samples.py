"""Samples: what tests say of single items, in files of the run's directory, one for each attempt at a test.

    items/TEST-DIGEST.gw0-1.jsonl   {"format": "gpupool-items", "version": 1, "test": "test_a.py::test_b", …}
                                    {"id": "q1", "input": …, "output": …, "target": …, "scores": {"score": 1}}

A line is written by one system call, also by children of a test, so that after a kill every one but the last is whole.
Records and reports have a summary of it: how many items, the means of their scores, and the file.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ...processes.own.forks import Owner
from ...processes.own.system import os
from ..datatypes import SAMPLE
from ..folding.result import TestResult
from .items import FOLDER, link_or_copy
from .names import marked, name_of, safe

FORMAT = "gpupool-items"
VERSION = 1
SUFFIX = ".jsonl"

Line = dict[str, Any]
"""One item: its ``id``, and what was said of it: ``input``, ``output``, ``target``, ``scores``, ``cut``."""

_SOUND = re.compile(rf"{FOLDER}/[\w.=+-]+\{SUFFIX}", re.ASCII)

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def place_of(nodeid: str, worker: str, attempt: int) -> str:
    """Return where the items of an attempt lie in a run's directory."""
    return f"{FOLDER}/{name_of(nodeid)}.{safe(worker)}-{attempt}{SUFFIX}"


def is_place(name: object) -> bool:
    """Say whether this is such a place, and no other one on the disk."""
    return isinstance(name, str) and _SOUND.fullmatch(name) is not None and not PurePosixPath(name).name.startswith(".")


def heading(nodeid: str, worker: str, attempt: int) -> str:
    """Return the first line of a file."""
    return _encode({"format": FORMAT, "version": VERSION, "test": nodeid, "worker": worker, "attempt": attempt})


class SampleFile:
    """Appends lines to one file, in the process that has begun it and in children of that."""

    def __init__(self, path: Path, first: str) -> None:
        self.path = path
        self.problem: str | None = None
        """Why lines are lost, None while none is."""
        self._first = first
        self._owner = Owner()
        self._descriptor: int | None = None
        self._inode = 0
        self._is_torn = False

    def append(self, line: str) -> bool:
        """Write one line, in ASCII; return whether it is there whole."""
        try:
            if not self._is_open():
                self._open()
            assert self._descriptor is not None
            data = f"\n{line}\n" if self._is_torn else f"{line}\n"
            self._is_torn = os.write(self._descriptor, data.encode()) < len(data)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror or error}"
            return False
        if self._is_torn:
            self.problem = f"{self.path}: the disk is full"
        return not self._is_torn

    def close(self) -> None:
        """Close it; a later line opens it again."""
        if self._is_open() and self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> None:
        folder = os.fspath(self.path.parent)
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        about = os.fstat(self._descriptor)
        self._inode = about.st_ino
        if not about.st_size and self._first:
            first = f"{self._first}\n".encode()
            self._is_torn = os.write(self._descriptor, first) < len(first)

    def _is_open(self) -> bool:
        # A test may close all descriptors that it finds; what has the number then is not ours to write to.
        if self._descriptor is None:
            return False
        try:
            return os.fstat(self._descriptor).st_ino == self._inode
        except OSError:
            return False


class Tally:
    """Counts items, and sums their scores: what records and reports have of them."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        """Characters of their lines."""
        self._cut = 0
        self._lost = 0
        self._scores: dict[str, _Score] = {}

    def add(self, scores: Mapping[str, Any], *, size: int = 0, is_cut: bool = False, is_lost: bool = False) -> None:
        """Take one more."""
        self.count += 1
        self.size += size
        self._cut += is_cut
        self._lost += is_lost
        for name, value in scores.items():
            if (known := self._scores.get(name)) is None:
                known = self._scores[name] = _Score()
            known.add(value)

    def lost(self, count: int) -> None:
        """So many of them are in no file."""
        self._lost = max(self._lost, count)

    def to_record(self) -> dict[str, Any]:
        """Return it as records and reports have it, but for the file."""
        return {
            "count": self.count,
            "scores": {name: score.to_record() for name, score in self._scores.items()},
            **({"cut": self._cut} if self._cut else {}),
            **({"lost": self._lost} if self._lost else {}),
        }


class _Score:
    """One score over items."""

    __slots__ = ("_non_finite", "_sum", "n")

    def __init__(self) -> None:
        self.n = 0
        self._sum: int | float = 0
        self._non_finite = 0

    def add(self, value: Any) -> None:
        self.n += 1
        if isinstance(value, str):
            self._non_finite += 1
        else:
            try:
                self._sum += value
            except OverflowError:  # a whole number may be of any size
                self._sum = math.nan

    def to_record(self) -> dict[str, Any]:
        """A mean that leaves out what is no number would be better than the truth: there is none then."""
        mean = None
        if not self._non_finite:
            try:
                mean = self._sum / self.n
            except OverflowError:
                mean = None
        known = mean is not None and mean - mean == 0
        return {
            "n": self.n,
            "mean": mean if known else None,
            **({"non_finite": self._non_finite} if self._non_finite else {}),
        }


def read(path: Path, tell: Callable[[str], object] = lambda _: None) -> Iterator[Line]:
    """Yield the items of a file, as they were written; a line that is no whole, sound item is passed over.

    At the end ``tell`` is told what of it was left out, but for a last line that a kill has cut, in a sentence's part.

    Raises:
        OSError: it cannot be read.
    """
    damaged = version = 0
    with path.open("rb") as file:
        while lines := file.readlines(_PIECE):
            found = _loaded_all(lines)
            sound = list(filter(_is_sound, found))
            if len(sound) < len(found):
                for line, told in zip(lines, found, strict=True):
                    if _is_heading(told):
                        version = max(version, told["version"])
                    elif not _is_sound(told) and line.endswith(b"\n") and not line.isspace():
                        damaged += 1
            yield from sound
    if version > VERSION:
        tell(f"it is of version {version}, of a newer pytest-gpupool: read as far as known here")
    if damaged:
        tell(f"{damaged} damaged line{'' if damaged == 1 else 's'} left out")


_PIECE = 1 << 18


def _loaded_all(lines: Sequence[bytes]) -> list[Any]:
    try:
        found: list[Any] = json.loads(b"[%s]" % b",".join(lines))  # much faster than one by one
        if len(found) == len(lines):
            return found
    except (ValueError, RecursionError):
        pass
    return [*map(_loaded, lines)]


def _is_heading(told: Any) -> bool:
    return told.__class__ is dict and told.get("format") == FORMAT and type(told.get("version")) is int


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_sound(told: Any) -> bool:
    if told.__class__ is not dict or told.get("id").__class__ is not str:
        return False
    scores = told.get("scores")
    if scores is None:
        return "scores" not in told
    return scores.__class__ is dict and all(map(SAMPLE.check, scores.values()))


class Samples:
    """The items of a run. Its directories are looked through in order: those of several shards, or beside a report."""

    def __init__(self, *runs: Path) -> None:
        self._runs = runs
        self.missing: list[str] = []
        """The files that were not there, or could not be read."""
        self.damaged: dict[str, str] = {}
        """Of files that were read, what is not there of them."""

    def path_of(self, told: Mapping[str, Any]) -> Path | None:
        """Return the file of a summary, None where it is gone."""
        if not is_place(told.get("file")):
            return None
        with contextlib.suppress(OSError):  # as of a folder that nobody may enter, or a name that is too long
            return next((path for run in self._runs if (path := run / told["file"]).is_file()), None)
        return None

    def of(self, told: Mapping[str, Any]) -> Iterator[Line]:
        """Yield the items of a summary, none where their file is gone, which :attr:`missing` tells."""
        path = self.path_of(told)
        try:
            if path is None:
                raise FileNotFoundError
            if lost := told.get("lost"):
                self._miss(
                    told["file"], f"{lost} of {told['count']} items could not be written when they were recorded"
                )
            yield from read(path, partial(self._miss, told["file"]))
        except OSError:
            self.missing.append(str(told.get("file")))

    def _miss(self, file: str, what: str) -> None:
        known = self.damaged.get(file)
        if known is None or what not in known.split("; "):  # else it is read again
            self.damaged[file] = what if known is None else f"{known}; {what}"

    def complete(self, tests: Iterable[TestResult]) -> None:
        """Count the items of attempts that were killed, whose own process has not said how many there are."""
        for test in tests:
            for one in (test, *test.again):
                if one.items and "count" not in one.items:
                    one.items = self.counted(one.items)
            if any("count" not in one.get("items", _COUNTED) for one in test.before):
                test.before = [
                    one if "count" in one.get("items", _COUNTED) else {**one, "items": self.counted(one["items"])}
                    for one in test.before
                ]

    def counted(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return a summary with what its file has."""
        return {**told, **tally_of(self.of(told))[0].to_record()}

    def take_over(self, told: Mapping[str, Any], target: Path, mark: str) -> dict[str, Any]:
        """Have a file in another run's directory as well, under a name with a ``mark``; return the summary of it there.

        Where it cannot be, it is missing there, which is said where it is asked for.
        """
        source = self.path_of(told)
        if source is None:
            return dict(told)
        name = f"{FOLDER}/{marked(source.name.removesuffix(SUFFIX), mark)}{SUFFIX}"
        try:
            (target / FOLDER).mkdir(exist_ok=True)
            if not (target / name).exists():
                link_or_copy(source, target / name)
        except OSError:
            return dict(told)
        return {**told, "file": name}


_COUNTED: Mapping[str, Any] = {"count": 0}


def tally_of(lines: Iterable[Line]) -> tuple[Tally, Collection[str]]:
    """Return the sum of items that were written by several processes, and the ids that are there twice."""
    tally, seen, twice = Tally(), set[str](), dict[str, None]()
    for line in lines:
        if line["id"] in seen:
            twice[line["id"]] = None
            continue
        seen.add(line["id"])
        tally.add(line.get("scores", {}), is_cut="cut" in line)
    return tally, twice


def over_summaries(test: Mapping[str, Any], changed: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return what a record or a report has of a test, with each summary of items changed, those of attempts as well."""
    found = dict(test)
    if found.get("items"):
        found["items"] = changed(found["items"])
    for several in ("attempts", "before", "again", "repeats"):
        if several in found:
            found[several] = [over_summaries(one, changed) if "items" in one else one for one in found[several]]
    return found

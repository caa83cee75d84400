"""Reading: the logs of a run, all of them in the order of their attempts, or as they grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .place import FOLDER, HEADING, RANKS, nodeid_in, started_in

_PIECE = 2**16

Wanted = Callable[[str, str], bool]
"""Whether a test on a worker is wanted: its id, and the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a log: what one attempt has written, its heading included, from a byte to another one."""

    path: Path
    started: str
    begin: int
    end: int

    def data(self) -> Iterator[bytes]:
        """Yield what is in it."""
        with self.path.open("rb") as file:
            file.seek(self.begin)
            left = self.end - self.begin
            while left and (data := file.read(min(_PIECE, left))):
                left -= len(data)
                yield data


def tests_with_logs(run: Path, rank: int | None) -> dict[Path, tuple[str, str]]:
    """Return the test and the worker of each log of a run by its path: of those of a rank, where one is given."""
    found = {}
    for path in _logs(run, rank):
        with path.open("rb") as file:
            nodeid = nodeid_in(file.readline())
        if nodeid is not None:
            found[path] = (nodeid, _worker_of(path))
    return found


def _logs(run: Path, rank: int | None) -> list[Path]:
    return sorted((run / FOLDER).glob("*/*.log" if rank is None else f"*/*{RANKS}/{rank}.log"))


def _worker_of(log: Path) -> str:
    folder = log.parent
    return folder.parent.name if folder.suffix == RANKS else folder.name


def pieces(run: Path, wanted: Wanted, rank: int | None = None) -> list[Piece]:
    """Return what the tests that are wanted have written, in the order in which the attempts began; or that rank."""
    paths = [path for path, about in tests_with_logs(run, rank).items() if wanted(*about)]
    return sorted((piece for path in paths for piece in _pieces_of(path)), key=lambda piece: piece.started)


def _pieces_of(path: Path) -> Iterator[Piece]:
    begin, started, place = 0, "", 0
    with path.open("rb") as file:
        for line in file:
            if line.startswith(HEADING) and nodeid_in(line) is not None:
                if place:
                    yield Piece(path=path, started=started, begin=begin, end=place)
                begin, started = place, started_in(line)
            place += len(line)
    if place:
        yield Piece(path=path, started=started, begin=begin, end=place)


@dataclass(slots=True)
class Follower:
    """Reads what is new in the logs of a run that are wanted, or in those of a rank."""

    run: Path
    wanted: Wanted
    rank: int | None = None
    _read: dict[Path, int] = field(default_factory=dict)
    _ignored: set[Path] = field(default_factory=set)
    _headings: dict[Path, bytes] = field(default_factory=dict)
    _last: Path | None = None

    def new(self) -> Iterator[bytes]:
        """Yield what was written since the last call, after a heading where the last was of another test."""
        for path in _logs(self.run, self.rank):
            if path not in self._ignored and self._knows(path):
                yield from self._new_in(path)

    def _knows(self, path: Path) -> bool:
        if path in self._headings:
            return True
        with path.open("rb") as file:
            line = file.readline()
        nodeid = nodeid_in(line)
        if nodeid is None:
            return False  # it is being written
        if not self.wanted(nodeid, _worker_of(path)):
            self._ignored.add(path)
            return False
        self._headings[path] = line
        return True

    def _new_in(self, path: Path) -> Iterator[bytes]:
        place = self._read.get(path, 0)
        with path.open("rb") as file:
            file.seek(place)
            while data := file.read(_PIECE):
                if self._last != path and not data.startswith(HEADING):
                    yield self._headings[path]
                self._last = path
                yield data
                place += len(data)
        self._read[path] = place

"""The run's tests: all that its workers have collected, and each worker's own numbers of them.

Pure: no clock, no files. Workers speak of tests by their places in their own collections. Those may come in another
order, lack tests, or have more; so every collection has a table of its own, and the run goes by ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Key = tuple[str, int]
"""A test by its id, and how many of that id came before it in its collection."""


Choose = Callable[[Sequence[int], int], Sequence[int]]
"""Given a worker's numbers of tests that nobody had, and how many it lacks: returns those that become the run's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """What a worker's numbers mean. ``collection`` is the number that all have in common which have the same tests.

    ``lacks`` are the run's tests that it did not have when it was first seen, ``more`` the worker's numbers of those
    that were new then, ``left_out`` of those that are none of the run's.
    """

    collection: int = 0
    lacks: tuple[int, ...] = ()
    more: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    of_worker: tuple[int | None, ...] | None = None
    """The run's numbers by the worker's, None where they are the same."""
    of_run: dict[int, int] | None = None
    """The worker's by the run's."""

    def to_run(self, number: int) -> int:
        """Return the run's number of a test that a worker was given."""
        found = number if self.of_worker is None else self.of_worker[number]
        assert found is not None, "a test that is none of the run's was given to a worker"
        return found

    def to_worker(self, number: int) -> int:
        """Return the worker's own number of a test of the run that it has."""
        return number if self.of_run is None else self.of_run[number]


class RunTests:
    """The ids of the run's tests by number, in the order in which they were found."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._numbers: dict[Key, int] = {}
        self._collections: dict[frozenset[int], int] = {}

    def number_of(self, nodeid: str) -> int:
        """Return the number of a test of the run."""
        return self._numbers[nodeid, 0]

    def __contains__(self, nodeid: object) -> bool:
        return (nodeid, 0) in self._numbers

    def take_in(self, ids: Sequence[str], choose: Choose = lambda unknown, _: unknown) -> Numbering:
        """Take in what a worker has collected. ``choose`` says which of the tests that nobody had become the run's."""
        keys = _keys(ids)
        if not self._collections:
            self.ids = list(ids)
            self._numbers = {key: number for number, key in enumerate(keys)}
            self._collections[frozenset(range(len(keys)))] = 0
            return Numbering()
        known = len(self.ids)
        unknown = [number for number, key in enumerate(keys) if key not in self._numbers]
        more = choose(unknown, known - (len(keys) - len(unknown)))
        for number in more:
            self._numbers[keys[number]] = len(self.ids)
            self.ids.append(ids[number])
        table = tuple(self._numbers.get(key) for key in keys)
        has = frozenset(number for number in table if number is not None)
        return Numbering(
            collection=self._collections.setdefault(has, len(self._collections)),
            lacks=tuple(number for number in range(known) if number not in has),
            more=tuple(more),
            left_out=tuple(sorted({*unknown} - {*more})),
            of_worker=table,
            of_run={number: own for own, number in enumerate(table) if number is not None},
        )


def _keys(ids: Sequence[str]) -> list[Key]:
    if len(set(ids)) == len(ids):
        return [(nodeid, 0) for nodeid in ids]
    seen = Counter[str]()
    keys = []
    for nodeid in ids:
        keys.append((nodeid, seen[nodeid]))
        seen[nodeid] += 1
    return keys

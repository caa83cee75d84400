"""Tests as they are planned, and work units: what of them must stay together on one worker.

Pure: standard library only, no clock, no files. A work unit is a group's tests of one kind, or a test alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from ..values.wide_fixture import WideFixture

Rank = tuple[int, int, float]
"""How soon a work unit should start: by priority, then unknown durations, then the longest; the lowest goes first."""

Need = tuple[int, int]
"""The devices that a test needs: how many, and of how many bytes each at least (0: any will do)."""

Possible = Callable[[int, int], Need]
"""What the pool can give a test that asks for so many devices of so much memory each; see :func:`demands.possible`."""

SAME_LENGTH = math.log(1.05)
"""Durations within 5 % are equal choices, among which shared fixtures decide."""

SHORTEST = 0.01
"""So are all below this, in seconds."""

Family = tuple[WideFixture, ...]
"""What tests need to be set up, in one order."""

Collections = frozenset[int]
"""What workers have collected, by number: those that have found the same tests have found one collection."""

_NONE: frozenset[str] = frozenset()
_NOWHERE: Collections = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One collected test.

    ``function`` is its id without parameters; tests of one ``group`` run on one worker, in order. ``gpus`` and
    ``memory`` say on which workers it may run (devices, bytes of each); ``seconds`` is what it takes by earlier runs,
    None where that is not known, and ``timeout`` what it may take. ``set_ups`` are set up for it, unless its worker has
    them already. Workers of a collection in ``lacked_by`` cannot run it.
    """

    __test__ = False  # the name would make pytest collect it

    index: int
    function: str
    group: str | None = None
    priority: int = 0
    gpus: int = 1
    memory: int = 0
    stage: int = 0
    serial: bool = False
    locks: frozenset[str] = frozenset()
    timeout: float | None = None
    seconds: float | None = None
    set_ups: Family = ()
    lacked_by: Collections = _NOWHERE


def _as_given(set_ups: Family, seconds: float | None) -> Family:
    return set_ups


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """Tests that one worker runs in order, and what it needs for them. ``locks`` are held for all of them.

    ``set_ups`` are what the first of them needs to be set up, ``family`` those of these that are worth planning for.
    """

    tests: tuple[int, ...]
    rank: Rank
    priority: int
    gpus: int
    memory: int
    locks: frozenset[str]
    stage: int
    serial: bool
    seconds: float | None
    set_ups: Family
    family: Family
    lacked_by: Collections

    @property
    def need(self) -> Need:
        """The devices that a worker must have for it."""
        return self.gpus, self.memory


def work_unit(
    tests: Sequence[Test],
    possible: Possible,
    *,
    longest_first: bool = True,
    largest_group_first: bool = True,
    dear: Callable[[Family, float | None], Family] = _as_given,
) -> WorkUnit:
    """Return the work unit of tests that stay together, on a pool that can give them what ``possible`` says.

    ``dear`` says which set-ups are worth planning for, where a unit takes so long.
    """
    first = tests[0]
    known = [test.seconds for test in tests if test.seconds is not None]
    seconds = sum(known) if len(known) == len(tests) else None
    priority = max(test.priority for test in tests)
    if longest_first and seconds is not None:
        length = (1, -float(round(math.log(max(seconds, SHORTEST)) / SAME_LENGTH)))
    else:
        # As xdist orders groups: a large one that starts last decides the makespan.
        grouped = largest_group_first and first.group is not None
        length = (0, -float(len(tests)) if grouped else 0.0)
    needs = [possible(test.gpus, test.memory) for test in tests]
    return WorkUnit(
        tests=tuple(test.index for test in tests),
        rank=(-priority, *length),
        priority=priority,
        gpus=needs[0][0],
        memory=max(memory for _, memory in needs),
        locks=first.locks if len(tests) == 1 else _NONE.union(*(test.locks for test in tests)),
        stage=first.stage,
        serial=first.serial,
        seconds=seconds,
        set_ups=first.set_ups if longest_first else (),
        family=dear(first.set_ups, seconds) if longest_first else (),
        lacked_by=first.lacked_by,
    )


def kind_of(test: Test) -> Hashable:
    """Return what tests have in common that must stay together: no two tests without a group have it."""
    return test.index if test.group is None else (test.group, test.stage, test.gpus, test.serial, test.lacked_by)

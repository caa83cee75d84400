"""Decisions: what the planner wants done, for xdist's side to carry out in this order. Pure: no clock, no files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assign:
    """Give a worker tests, behind those that it has."""

    worker: str
    tests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Steal:
    """Request tests of a worker that it has not begun; what it gives back is told by :meth:`Planner.stolen`."""

    worker: str
    tests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rest:
    """There is no next test for a worker now: let it end its test, and wait for what comes."""

    worker: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Let a worker end when it has run what it has: nothing here needs it, or others need its devices."""

    worker: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker that leases so many devices of at least so many bytes; :meth:`Planner.started` tells its name.

    One that ``is_alone`` shares them with nobody, though others of the run share theirs.
    """

    gpus: int
    memory: int = 0
    is_alone: bool = False


Decision = Assign | Steal | Rest | Retire | Start

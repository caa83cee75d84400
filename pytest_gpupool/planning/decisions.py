"""Decisions: what the planner wants done. Pure: no clock, no files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assign:
    """Put tests at the end of a worker's queue."""

    worker: str
    tests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Steal:
    """Ask a worker for queued tests back; what it gives comes as :meth:`Planner.stolen`."""

    worker: str
    tests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rest:
    """A worker that asked gets nothing now: let it end its test, and wait for what comes."""

    worker: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Let a worker finish: nothing here needs it, or others need its devices."""

    worker: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a worker that leases so many devices of at least so much memory; :meth:`Planner.started` names it."""

    gpus: int
    memory: int = 0


Decision = Assign | Steal | Rest | Retire | Start

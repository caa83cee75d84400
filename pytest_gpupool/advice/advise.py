"""Advise: all advice that a run gives, what saves most first. Pure: standard library only, no clock, no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..records.folding.results import Results
from ..values.device import Device
from . import idle, limits, memory, slots
from .items import LEAST_SECONDS, MUCH, Advice
from .leases import Holds

LEAST_RUN = 10.0
"""In seconds: a shorter run tells nothing, as there the start is most of it."""

MOST = 10
"""Items that are told."""


def advice(results: Results, devices: Iterable[Device]) -> list[Advice]:
    """Return the advice on a run, on the devices of its pool, the one that saves most first.

    That on what would be saved if a test hung comes after what is saved in any case.
    """
    holds = Holds.of(results, devices)
    if holds.span < LEAST_RUN:
        return []
    found = [item for item in _all(results, holds) if item.saves > MUCH and _in_seconds(item, holds)]
    return sorted(found, key=_order)[:MOST]


def _all(results: Results, holds: Holds) -> Iterator[Advice]:
    yield from idle.advice(results, holds)
    yield from memory.advice(holds)
    yield from slots.advice(results, holds)
    yield from limits.advice(results, holds)


def _order(item: Advice) -> tuple[bool, float]:
    return item.share_of == "hang", -item.saves


def _in_seconds(item: Advice, holds: Holds) -> bool:
    """Return whether it is of so many seconds that it is no noise."""
    return item.saves * (holds.span if item.share_of in ("makespan", "hang") else holds.seconds) >= LEAST_SECONDS

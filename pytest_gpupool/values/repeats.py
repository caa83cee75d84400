"""Repeats: measurements of one test, each an item of its own to pytest, with an id that tells whose it is.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

REPEAT = "repeat"
"""What a report of a repeat calls its outcome: the test's is known when all have ended."""

REDUCERS = ("mean", "median", "best", "worst", "pass_at_k")
"""How the values of a metric over repeats become one."""

OVER_TESTS = ("mean", "median", "min", "max", "sum", "geometric_mean", "worst_group")
"""How the values of a metric over tests become one: the last one is the mean of the group in which that is worst."""

_ID = re.compile(r"(.*) #r(\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Repeat:
    """One of ``count`` measurements of the test ``of``, by its ``number`` from 0; ``at_least`` so many must pass."""

    of: str
    number: int
    count: int
    at_least: int
    reduce: str

    @property
    def nodeid(self) -> str:
        """The id of its item."""
        return f"{self.of} #r{self.number}"

    def to_record(self) -> dict[str, Any]:
        """Return what of it no id says."""
        return {"count": self.count, "at_least": self.at_least, "reduce": self.reduce}


@dataclass(frozen=True, slots=True)
class Rule:
    """How repeats make a test, as a record has it."""

    count: int
    at_least: int
    reduce: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Rule:
        """Make it of :meth:`Repeat.to_record`."""
        return cls(record["count"], record["at_least"], record["reduce"])


def test_of(nodeid: str) -> str | None:
    """Return the test of which an id names a repeat, None where it is that of a test."""
    found = _ID.fullmatch(nodeid) if " #r" in nodeid else None
    return None if found is None else found[1]


def number_of(nodeid: str) -> int:
    """Return which repeat of its test an id names."""
    found = _ID.fullmatch(nodeid)
    return 0 if found is None else int(found[2])


def count_of_tests(nodeids: Iterable[str]) -> int:
    """Return how many tests these ids are of, of which some may name repeats."""
    return len({test_of(nodeid) or nodeid for nodeid in nodeids})

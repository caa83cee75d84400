"""Records: the lines of journals, and the order in which a run's journals are folded.

Pure: standard library only, no clock, no files. What the kinds of record mean is in :mod:`results`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .shapes.journal import RECORDS

Record = Mapping[str, Any]

_FIRST = frozenset({"journal", "collected", "kept", "worker", "device", "replaces"})
_OF_ATTEMPTS = frozenset({"metric", "items", "facts", "attached", "set-up", "torn-down", "end"})


def is_sound(record: object) -> bool:
    """Say whether a line's value is a record that can be folded; one of a kind unknown here is, and changes nothing."""
    if not isinstance(record, dict) or not isinstance(record.get("record"), str):
        return False
    shape = RECORDS.get(record["record"])
    return shape is None or shape.fits(record)


def in_order(journals: Iterable[Iterable[Record]]) -> Iterable[Record]:
    """Yield the records of a run's journals as they are to be folded.

    Each journal is in the order of its own writer alone. What was collected comes first, then the attempts by the time
    at which they began, since a test may have run again on another worker, then what the controller said of them.
    """
    first: list[Record] = []
    last: list[Record] = []
    attempts: list[tuple[str, list[Record]]] = []
    for journal in journals:
        open_attempts: dict[str, list[Record]] = {}  # of this journal, by test
        latest = ""  # the clock may be set back meanwhile
        for record in journal:
            kind = record["record"]
            if kind == "start":
                begun = open_attempts[record["test"]] = [record]
                latest = max(latest, record["started"])
                attempts.append((latest, begun))
            elif kind in _OF_ATTEMPTS:
                open_attempts.get(record["test"], last).append(record)
            else:
                (first if kind in _FIRST else last).append(record)
    yield from first
    attempts.sort(key=lambda attempt: attempt[0])
    attempts.reverse()
    while attempts:  # which frees each as it goes
        yield from attempts.pop()[1]
    yield from last

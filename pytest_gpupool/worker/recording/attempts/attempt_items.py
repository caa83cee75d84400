"""The items of one attempt: which ids there are, and what their scores add up to."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Protocol

from ....processes.own.forks import Owner
from ....records.beside.samples import Tally
from ....values.errors import MetricProblem

if TYPE_CHECKING:
    from ....metrics.sample import Sample


class Sink(Protocol):
    """Where lines go."""

    problem: str | None
    """Why some are lost, None while none is."""

    def append(self, line: str) -> bool:
        """Take one; return whether it is not lost."""

    def close(self) -> None:
        """For now there are no more."""


class AttemptItems:
    """The items of one attempt, in the process that runs it or in a child of that."""

    def __init__(self, place: str, sink: Sink | None) -> None:
        self.place = place
        self.sink = sink
        self.tally = Tally()
        self.ids: set[str] = set()
        self.is_begun = False
        """Whether there is a record of them."""
        self.has_more = False
        """Whether children have written some, which are in the file alone."""
        self.owner = Owner()
        self._writing = RLock()

    def add(self, sample: Sample) -> None:
        """Write one. Raises MetricProblem where there is one of that id."""
        with self._writing:
            if sample.id in self.ids:
                raise MetricProblem(
                    f"item {sample.id!r} was recorded before in this test: give each item an id of its own, and all "
                    "that is said of one in one call"
                )
            self.ids.add(sample.id)
            is_there = self.sink is None or self.sink.append(sample.line)
            self.tally.add(sample.scores, size=len(sample.line), is_cut=sample.is_cut, is_lost=not is_there)

"""The problem: what a run is planned from, before it begins. Pure: standard library only, no clock, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .demands import for_one_worker
from .planner import Planner
from .tests import Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Tests, and who may run them: ``capacity``, ``asked``, ``costs`` and ``deadline`` are those of :class:`Planner`.

    ``capacity`` is how many devices, or slots of them, workers may hold together.
    """

    tests: Sequence[Test]
    capacity: int
    asked: int
    costs: Mapping[str, float | None] = field(default_factory=dict)
    longest_first: bool = True
    largest_group_first: bool = True
    minds_set_ups: bool = True
    are_shared: bool = False
    deadline: float | None = None

    @classmethod
    def of(
        cls,
        tests: Sequence[Test],
        *,
        capacity: int,
        asked: int,
        costs: Mapping[str, float | None],
        longest_first: bool,
        largest_group_first: bool,
        are_shared: bool = False,
        deadline: float | None = None,
    ) -> Problem:
        """Make it. One worker alone gains nothing by an order of its own, and tests may build on each other."""
        is_alone = for_one_worker(tests, capacity, asked)
        return cls(
            tests=[replace(test, serial=False) for test in tests] if is_alone else tests,
            capacity=capacity,
            asked=asked,
            costs=costs,
            longest_first=longest_first and not is_alone,
            largest_group_first=largest_group_first and not is_alone,
            are_shared=are_shared,
            deadline=deadline,
        )

    def planner(self) -> Planner:
        """Return the planner of this run, which has not begun."""
        return Planner(
            self.tests,
            capacity=self.capacity,
            asked=self.asked,
            longest_first=self.longest_first,
            largest_group_first=self.largest_group_first,
            costs=self.costs,
            minds_set_ups=self.minds_set_ups,
            are_shared=self.are_shared,
            deadline=self.deadline,
        )

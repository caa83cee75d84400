"""Plans: makes the planner of a run from what its workers have collected, and tells it who comes."""

from __future__ import annotations

from itertools import islice

from ...options import companions
from ...planning.outlook.choice import chosen
from ...planning.planner import Planner
from ...planning.problem import Problem
from ...planning.tests import Test
from ...values.messages import Items
from ...values.repeats import count_of_tests
from ..dispatch import Dispatch
from ..parts import Parts
from ..workers.member import Member


class Plans:
    """What is known of a run's tests beside the planner, which ``planner`` is once a worker has collected."""

    def __init__(self, parts: Parts, dispatch: Dispatch) -> None:
        self.planner: Planner | None = None
        self.limits: dict[int, float] = {}
        """How long tests may take, by number, of those that have a limit."""
        self.has_serial = False
        self.largest = 1
        """How many devices a test asks for at most."""
        self._parts = parts
        self._dispatch = dispatch
        self._collections: set[int] = set()  # those that the planner knows
        self._built: dict[str, dict[str, float]] = {}  # by worker, what it has not been asked about
        self._set_ups = 0  # how many of them are in that, or were

    @property
    def is_over(self) -> bool:
        """Whether every test has ended, and nobody is about to say that there are more."""
        return self.planner is not None and self.planner.finished and not self._awaited()

    def hurry_the_last(self) -> None:
        """All tests are over that are known: see that nobody keeps the run from its end."""
        ends = self._parts.ends
        if awaited := self._awaited():
            for member in awaited:
                ends.is_awaited(member)
        else:  # xdist tells all of them so
            for member in self._parts.roster.present():
                ends.is_to_end(member)

    def _awaited(self) -> list[Member]:
        present = self._parts.roster.present()
        return [member for member in present if member.is_awaited and not member.collected and not member.retired]

    def collected(self, member: Member) -> None:
        """A worker has collected; the first collection is the run's, and others may add to it."""
        self._parts.ends.goes_on(member)
        member.numbering = self._parts.collected.take_in(member)
        if self.planner is None:
            self._begin(member)
        elif member.numbering.collection not in self._collections:
            self._add(member, self.planner)
        self._collections.add(member.numbering.collection)

    def started(self, member: Member) -> None:
        """A worker is about to be started; the planner has to know of those that come after the first collection."""
        if self.planner is not None:
            shape = member.shape
            self.planner.started(member.name, shape.gpus, shape.memory, is_alone=shape.is_alone)

    def built_by(self, worker: str) -> dict[str, float]:
        """Return what a worker has set up of wide fixtures since this was called last, in seconds by key."""
        set_ups = self._parts.controller.records.results.set_ups
        if len(set_ups) == self._set_ups and worker not in self._built:
            return {}
        for (name, _), one in islice(set_ups.items(), self._set_ups, None):
            by_key = self._built.setdefault(name, {})
            by_key[one.fixture] = by_key.get(one.fixture, 0.0) + one.took
        self._set_ups = len(set_ups)
        return self._built.pop(worker, {})

    def has_leased(self, member: Member) -> None:
        """A worker has its devices. The run does not end before its first ones have collected."""
        if self.planner is not None and self.planner.has(member.name):
            self.planner.leased(member.name)
            if member.is_first:
                self.awaits(member)

    def awaits(self, member: Member, *, is_so: bool = True) -> None:
        """What a worker collects may be news, and nobody can keep it from that; or it has to wait, who knows how long.

        The run does not end before those have collected that are awaited.
        """
        member.is_awaited = is_so
        if self.planner is not None and self.planner.has(member.name):
            self.planner.collects(member.name, is_so=is_so)

    def _begin(self, member: Member) -> None:
        """The first worker has collected: plan the run."""
        parts, items = self._parts, self._parts.collected.items_of(member)
        told = items.told()
        tests = parts.capacity.planned(items.ids, told)
        self._note(tests)
        self._dispatch.begins([test.seconds for test in tests])
        config = parts.controller.config
        problem = Problem.of(
            tests,
            capacity=parts.capacity.room(self.largest),
            asked=parts.capacity.workers_asked,
            costs=parts.capacity.costs(items.ids, told),
            longest_first=self._is_longest_first(items),
            largest_group_first=companions.largest_group_first(config),
            are_shared=parts.controller.options.slots > 1,
            deadline=parts.controller.deadline,
        )
        if parts.controller.deadline is not None:
            self._dispatch.look_at(parts.controller.deadline)
        problem = parts.controller.problem = chosen(problem)
        self.planner = problem.planner()
        for other in parts.roster.present():
            self._is_first(other, self.planner)
        parts.collected.add(member, items.ids, items.whole_collection, items.part)
        self._tell_as_xdist_does(count_of_tests(items.ids))

    def _tell_as_xdist_does(self, tests: int) -> None:
        """Say how many tests there are, in words that people and scripts know."""
        controller, workers = self._parts.controller, len(self._parts.roster.everyone())
        words = f"{workers} worker{'' if workers == 1 else 's'} [{tests} item{'' if tests == 1 else 's'}]"
        controller.console.tell(words, label=False)
        if controller.config.get_verbosity() > 0:
            controller.console.tell("scheduling tests via LateScheduling", label=False)

    def _is_longest_first(self, items: Items) -> bool:
        """Return whether the longest test goes first: where nobody says so, unless something else orders the tests."""
        controller = self._parts.controller
        if controller.options.longest_first is not None:
            return controller.options.longest_first
        if items.order_is_promised:
            who = ", ".join(companions.ordering(controller.config)) or "a plugin or conftest.py"
            controller.console.tell(f"tests run in the order of {who} (--gpupool-order=longest: the longest first)")
        return not items.order_is_promised

    def _is_first(self, member: Member, planner: Planner) -> None:
        """A worker was started before anybody had collected."""
        member.is_first = True
        self.started(member)
        if member.leased:
            planner.leased(member.name)
        self.awaits(member, is_so=member.leased or not member.has_to_wait)

    def _add(self, member: Member, planner: Planner) -> None:
        """A worker has collected other tests than all before it."""
        numbering = member.numbering
        more = self._parts.capacity.planned_for(member.shape, self._parts.collected.items_of(member), numbering)
        self._note(more)
        planner.collected(numbering.collection, numbering.lacks, more)
        if more:
            self._parts.collected.add(member, [self._parts.collected.run.ids[test.index] for test in more])

    def _note(self, tests: list[Test]) -> None:
        self.limits |= {test.index: test.timeout for test in tests if test.timeout is not None}
        self.has_serial = self.has_serial or any(test.serial for test in tests)
        self.largest = max([self.largest, *(test.gpus for test in tests)])

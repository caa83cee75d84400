"""The dispatcher: gives tests to workers that want one, and decides what becomes of those for which there is none.

Pure: standard library only, no clock, no files. The planner calls it at the end of each event.
"""

from __future__ import annotations

from collections.abc import Collection

from ..backlog.queue import Queue
from ..decisions import Assign, Decision, Rest, Retire, Start
from ..staffing import Staffing
from ..tests import Family
from ..workers import Worker, Workers
from .ahead import Ahead
from .orphans import Orphans
from .pace import Pace
from .reruns import Reruns
from .selection import Selection
from .serial import SerialTurn
from .stealing import Stealing


class Dispatcher:
    """Matches what waits with who waits."""

    def __init__(
        self,
        queue: Queue,
        workers: Workers,
        staffing: Staffing,
        *,
        pace: Pace,
        reruns: Reruns,
        serial: SerialTurn,
        stealing: Stealing,
        orphans: Orphans,
    ) -> None:
        self._families = queue.families
        self._workers = workers
        self._staffing = staffing
        self._reruns = reruns
        self._serial = serial
        self._stealing = stealing
        self._orphans = orphans
        self._selection = Selection(queue, workers, reruns, serial)
        self._ahead = Ahead(pace, self._selection, stealing)

    def replan(self) -> list[Decision]:
        """Return who comes and goes, then what those get who wait: after what changes how many workers are of use."""
        decisions = self._look()
        while self._orphans.wait_in_vain() or (not decisions and self._orphans.are_left_over()):
            decisions += self._look()
        return decisions or self._clear_for_one()

    def _look(self) -> list[Decision]:
        return [*self._exchange_barred(), *self._reform(), *self.wake()]

    def wake(self) -> list[Decision]:
        """Give tests to who waits, as far as there are any: after what changes only what waits."""
        decisions = self._serve(self._stealing.thieves)
        for gpus in self._workers.idle.sizes():
            decisions += self._serve(self._workers.idle.of_size(gpus))
        return decisions

    def feed(self, worker: Worker) -> list[Decision]:
        """Give a worker its next test, and short ones ahead; where there is none, say what becomes of the worker."""
        if worker.retired:
            return []
        # What is gathered may have become wrong with every test that was taken since.
        changes = self._reform() if self._staffing.gathers else []
        if worker.retired:
            return changes
        if self._staffing.is_surplus(worker):
            return [*changes, self.let_go(worker), *self._reform()]
        following = self._selection.take_next(worker)
        if following is None:
            return [*changes, *self._starve(worker)]
        self._workers.works(worker)
        self._stealing.thieves.pop(worker.name, None)
        if not worker.assigned:
            worker.wants_next = False  # that was about a test that had ended; this one begins now
        worker.assigned.append(following)
        return [*changes, Assign(worker.name, (following, *self._ahead.fill(worker)))]

    def top_up(self, worker: Worker) -> list[Decision]:
        """Queue more short tests ahead for a worker that has ended one."""
        if worker.retired or worker.devices & self._workers.lost_devices:
            return []
        tests = self._ahead.top_up(worker)
        return [Assign(worker.name, tuple(tests))] if tests else []

    def let_go(self, worker: Worker) -> Retire:
        """Let a worker end once it has run what it has."""
        self._stealing.leaves(worker)
        self._families.leaves(worker)
        return self._workers.retire(worker)

    def _starve(self, worker: Worker) -> list[Decision]:
        """Nothing for this worker now: steal from who has tests ahead, else let it wait, else let it go."""
        request = self._stealing.request(worker)
        if request is not None or self._stealing.may_bring(worker):
            if not worker.resting:
                self._stealing.thieves[worker.name] = None
            return [] if request is None else [request]
        self._stealing.thieves.pop(worker.name, None)
        if exchanged := self._exchange(worker):
            return exchanged
        # Nobody is to end while a serial test runs, nor is it to wait for that.
        keeps_all = self._serial.keeps_all or self._stealing.may_come_late
        keeps_all = keeps_all or self._reruns.next_alone(worker) is not None
        if not self._staffing.is_kept(worker, self._reruns_of_size(worker.gpus), in_any_case=keeps_all):
            return [self.let_go(worker), *self._reform()]
        was_told = worker.resting
        self._workers.rests(worker)
        if was_told:
            return []
        # Without a test it waits already, and its devices are there for others.
        return [Rest(worker.name)] if worker.assigned else self._reform()

    def _exchange_barred(self) -> list[Decision]:
        """Exchange workers that are not here yet, and whose devices nobody can use, where a test waits for others."""
        if not self._reruns.waiting:
            return []
        barred = [worker for worker in self._workers if worker.is_barred]
        return [decision for worker in barred if not worker.retired for decision in self._exchange(worker)]

    def _exchange(self, worker: Worker) -> list[Decision]:
        """Let a worker go that has nothing to do, where tests wait for other devices than its own; start another one.

        That first: as long as this one is there nobody is given the same devices.
        """
        tests = self._reruns.kept_from(worker)
        if not tests or self._serial.is_under_way or self._stealing.may_come_late:
            return []
        goes, changes = self.let_go(worker), self._reform()
        if any(isinstance(change, Start) and change.gpus == worker.gpus for change in changes):
            self._reruns.is_exchanged_for(tests)
        return [*changes, goes]

    def _clear_for_one(self) -> list[Decision]:
        """Where nobody has anything to do, and a test waits for that: let all go, and have a worker for it alone."""
        need = self._reruns.need_alone()
        if need is None or self._reruns.undecided or not self._workers.all_wait:
            return []
        if not all(worker.resting for worker in self._workers):
            return []  # one has ended its test, and is about to ask for the next
        idle = [self._workers[name] for gpus in self._workers.idle.sizes() for name in self._workers.idle.of_size(gpus)]
        if any(self._reruns.next_alone(worker) is not None for worker in idle):
            return []  # it is here, and waits for the last of the others to be gone
        return [*map(self.let_go, idle), self._workers.announce(*need, is_alone=True)]

    def _reruns_of_size(self, gpus: int) -> int:
        """Return how many tests of a size wait to run again on any worker, or may come to."""
        needs = (*self._reruns.needs(), *self._reruns.undecided_needs())
        return sum(size == gpus for size, _ in needs) - sum(size == gpus for size, _ in self._reruns.fresh_needs())

    def _reform(self) -> list[Decision]:
        """Return which workers come and go: none beside a serial test."""
        if self._serial.is_taken:
            return []
        changes = [self.let_go(worker) for worker in self._serial.in_the_way()]
        reruns, alone = self._reruns, self._reruns.need_alone()
        undecided = [*reruns.undecided_needs(), *reruns.spent_needs(), *([] if alone is None else [alone])]
        return [*changes, *self._staffing.reform(reruns.needs(), undecided, reruns.fresh_needs())]

    def _serve(self, names: Collection[str]) -> list[Decision]:
        """Feed workers of which all wait for what is stolen, or all for a test."""
        decisions: list[Decision] = []
        if not names:
            return decisions
        # By size, collection and what is set up, how much memory is not enough for any test.
        in_vain: dict[tuple[int, int, Family], float] = {}
        for worker in map(self._workers.__getitem__, list(names)):
            kind = worker.gpus, worker.collection, worker.family
            if worker.memory <= in_vain.get(kind, -1.0) and not self._reruns.waiting:
                continue
            decisions += self.feed(worker)
            if worker.name in names:  # it waits as before, and so would the next one
                in_vain[kind] = max(in_vain.get(kind, 0.0), worker.memory)
        return decisions

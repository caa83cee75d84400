"""The scheduler: speaks xdist's scheduling protocol and asks ``planning`` what to do, which ``dispatch`` does.

xdist calls these methods from its loop in the controller; what the methods mean to it is in
``xdist.scheduler.protocol.Scheduling``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from xdist.workermanage import WorkerController

from ..planning.decisions import Decision
from ..planning.planner import Planner
from ..processes.own import clock, garbage
from ..values.messages import (
    Ask,
    Delayed,
    Exited,
    Expired,
    Fewer,
    Gone,
    Heard,
    Leased,
    Overdue,
    Poisoned,
    Room,
    Settled,
    Share,
    Stolen,
    TimePasses,
    Unanswered,
    Unplaced,
)
from ..values.outcomes import MACHINE, OUT_OF_MEMORY
from ..values.texts import iso
from . import blame
from .collecting.plans import Plans
from .dispatch import Dispatch
from .inbox import Inbox
from .parts import Parts
from .workers.member import Member


class LateScheduling:
    """One test a worker, the next one chosen when it is needed."""

    def __init__(self, config: pytest.Config, parts: Parts) -> None:
        self.config = config  # public: pytest-rerunfailures reads it, as every scheduler of xdist has it
        self._parts = parts
        self._inbox = Inbox(parts)
        self._dispatch = Dispatch(parts)
        self._plans = Plans(parts, self._dispatch)
        self._run = parts.collected.run
        self._ready: list[Member] = []
        self._joined: dict[str, Member] = {}
        self._running: dict[str, int | None] = {}
        self._in_vain = 0  # tests for which no other device has come, of which pytest has heard

    # What xdist calls

    @property
    def nodes(self) -> list[WorkerController]:
        """Workers that must be shut down at the end: those that still wait for a lease too."""
        return self._parts.roster.nodes()

    @property
    def collection_is_completed(self) -> bool:
        """True with the first worker: tests start while others still wait or collect."""
        return self._planner is not None

    @property
    def tests_finished(self) -> bool:
        """Whether every test has ended, and nobody is about to say that there are more."""
        planner = self._plans.planner  # xdist asks six times a test
        return planner is not None and planner.finished and self._plans.is_over

    @property
    def has_pending(self) -> bool:
        """Whether the run is under way, be it one without tests: else xdist is about to say that it begins."""
        return self._planner is not None

    def add_node(self, node: WorkerController) -> None:
        """A worker is about to collect; the roster has it already."""
        member = self._parts.roster.of(node)
        self._plans.awaits(member, is_so=not member.has_to_wait)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected; the first collection is the run's, and others may add to it."""
        member = self._parts.roster.of(node)
        with garbage.collection_paused():
            self._plans.collected(member)
        self._ready.append(member)

    def schedule(self) -> None:
        """Give tests to workers that have just collected."""
        ready, self._ready = self._ready, []
        for member in ready:
            self._joined[member.name] = member
            member.ready = iso(clock.now())
            self._dispatch.has_joined(member)
            memory = self._parts.capacity.memory_of(member.devices)
            collection = member.numbering.collection
            self._carry_out(self._plan.joined(member.name, member.devices, memory, collection))

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has ended a test."""
        member = self._parts.roster.of(node)
        index = member.numbering.to_run(item_index)
        built, cause = self._plans.built_by(member.name), self._parts.retries.has_ended(self._run.ids[index], member)
        again = None if cause is not None else self._measured_again(index, member)
        self._carry_out(self._plan.ended(member.name, index, duration, built, is_over=cause is None and again is None))
        if cause is not None:
            self._try_again(index, cause, member)
        elif again is not None:
            self._dispatch.is_measured_again(index, again)
            self._carry_out(self._plan.again(index))
        self._goes_on(member.name)

    def mark_test_pending(self, item: str) -> None:
        """Another plugin (pytest-rerunfailures) wants a crashed test to run again."""
        index = self._run.number_of(item)
        self._carry_out(self._plan.again(index, self._dispatch.runs_again(index, item)))

    def remove_pending_tests_from_node(self, node: WorkerController | None, indices: Sequence[Heard]) -> None:
        """Hear what travels as this event: messages of a worker, or notices of the controller, which are nobody's."""
        for heard in indices:
            self._hear(node, heard)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the test that it was running."""
        member = self._parts.roster.of(node)
        self._running.pop(member.name, None)
        if self._planner is None or not self._planner.has(member.name):
            return None
        self._joined.pop(member.name, None)
        blamed, over = self._blame(member, self._planner.assigned(member.name))
        if blamed is not None:
            self._dispatch.has_crashed(blamed, member.devices)
            if member.died:
                # By then xdist has asked other plugins whether it runs again.
                self._parts.session.hear_later(Settled(blamed))
        # xdist replaces those that died by themselves.
        is_dead = (member.died or member.interrupted) and member.overdue is None
        has_fewer = (is_dead and not member.is_replaced) or member.never_began
        room = self._parts.capacity.room(self._plans.largest) if has_fewer else None
        is_ending, replaced = not member.has_exited, is_dead and member.is_replaced
        self._carry_out(self._plan.lost(member.name, blamed, over, replaced=replaced, room=room, is_ending=is_ending))
        return None if blamed is None else self._run.ids[blamed]

    # What our hooks call

    def started(self, member: Member) -> None:
        """A worker is about to be started; the planner has to know of those that come after the first collection."""
        self._plans.started(member)

    def call_has_ended(self, node: WorkerController) -> None:
        """A worker reported a test's call: only the tear-down is left, so it will soon ask."""
        if node.gateway.id in self._joined:
            self._carry_out(self._plan.asks(node.gateway.id))

    def idle_times(self, member: Member) -> Mapping[str, float]:
        """Return for how many seconds a worker had no test, by what it waited for."""
        return {} if self._planner is None else self._plan.idle_times(member.name)

    def tries_again(self, item: str, member: Member) -> None:
        """A test that died with its worker is tried again for the cause of that."""
        assert member.cause is not None
        self._parts.retries.begins(item, member)
        self._try_again(self._run.number_of(item), member.cause, member)

    def settled(self, item: str) -> None:
        """It is known by now whether a test that ended with its worker runs again."""
        self._carry_out(self._plan.settled(self._run.number_of(item)))

    @property
    def _planner(self) -> Planner | None:
        return self._plans.planner

    @property
    def _plan(self) -> Planner:
        planner = self._plans.planner
        assert planner is not None, "no worker has collected yet"
        planner.at(clock.monotonic())
        return planner

    def _hear(self, node: WorkerController | None, heard: Heard) -> None:
        if node is None:
            self._hear_notice(heard)
            return
        member = self._parts.roster.of(node)
        match heard:
            case Leased():
                self._inbox.heard(node, heard)
                self._plans.has_leased(member)
            case Delayed():
                member.has_to_wait = True
                self._plans.awaits(member, is_so=False)
            case Expired(is_barred=is_barred):
                if is_barred:
                    self._is_barred(member)
                # Who is not needed has waited for nothing, and nothing is lost.
                if not (self.tests_finished or (is_barred and member.retired)):
                    self._pass_on(node, heard)
            case Ask() if member.name in self._joined:
                self._carry_out(self._plan.asks(member.name))
            case Stolen(tests):
                self._dispatch.has_answered(member)
                self._carry_out(self._plan.stolen(member.name, [*map(member.numbering.to_run, tests)]))
            case Poisoned(tests=tests) if member.name in self._joined:
                self._inbox.heard(node, heard)
                self._carry_out(self._plan.poisoned(member.name, [*map(member.numbering.to_run, tests)]))
            case _:
                self._pass_on(node, heard)

    def _is_barred(self, member: Member) -> None:
        """A worker was given devices that nobody can use: by an engine; without one it would have taken others."""
        if self._parts.controller.devices.engine is not None and self._planner is not None:
            self._carry_out(self._plan.is_barred(member.name))

    def _hear_notice(self, heard: Heard) -> None:
        """Hear what no worker says, but one of the controller's threads, or an event."""
        match heard:
            case Exited(worker) if self._planner is not None:
                self._carry_out(self._plan.exited(worker))
            case Unanswered(worker):
                self._carry_out(self._plan.has_not_answered(worker))
            case TimePasses():
                self._carry_out(self._plan.looks_again())
            case Settled(test):
                self._carry_out(self._plan.settled(test))
            case Overdue(worker, test):
                if self._runs(worker, test):  # else it has ended by now
                    self._parts.limits.cut_off(self._parts.roster.named(worker), test)
            case Fewer() | Unplaced() if self.tests_finished:
                pass
            case Gone(worker, error) if self.tests_finished:
                self._parts.session.lose(self._parts.roster.named(worker).node, error)
            case Share(most):
                self._give_way(most)
            case Room(gpus, largest):
                self._cluster_has(gpus, largest)
            case _:
                self._pass_on(None, heard)

    def _pass_on(self, node: WorkerController | None, heard: Heard) -> None:
        if self._inbox.heard(node, heard):
            self._shrink()

    def _shrink(self) -> None:
        """The run has fewer devices."""
        if self._planner is not None:
            room, fits = self._parts.capacity.remaining(self._plans.largest)
            self._carry_out(self._planner.shrunk(room, fits, self._parts.controller.records.results.quarantined))

    def _give_way(self, most: int | None) -> None:
        """Others wait for devices, or wait no more: the run holds its share, or what its largest test needs."""
        self._parts.capacity.share = most
        if self._planner is not None and not self.tests_finished:
            room, _ = self._parts.capacity.remaining(self._plans.largest)
            self._parts.controller.console.tell(
                "nobody waits any more: all devices may be used again"
                if most is None
                else f"others wait: this run keeps {room} of its devices, as workers end their tests (--gpupool-yield)"
            )
            self._carry_out(self._planner.gives_way(room, to_others=most is not None))

    def _cluster_has(self, gpus: int, largest: int) -> None:
        """A cluster has grown, or shrunk: more workers may start, or none in the place of those that it took along."""
        self._parts.capacity.cluster_has(gpus, largest)
        self._parts.controller.console.tell(f"there {'is 1 GPU' if gpus == 1 else f'are {gpus} GPUs'} now")
        if self._planner is not None and not self.tests_finished:
            self._carry_out(self._plan.gives_way(self._parts.capacity.room(self._plans.largest), to_others=False))

    def _blame(self, member: Member, queue: Sequence[int]) -> tuple[int | None, list[int]]:
        """Return the test that a worker took with it, and those that had ended though we have not heard it."""
        numbers = {self._run.ids[index]: index for index in queue}
        if member.died or member.interrupted or member.overdue is not None:
            crashed, over = blame.crashed(self._parts.controller, member, list(numbers))
            return (None if crashed is None else numbers[crashed]), [numbers[nodeid] for nodeid in over]
        # What is given to one that was told to end is not run, nor what one has that we have ended.
        is_expected = member.is_cut_off or self._parts.session.stops or self._parts.session.is_shutting_down
        if numbers and not is_expected:
            blame.has_quit(self._parts.controller, member, list(numbers))
        return None, []

    def _carry_out(self, decisions: Sequence[Decision]) -> None:
        if decisions:
            for name in self._dispatch.carry_out(decisions):
                self._goes_on(name)
        planner = self._plans.planner
        if planner is not None:
            if planner.given_up:
                self._parts.controller.out_of_budget = len([*filter(self._is_unfinished, planner.given_up)])
            self._tell_in_vain(planner.in_vain)
            if planner.leaves_tests_alone:
                self._dispatch.look_again()
            if planner.finished:
                self._plans.hurry_the_last()

    def _tell_in_vain(self, tests: Sequence[int]) -> None:
        """Tell pytest of tests that are not tried again after all, as xdist tells it of a failure."""
        while len(tests) > self._in_vain:
            index = tests[self._in_vain]
            self._in_vain += 1
            if (report := self._parts.retries.is_in_vain(self._run.ids[index])) is not None:
                self._parts.session.count_failure(report)

    def _is_unfinished(self, index: int) -> bool:
        """Say whether a test has no result: one that was to be measured again has."""
        result = self._parts.controller.records.results.get(self._run.ids[index], "")
        return result is None or not result.finished

    def _try_again(self, index: int, cause: str, member: Member) -> None:
        """A test has failed of a cause: it runs again in a fresh worker, or elsewhere."""
        if cause == MACHINE:
            self._dispatch.has_crashed(index, self._parts.retries.to_avoid(member.devices))
        avoid = self._dispatch.runs_again(index, self._run.ids[index])
        fresh = cause == OUT_OF_MEMORY
        exchanges = self._parts.retries.exchanges if cause == MACHINE else 0
        self._carry_out(self._plan.again(index, () if fresh else avoid, fresh=fresh, exchanges=exchanges))

    def _measured_again(self, index: int, member: Member) -> int | None:
        """Return after how many attempts a test that has ended is to be measured again, None where it is not."""
        if self._parts.session.stops or member.died:
            return None
        return self._parts.confirmation.attempts_so_far(self._run.ids[index], member.name)

    def _runs(self, name: str, nodeid: str) -> bool:
        assigned = self._plan.assigned(name) if self._plan.has(name) else ()
        return bool(assigned) and self._run.ids[assigned[0]] == nodeid

    def _goes_on(self, name: str) -> None:
        """A worker has ended a test, or was told something: the clock is to run for what it does now."""
        if name not in self._joined:
            return
        if not self._plans.limits and not self._joined[name].retired:
            return
        assigned = self._plan.assigned(name)
        if not assigned and self._joined[name].retired:
            self._parts.ends.is_to_end(self._joined[name])  # others may wait for its devices, or for its end
        if self._plans.limits:
            self._keep_time(name, assigned)

    def _keep_time(self, name: str, assigned: Sequence[int]) -> None:
        """Let the clock run for the test that a worker runs now."""
        running = assigned[0] if assigned else None
        if running != self._running.get(name):
            self._running[name] = running
            limit = None if running is None else self._plans.limits.get(running)
            self._parts.limits.runs(self._joined[name], None if running is None else self._run.ids[running], limit)

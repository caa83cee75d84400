"""Dispatch: carries out what the planner decides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from xdist.workermanage import WorkerController

from ..planning.decisions import Assign, Decision, Rest, Retire, Start, Steal
from ..processes.own import clock
from ..processes.time_limits import TimeLimits
from ..records.estimates import duration_of_all
from ..values import messages
from ..values.messages import Attempts, Command, Ends, TimePasses, Unanswered
from ..values.texts import iso
from .parts import Parts
from .workers.member import Member, Shape

_LOOK_SECONDS = 1.0  # how long others may be late before a worker that has no test is asked again

_ANSWER_SECONDS = 2.0  # a thread answers at once, unless a C call of the test holds the GIL


class Dispatch:
    """Tells workers what to do. Remembers of tests that crashed how often they were tried, and on which devices."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._attempts: dict[int, int] = {}
        self._to_confirm: set[int] = set()
        self._crashed_on: dict[int, tuple[str, ...]] = {}
        self._end: str | None = None
        self._answers = TimeLimits(lambda worker, _: parts.session.hear_later(Unanswered(worker)))
        self._looks = TimeLimits(lambda *_: parts.session.hear_later(TimePasses()))
        for limits in (self._answers, self._looks):
            parts.controller.config.add_cleanup(limits.close)

    def begins(self, seconds: Sequence[float | None]) -> None:
        """The run begins with tests of which each takes so long, None where that is not known."""
        remaining = duration_of_all(seconds, self._parts.capacity.room(1))
        self._end = None if remaining is None else iso(clock.now() + remaining)

    def has_joined(self, member: Member) -> None:
        """A worker is about to get its first test."""
        if self._end is not None:
            with contextlib.suppress(OSError):  # it may have died
                _send(member.node, Ends(self._end))

    def has_crashed(self, index: int, devices: Sequence[str]) -> None:
        """A worker on these devices that ended took a test with it, or they failed under the test."""
        self._crashed_on[index] = tuple(devices)

    def runs_again(self, index: int, nodeid: str) -> tuple[str, ...]:
        """A test that crashed, or is tried again, runs once more; return the devices to avoid."""
        result = self._parts.controller.records.results.get(nodeid, "")
        self._attempts[index] = 0 if result is None else result.attempt
        return self._crashed_on.get(index, ())

    def is_measured_again(self, index: int, attempts: int) -> None:
        """A test that has ended, after so many attempts, runs once more, since a metric of it is suspect."""
        self._attempts[index] = attempts
        self._to_confirm.add(index)

    def has_answered(self, member: Member) -> None:
        """A worker has given tests back, or said that it cannot."""
        self._answers.end(member.name)

    def look_again(self) -> None:
        """Some workers wait, and time may find them something: see :class:`TimePasses`."""
        self._looks.begin("", "", _LOOK_SECONDS)

    def look_at(self, deadline: float) -> None:
        """Look at what waits when that time comes, on the monotonic clock: it is too late for it then."""
        self._looks.begin("deadline", "", max(0.0, deadline - clock.monotonic()))

    def carry_out(self, decisions: Iterable[Decision]) -> list[str]:
        """Do it; return the workers to which something was said."""
        told = []
        for decision in decisions:
            if isinstance(decision, Start):
                self._start(decision)
            elif (member := self._present(decision.worker)) is not None:  # else it has died, which is heard next
                # A worker that has just died cannot be told anything; xdist reports its death next.
                with contextlib.suppress(OSError):
                    self._tell(member, decision)
                told.append(member.name)
        return told

    def _start(self, decision: Start) -> None:
        avoid = {device for devices in self._crashed_on.values() for device in devices}
        shape = Shape(
            gpus=decision.gpus, memory=decision.memory, avoid=tuple(sorted(avoid)), is_alone=decision.is_alone
        )
        self._parts.starts.start(shape)

    def _present(self, name: str) -> Member | None:
        member = self._parts.roster.named(name)
        return None if member.gone else member

    def _tell(self, member: Member, decision: Decision) -> None:
        match decision:
            case Retire():
                member.retire()
            case Rest():
                _send(member.node, messages.Rest())
            case Assign(tests=tests):
                own = member.numbering.to_worker
                if tried := {own(index): self._attempts[index] for index in tests if index in self._attempts}:
                    ids, retries = self._parts.collected.run.ids, self._parts.retries
                    spent = {own(index): retries.spent(ids[index]) for index in tests if index in self._attempts}
                    confirms = [own(index) for index in tests if index in self._to_confirm]
                    _send(member.node, Attempts(tried, spent, confirms))
                member.node.send_runtest_some([*map(own, tests)])
            case Steal(tests=tests):
                member.node.send_steal([*map(member.numbering.to_worker, tests)])
                self._answers.begin(member.name, "", _ANSWER_SECONDS)


def _send(node: WorkerController, command: Command) -> None:
    name, values = messages.to_command(command)
    node.sendcommand(name, **values)

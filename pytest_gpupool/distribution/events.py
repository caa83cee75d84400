"""Events: what a worker's events pass through before xdist hears them, in the thread that execnet hears them with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..foreign import xdist_protocol, xdist_session, xdist_warnings
from ..foreign.xdist_session import Hear
from ..records import wire
from ..values import messages
from ..values.messages import Ask, Finishing, Gone, TearingDown
from .parts import Parts
from .workers.engine_process import EngineWorkerProcess
from .workers.member import Member


class Passage:
    """Called with each event of a worker; ``hear`` is what xdist does with it.

    Parcels are opened, messages become values, and the clock of its test runs from the moment at which an attempt
    begins. What a worker says that was ended is dropped. That its connection has ended is told when its process has.

    Of a worker that is gone though it has not died xdist does not hear: it would replace it and count it, or take it
    for one that has run pytest. With ``each`` it is replaced, since somebody has to run the rest of its tests.
    """

    def __init__(self, hear: Hear, member: Member, parts: Parts, *, each: bool) -> None:
        self._hear = hear
        self._member = member
        self._parts = parts
        self._each = each
        parts.ends.watch(member, self._has_ended)

    def __call__(self, event: Any) -> None:
        """Hear it."""
        if event is xdist_session.END:
            self._parts.ends.connection_has_ended(self._member)
            return
        name, values = event
        if name == messages.PARCEL:
            for inner in wire.loads(values):
                self(inner)
        elif not self._member.is_cut_off:  # else it comes too late: the signals may have waked the test
            self._pass_on(name, values)

    def _pass_on(self, name: str, values: dict[str, Any]) -> None:
        limits, ends = self._parts.limits, self._parts.ends
        if name == xdist_protocol.UNSCHEDULED:
            self._hear_messages(list(map(messages.from_wire, values["indices"])))
            return
        if name == xdist_protocol.LOGSTART:
            limits.restart(self._member.name, values["nodeid"])
            ends.goes_on(self._member)
            if values.get("confirms"):
                return  # the user was shown that it begins
        elif name == xdist_protocol.INTERNAL_ERROR:
            self._member.internal_error = values["formatted_error"]
        elif name == xdist_warnings.RECORDED:
            values = xdist_warnings.as_it_can_be(values)
        elif name == xdist_protocol.TEST_COMPLETE:
            limits.ends(self._member.name)
        elif name == xdist_protocol.WORKER_FINISHED:
            ends.has_said_goodbye(self._member)
            if messages.CANCELLED in values["workeroutput"]:
                self._is_gone(None)
                return
        self._hear((name, values))

    def _hear_messages(self, said: Sequence[messages.Message]) -> None:
        if any(isinstance(message, Finishing) for message in said):
            self._parts.ends.has_run_its_tests(self._member)
            return
        for message in said:
            match message:
                case Ask(answers):
                    self._parts.limits.asks(self._member.name, answers)
                case TearingDown(test):
                    self._parts.ends.tears_down(self._member, test)
                    self._parts.limits.tears_down(self._member.name)
        self._hear(xdist_protocol.unscheduled(*said))

    def _has_ended(self) -> None:
        """Its process has ended, and it had not said goodbye."""
        member = self._member
        process = member.process
        if isinstance(process, EngineWorkerProcess):
            if process.is_withdrawn:
                self._is_gone(None)
                return
            if (why := process.never_began) is not None:
                member.late = f"has never begun: {why}"
        if member.is_cut_off and not self._each:
            self._is_gone(member.late or f"a test took longer than {member.limit:g} s")
        else:
            self._hear(xdist_session.END)

    def _is_gone(self, error: str | None) -> None:
        xdist_session.be_down(self._member.node)
        self._parts.session.hear_later(Gone(self._member.name, error))

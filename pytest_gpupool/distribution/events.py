"""Events: what a worker's events pass through before xdist hears them, in the thread that execnet hears them with."""

from __future__ import annotations

from typing import Any

from ..foreign import xdist_protocol, xdist_session
from ..foreign.xdist_session import Hear
from ..records import wire
from ..values import messages
from .workers.member import Member
from .workers.time_limits import WorkerTimeLimits


def passed_on(hear: Hear, member: Member, limits: WorkerTimeLimits, *, each: bool) -> Hear:
    """Return what to call with a worker's events, for ``hear``, which is xdist's.

    Parcels are opened, messages become values, and the clock of its test runs from the moment at which an attempt
    begins. What a worker says that was ended for its test is dropped. Without ``each`` its own end is told as a good
    one: to xdist, crashes count.
    """

    def hears(event: Any) -> None:
        name, values = event if isinstance(event, tuple) else (None, {})
        if name == messages.PARCEL:
            for inner in wire.loads(values):
                hears(inner)
            return
        if name == xdist_protocol.UNSCHEDULED:
            event = xdist_protocol.unscheduled(*map(messages.from_wire, values["indices"]))
        elif name == xdist_protocol.LOGSTART:
            limits.restart(member.name, values["nodeid"])
        elif name == xdist_protocol.TEST_COMPLETE:
            limits.ends(member.name)
        if member.overdue is not None:
            if event is not xdist_session.END:
                return  # it comes too late: the signals may have waked the test
            if not xdist_session.is_down(member.node) and not each:
                event = xdist_protocol.worker_finished()
        hear(event)

    return hears

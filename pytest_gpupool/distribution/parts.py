"""Parts: what hooks and schedulers share, each made once for the run."""

from __future__ import annotations

from dataclasses import dataclass

from ..foreign.xdist_session import XdistSession
from ..run.controller import Controller
from ..values.messages import Overdue
from .capacity import Capacity
from .collected_tests import CollectedTests
from .workers.lease_waits import LeaseWaits
from .workers.roster import Roster
from .workers.starts import WorkerStarts
from .workers.time_limits import WorkerTimeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """None of them knows who calls it."""

    controller: Controller
    session: XdistSession
    roster: Roster
    starts: WorkerStarts
    limits: WorkerTimeLimits
    waits: LeaseWaits
    collected: CollectedTests
    capacity: Capacity

    @classmethod
    def of(cls, controller: Controller, workers_asked: int) -> Parts:
        """Make them."""
        session, roster = XdistSession(controller.config), Roster()

        def overdue(worker: str, test: str) -> None:
            session.hear_later(Overdue(worker, test))

        return cls(
            controller=controller,
            session=session,
            roster=roster,
            starts=WorkerStarts(controller, session, roster),
            limits=WorkerTimeLimits(controller.records.run_id, overdue),
            waits=LeaseWaits(controller, roster),
            collected=CollectedTests(controller, roster, workers_asked),
            capacity=Capacity(controller, workers_asked),
        )

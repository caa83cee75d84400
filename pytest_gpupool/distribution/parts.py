"""Parts: what hooks and schedulers share, each made once for the run."""

from __future__ import annotations

from dataclasses import dataclass

from ..foreign.xdist_session import XdistSession
from ..run.controller import Controller
from ..run.ending.confirmation import Confirmation
from ..values.messages import Exited, Overdue
from .capacity import Capacity
from .collecting.collected_tests import CollectedTests
from .workers.ends import WorkerEnds
from .workers.lease_waits import LeaseWaits
from .workers.placements import Placements
from .workers.retries import Retries
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
    ends: WorkerEnds
    placements: Placements
    waits: LeaseWaits
    collected: CollectedTests
    capacity: Capacity
    retries: Retries
    confirmation: Confirmation

    @classmethod
    def of(cls, controller: Controller, workers_asked: int, confirmation: Confirmation) -> Parts:
        """Make them."""
        session, roster = XdistSession(controller.config), Roster()
        ends = WorkerEnds(controller, lambda worker: session.hear_later(Exited(worker)))

        def overdue(worker: str, test: str) -> None:
            session.hear_later(Overdue(worker, test))

        return cls(
            controller=controller,
            session=session,
            roster=roster,
            starts=WorkerStarts(controller, session, roster),
            limits=WorkerTimeLimits(overdue, where=ends.where),
            ends=ends,
            placements=Placements(controller, roster, session.hear_later),
            waits=LeaseWaits(controller, roster),
            collected=CollectedTests(controller, roster, session),
            capacity=Capacity(controller, workers_asked),
            retries=Retries(controller, roster),
            confirmation=confirmation,
        )

"""Capacity: how many devices the run may hold, and what each test can have of them; both may shrink."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from ..options import companions
from ..planning.demands import Told, planned_tests, possible
from ..planning.tests import Possible, Test
from ..run.controller import Controller


class Capacity:
    """What the planner is told of the pool. ``workers_asked`` is how many workers the user asks for."""

    def __init__(self, controller: Controller, workers_asked: int) -> None:
        self.workers_asked = workers_asked
        self._controller = controller
        self._together = len(controller.devices.pool.devices)  # how many are to be had at once

    def planned(self, nodeids: Sequence[str], told: Told) -> list[Test]:
        """Return the tests as the pool can run them, with the seconds that each will take."""
        controller = self._controller
        return planned_tests(
            nodeids,
            told,
            controller.history.known(),
            devices=controller.devices.pool.devices,
            timeout=controller.options.timeout,
            mode=companions.distribution_mode(controller.config),
        )

    def room(self, largest: int) -> int:
        """Return how many devices, or slots, the run may hold where its largest test asks for so many."""
        asked = self.workers_asked
        return max(min(asked, self._controller.devices.places() or asked), largest)

    def memory_of(self, devices: Sequence[str]) -> float:
        """Return the bytes of the smallest of these devices, infinity where that is not known."""
        totals = [device.memory_total for device in self._controller.devices.pool.devices if device.id in devices]
        return min((total for total in totals if total is not None), default=math.inf)

    def go_without(self, gpus: int) -> None:
        """So many devices together are not to be had: the tests that need them will fail, the others run."""
        self._together = gpus - 1

    def remaining(self, largest: int) -> tuple[int, Possible]:
        """Return the room that remains where the largest test asked for so many, and what a test can have of it."""
        usable = self._controller.devices.usable()
        fits = functools.partial(possible, devices=usable, largest=self._together)
        return self.room(min(largest, self._together, len(usable))), fits

"""Capacity: how many devices the run may hold, and what each test can have of them; both may shrink."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

from ..options import companions
from ..planning.demands import PER_TEST, Told, planned_tests, possible, set_up_costs
from ..planning.tests import Possible, Test
from ..run.controller import Controller
from ..run.devices.cluster import ClusterDevices
from ..values.messages import Items
from .collecting.run_tests import Numbering
from .workers.member import Shape


class Capacity:
    """What the planner is told of the pool. ``workers_asked`` is how many workers the user asks for."""

    def __init__(self, controller: Controller, workers_asked: int) -> None:
        self.workers_asked = workers_asked
        self.share: int | None = None
        """How many devices the run is to hold while others wait, None where nobody does."""
        self._controller = controller
        self._refused = 0  # devices of workers that an engine has refused
        self._together = controller.devices.together  # how many are to be had at once

    def planned(self, nodeids: Sequence[str], told: Told) -> list[Test]:
        """Return the tests as the pool can run them, with the seconds that each will take."""
        controller = self._controller
        return planned_tests(
            nodeids,
            told,
            controller.history.known(),
            devices=controller.devices.pool.devices[: controller.devices.together],
            isolates=controller.options.isolate,
            timeout=controller.options.timeout,
            mode=companions.distribution_mode(controller.config),
        )

    def costs(self, nodeids: Sequence[str], told: Told) -> dict[str, float | None]:
        """Return what it takes to set up what these tests share, by earlier runs."""
        return set_up_costs(nodeids, told, self._controller.history.learned())

    def planned_for(self, shape: Shape, items: Items, numbering: Numbering) -> list[Test]:
        """Return those of a worker's tests that are new in the run, as workers of its shape can run them.

        Those that ask for less than it has, and that workers of less have not found, may be about what it has more.
        """
        told = items.told()
        for key in PER_TEST:
            told[key] = {at: told[key][own] for at, own in enumerate(numbering.more) if own in told[key]}
        tests = self.planned([items.ids[own] for own in numbering.more], told)
        return [
            replace(
                test,
                index=numbering.to_run(own),
                gpus=max(test.gpus, shape.gpus),
                memory=test.memory if test.gpus >= shape.gpus else 0,
            )
            for own, test in zip(numbering.more, tests, strict=True)
        ]

    def room(self, largest: int) -> int:
        """Return how many devices, or slots, the run may hold where its largest test asks for so many."""
        asked = self.workers_asked
        most = min(asked, self._controller.devices.places() or asked)
        if self.share is not None:
            most = min(most, self.share * self._controller.options.slots)
        return max(most, largest)

    def memory_of(self, devices: Sequence[str]) -> float:
        """Return the bytes of the smallest of these devices, infinity where that is not known."""
        totals = [device.memory_total for device in self._controller.devices.seen() if device.id in devices]
        return min((total for total in totals if total is not None), default=math.inf)

    def go_without(self, gpus: int) -> None:
        """So many devices together are not to be had: the tests that need them will fail, the others run."""
        self._together = gpus - 1

    def cluster_has(self, gpus: int, largest: int) -> None:
        """An engine has so many GPUs by now, and so many the host that has the most."""
        devices = self._controller.devices
        assert isinstance(devices, ClusterDevices)
        self.workers_asked, self._refused = self.workers_asked + self._refused, 0  # it may take them now
        devices.room, self._together = devices.room._replace(gpus=gpus, largest=largest), largest

    def refuse(self, shape: Shape) -> None:
        """An engine has refused a worker: no other one is to be started in its place, until the cluster has changed."""
        self._refused += shape.gpus
        self.lose(shape)

    def lose(self, shape: Shape) -> None:
        """A worker has died, and no other one is to be started in its place."""
        self.workers_asked -= shape.gpus

    def remaining(self, largest: int) -> tuple[int, Possible]:
        """Return the room that remains where the largest test asked for so many, and what a test can have of it."""
        usable = self._controller.devices.usable()
        fits = functools.partial(possible, devices=usable, largest=self._together)
        return self.room(min(largest, self._together, len(usable))), fits

"""Leases: who held which devices from when to when, as the records of a run tell it.

A device that several workers share counts once for each of them: a worker's slot is what it holds. The records of a
run that was killed lack ends: such a lease is taken to have ended with the last test that is known to have ended there.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..records.folding.result import TestResult, WorkerResult
from ..records.folding.results import Results
from ..values.device import Device
from ..values.texts import epoch

TOLERANCE = 2.0
"""In seconds: an end is on record when the controller hears of it, when others may have the device already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One worker's lease; times are seconds since 1970, ``ready`` None where no test began there."""

    worker: WorkerResult
    devices: tuple[str, ...]
    began: float
    ended: float
    ready: float | None

    @property
    def seconds(self) -> float:
        """For how long it held devices, times their number."""
        return (self.ended - self.began) * len(self.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """All leases of a run's own on GPUs and MIG instances, and the tests of its own that ran under them."""

    all: Sequence[Hold]
    tests: Sequence[TestResult]
    devices: Mapping[str, Device]

    @classmethod
    def of(cls, results: Results, devices: Iterable[Device]) -> Holds:
        """Return those of a run, on the devices of its pool."""
        known = {device.id: device for device in devices if device.is_gpu}
        tests = [test for test in results.ran if test.duration is not None and test.devices and test.worker]
        last: dict[str, float] = {}
        for test in tests:
            if test.ended is not None and test.worker is not None:
                last[test.worker] = max(last.get(test.worker, 0.0), epoch(test.ended))
        found = (_hold(worker, known, last.get(worker.id)) for worker in results.workers.values())
        return cls(
            all=[hold for hold in found if hold is not None],
            tests=[test for test in tests if all(device in known for device in test.devices)],
            devices=known,
        )

    @property
    def seconds(self) -> float:
        """For how long devices were held, added up over the leases."""
        return sum(hold.seconds for hold in self.all)

    @property
    def span(self) -> float:
        """The seconds from the first lease to the end of the last one."""
        return max(hold.ended for hold in self.all) - min(hold.began for hold in self.all) if self.all else 0.0

    def of_device(self, device: str) -> Iterator[Hold]:
        """Yield the leases of one device."""
        return (hold for hold in self.all if device in hold.devices)

    def used(self) -> list[Device]:
        """Return the devices that were held."""
        names = dict.fromkeys(device for hold in self.all for device in hold.devices)
        return [self.devices[name] for name in names]

    def seconds_of(self, device: str) -> float:
        """Return for how long a device was held by anybody, which counts once however many shared it."""
        total, until = 0.0, 0.0
        for hold in sorted(self.of_device(device), key=lambda hold: hold.began):
            total += max(0.0, hold.ended - max(hold.began, until))
            until = max(until, hold.ended)
        return total

    def most_together(self) -> int:
        """Return by how many workers a device was held at a time, at most."""
        return max((_most_at_once(list(self.of_device(device.id))) for device in self.used()), default=0)


def _hold(worker: WorkerResult, known: Mapping[str, Device], last: float | None) -> Hold | None:
    if worker.started is None or not worker.devices or not all(device in known for device in worker.devices):
        return None
    began = epoch(worker.started)
    ended = last if worker.ended is None else epoch(worker.ended)
    if ended is None or ended <= began:  # it was killed with nothing to tell, or the clock was set back
        return None
    ready = None if worker.ready is None else min(max(began, epoch(worker.ready)), ended)
    return Hold(worker=worker, devices=tuple(worker.devices), began=began, ended=ended, ready=ready)


def _most_at_once(holds: Sequence[Hold]) -> int:
    steps = sorted(
        step
        for hold in holds
        if hold.ended - TOLERANCE > hold.began
        for step in ((hold.began, 1), (hold.ended - TOLERANCE, -1))
    )
    most = present = 0
    for _, change in steps:
        present += change
        most = max(most, present)
    return most

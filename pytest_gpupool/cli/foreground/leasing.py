"""Leasing for a command: the lease it wants, of the host's devices or of those that a lease has in which we are."""

from __future__ import annotations

from dataclasses import dataclass

from ...leases import acquisition, nested
from ...leases.inherited import Inherited
from ...leases.lease import Lease, Request
from ...leases.locking.lock_directory import lock_directory
from ...leases.nested import NestedRequest
from ...processes import table
from ...values.device import BUSY_MEMORY, Device
from ...values.errors import UsageProblem
from .. import host
from ..sources import warn
from .lease_wait import LeaseWait
from .wishes import Wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to take, for which run id; ``outer`` is the lease that has the devices, None for none."""

    wishes: Wishes
    devices: tuple[Device, ...]
    run: str
    outer: Inherited | None
    lock_dir: str | None

    def take(self, wait: LeaseWait) -> Lease | None:
        """Wait for the lease; None where a signal ended that. Raises UsageProblem, NoLease."""
        with wait.interruptible():
            lease, waited = self._acquire(wait)
        if lease is not None:
            wait.leased([f"{device.label} ({device.id})" for device in lease.devices], waited)
        return lease

    def _acquire(self, wait: LeaseWait) -> tuple[Lease | None, float]:
        wishes, probe = self.wishes, host.probe(self.devices)
        if self.outer is not None:
            within = NestedRequest(
                outer=self.outer.run,
                devices=self.devices,
                run=self.run,
                worker=wishes.text,
                gpus=wishes.gpus,
                memory=wishes.memory,
            )
            return nested.acquire(within, probe, refused=wait.refused, is_cancelled=wait.is_cancelled)
        try:
            directory = lock_directory(self.lock_dir)
        except UsageProblem as problem:
            raise UsageProblem(str(problem).replace("--gpupool-", "--")) from None
        request = Request(
            devices=self.devices,
            lock_dir=directory,
            run=self.run,
            command=wishes.text,
            busy_memory=BUSY_MEMORY,
            gpus=wishes.gpus,
            memory=wishes.memory,
        )
        return acquisition.acquire(request, probe, refused=wait.refused, is_cancelled=wait.is_cancelled)


class LeaseKeeper:
    """Looks after a lease while a command uses it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._told: str | None = None

    def hand_over(self, pid: int) -> None:
        """Name in the notes the process that people find on the device; it goes on where this one is killed."""
        process = table.identity(pid)
        if process is not None:
            self._lease.handed_to(process)

    def look(self) -> None:
        """Put lock files back that somebody has removed; say once where that cannot be."""
        try:
            problem = self._lease.restore()
        except UsageProblem as error:
            problem = str(error)
        if problem not in (None, self._told):
            self._told = problem
            warn(f"the lease is not safe any more: {problem}")

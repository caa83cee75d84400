"""The condition of a worker's devices on its host, once it has ended: nobody else can look at them there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ..devices.health import Health
from ..leases import quarantines
from ..leases.locking.lock_directory import lock_directory
from ..values.device import Device
from ..values.errors import UsageProblem


def lost(devices: Sequence[Device], run: str, lock_dir: str | None) -> dict[str, str]:
    """Return which of them are no good any more, and why, by id; they are put into quarantine on this host.

    ``lock_dir`` is where the user has them locked, None for the usual place.
    """
    found: dict[str, str] = {}
    health = Health(devices, None, lambda device, reason: found.update({device.id: reason}))
    health.have_failed([device.id for device in devices])
    for device, reason in found.items():
        # Another user may have said it before. Where it cannot be written, this run goes without all the same.
        with suppress(OSError, UsageProblem, quarantines.NotYours):
            quarantines.put(lock_directory(lock_dir), device, quarantines.mine(reason, run=run), replace=False)
    return found

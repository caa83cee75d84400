"""Host: its devices as this program sees them, by whichever vendor's library there is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..devices import pool, vendors
from ..devices.pool import Pool
from ..devices.probe import DeviceFailed, Probe, Survey, Usage
from ..devices.readings import Levels
from ..leases import inherited
from ..leases.inherited import Inherited
from ..leases.locking.lock_directory import directory_to_look_at
from ..values.device import Device
from ..values.errors import UsageProblem


def pool_here(spec: str, lock_dir: str | None) -> tuple[Pool, Inherited | None]:
    """Return the devices that a command started here may use, as pytest finds them, and the lease that has them.

    That is None where they have to be leased. Raises UsageProblem.
    """
    try:
        outer = inherited.inherited(os.environ, lambda: directory_to_look_at(lock_dir))
        found = pool.discover(spec, look=lambda: inherited.seen_within(vendors.survey(), outer))
    except UsageProblem as problem:
        raise UsageProblem(str(problem).replace("--gpupool-", "--")) from None
    return found, None if found.is_cpu else outer


def notes(found: Pool) -> list[str]:
    """Return what a user should know of these devices."""
    if found.by_uuid is None:
        return list(found.notes)
    return [*found.notes, f"{vendors.of(found.devices).variable} has UUIDs: {found.by_uuid}"]


def survey() -> Survey:
    """Return all devices of this host, whatever the environment hides."""
    return vendors.survey()


def probe(devices: Sequence[Device]) -> Probe:
    """Return what tells who uses these devices."""
    return vendors.of(devices).probe()


def environment(
    devices: Sequence[Device], *, by_uuid: bool = False, present: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return this environment as a command finds it that is to see exactly these devices; none hides all."""
    return {**present, **vendors.of(devices).export(devices, "uuid" if by_uuid else "index")}


class Watcher:
    """Reads devices again and again, with the library started once."""

    def __init__(self, devices: Sequence[Device]) -> None:
        vendor = vendors.of(devices)
        self._devices = devices
        self._probe = vendor.probe()
        self._meter = vendor.meter(devices, clock=time.monotonic)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the library running meanwhile."""
        with self._probe.kept():
            self._meter.open()
            try:
                yield
            finally:
                self._meter.close()

    def usages(self) -> dict[str, Usage | str]:
        """Return who uses each device, by its id, or why it does not answer."""
        return {device.id: self._usage(device) for device in self._devices}

    def levels(self) -> dict[str, Levels]:
        """Return what each device says of itself, by its id."""
        return self._meter.levels()

    def _usage(self, device: Device) -> Usage | str:
        try:
            return self._probe.usage(device)
        except DeviceFailed as failed:
            return str(failed)

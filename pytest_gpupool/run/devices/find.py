"""Find: what a run can have: this host's pool, a lease that it is within, or what an engine places workers on."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

from ...devices import pool, vendors
from ...devices.pool import Pool
from ...engines.engine import Engine, Room
from ...engines.engines import LOCAL
from ...leases import inherited, quarantines
from ...leases.inherited import Inherited
from ...leases.locking.lock_directory import LockDirectory, lock_directory
from ...options.options import Options
from ...values.errors import NoLease, RequirementNotMet, UsageProblem
from ..console import Console
from ..records import RunRecords
from . import cluster
from .run_devices import RunDevices


class Found(NamedTuple):
    """What the run can have: this host's pool, or what an engine places workers on."""

    pool: Pool
    lock_dir: LockDirectory | None = None
    outer: Inherited | None = None
    placed: tuple[Engine, Room] | None = None

    def of_run(self, options: Options, records: RunRecords, console: Console) -> RunDevices:
        """Return it as the run has it."""
        if self.placed is not None:
            return cluster.ClusterDevices(*self.placed, options, records, console)
        return RunDevices(self.pool, self.lock_dir, options, records, console, outer=self.outer)


def find(options: Options, *, distributed: bool) -> Found:
    """Find what a run can have. ``distributed``: others collect and run the tests.

    Raises:
        UsageProblem, RequirementNotMet: see :func:`pool.discover`, :func:`cluster.cluster`.
        NoLease: see :func:`without_quarantined`.
    """
    if options.engine != LOCAL and not distributed:
        raise UsageProblem(f"--gpupool-engine={options.engine} places workers: say how many with -n")
    placed = cluster.cluster(options)
    if placed is not None:
        return Found(Pool(), placed=placed)
    found, outer = pool_here(options)
    lock_dir = None if found.is_cpu or outer is not None else lock_directory(options.lock_dir)
    if lock_dir is not None:
        found = without_quarantined(found, lock_dir, require=options.require)
    return Found(found, lock_dir, outer)


def pool_here(options: Options) -> tuple[Pool, Inherited | None]:
    """Find this run's pool, and the lease that it is of, None where its devices have to be leased.

    Raises:
        UsageProblem, RequirementNotMet: see :func:`pool.discover`.
    """
    outer = inherited.inherited(os.environ, lambda: _lock_directory(options))
    found = pool.discover(
        options.devices,
        require=options.require,
        slots=options.slots,
        look=lambda: inherited.seen_within(vendors.survey(), outer),
    )
    return found, None if found.is_cpu else outer


def outer_lines(outer: Inherited | None, console: Console) -> list[str]:
    """Return what the header says of it; warn where the environment speaks of a lease that nobody holds."""
    if outer is not None:
        return [f"gpupool: within the lease of {outer.run} (GPUPOOL_RUN), which has these devices"]
    if not inherited.is_claimed(os.environ):
        return []
    warning = inherited.warning(os.environ)
    console.warn(warning)
    return [f"gpupool: {warning}"]


def _lock_directory(options: Options) -> LockDirectory | None:
    try:
        return lock_directory(options.lock_dir)
    except UsageProblem:  # said where one is needed
        return None


def without_quarantined(pool: Pool, lock_dir: LockDirectory, *, require: int) -> Pool:
    """Return the pool without the devices that are in quarantine on this host, which its notes name.

    Raises:
        NoLease: none is left.
        RequirementNotMet: fewer than ``require`` are left.
    """
    found = quarantines.quarantined(pool.devices, lock_dir)
    left = tuple(device for device in pool.devices if device.id not in found)
    gone = [device for device in pool.devices if device.id in found]
    notes = tuple(f"{device.label} is left out: {quarantines.sentence(device, found[device.id])}" for device in gone)
    lines = "".join(f"\n  {note}" for note in notes)
    if len(left) < require:
        raise RequirementNotMet(
            f"--gpupool-require={require}, but of {pool.describe()} only {len(left)} may be used:{lines}"
        )
    if not left:
        raise NoLease(f"no device may be used: all of {pool.describe()} are in quarantine{lines}")
    return replace(pool, devices=left, notes=(*notes, *pool.notes)) if notes else pool

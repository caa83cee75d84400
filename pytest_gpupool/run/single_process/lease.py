"""The lease of the single process: how it is waited for, where it is noted, and when it is let go."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from ...devices import vendors
from ...leases.admission import Blocker
from ...leases.lease import Lease
from ...options import companions, role_end
from ...records.journal import dump
from ...values.errors import NoLease
from ...values.orders import Orders
from ...worker import program
from ...worker.fixtures import lease_key
from ...worker.leased.affinity import Pin
from ...worker.leased.equipment import journal_of
from ...worker.recording.writer import SINGLE_PROCESS
from ..controller import Controller

_HELD_TO_THE_END: list[Lease] = []  # a lease that nobody refers to would be released


class OwnLease:
    """Takes the lease of this process, which is then in pytest's stash, and lets it go."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config = config
        self._controller = controller
        self._pin: Pin | None = None
        if controller.options.affinity:
            self._pin = Pin()
            role_end.at_end(config, self._pin.restore)

    def take(self, orders: Orders) -> dict[str, str]:
        """Take the lease that the orders ask for; return what the environment has to be for it.

        Raises:
            GpupoolError: see :func:`program.lease`; NoLease at the end of ``--gpupool-wait``.
        """
        waiting = _Waiting(self._config, self._controller)
        held, waited = program.lease(orders, SINGLE_PROCESS, refused=waiting.refused, is_cancelled=lambda: False)
        assert held is not None
        cores = None if self._pin is None else self._pin.to(held.devices)
        held.environment = program.environ(held, orders, SINGLE_PROCESS, os.environ, cores=cores)
        journal, record = journal_of(orders, SINGLE_PROCESS), program.began(held, SINGLE_PROCESS, waited)
        journal.append(dump(record))
        journal.close()
        self._controller.records.results.add(record)
        self._config.stash[lease_key] = held
        return held.environment

    def let_go(self) -> None:
        """Release it at the end, where that can be."""
        # Where a device was used this process has a context, and so the device, until it ends; a program that called
        # pytest.main goes on. Within another run's lease the device stays that one's anyhow.
        held = self._config.stash[lease_key]
        if self._controller.devices.outer is None and keeps_its_devices(held):
            _HELD_TO_THE_END.append(held)
        else:
            held.release()
        del self._config.stash[lease_key]


def keeps_its_devices(held: Lease) -> bool:
    """Say whether this process has used devices, so that it keeps those that it saw then."""
    return held.devices[0].is_gpu and vendors.of(held.devices).is_initialised()


class _Waiting:
    """Waiting for a lease without workers: tell the user, give up in time."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config: Any = config
        self._controller = controller
        self._told: set[int | None] | None = None

    def refused(self, blockers: tuple[Blocker, ...], waited: float) -> None:
        """Say what is waited for, when that changes. Raises NoLease at its limit, or where it is for nothing."""
        lines = [str(blocker) for blocker in blockers]
        in_vain = all(blocker.for_good for blocker in blockers)
        if in_vain or waited >= self._controller.options.wait:
            raise NoLease(self._controller.devices.no_lease_text(lines, in_vain=in_vain))
        now = {blocker.pid for blocker in blockers}
        if waited >= 1.0 and now != self._told:
            self._told = now
            if not companions.is_quiet(self._config):
                print("\n  ".join(["gpupool: waiting for a device", *lines]), file=sys.stderr, flush=True)

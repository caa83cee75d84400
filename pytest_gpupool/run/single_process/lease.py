"""The lease of the single process: how it is waited for, where it is noted, and when it is let go."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pytest

from ...leases.admission import Blocker
from ...leases.lease import Lease
from ...options import companions
from ...records.journal import dump
from ...values.errors import NoLease
from ...values.orders import Orders
from ...worker import program
from ...worker.equipment import journal_of
from ...worker.fixtures import lease_key
from ...worker.recording.writer import SINGLE_PROCESS
from ..controller import Controller

_HELD_TO_THE_END: list[Lease] = []  # a lease that nobody refers to would be released


class OwnLease:
    """Takes the lease of this process, which is then in pytest's stash, and lets it go."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config = config
        self._controller = controller

    def take(self, orders: Orders) -> dict[str, str]:
        """Take the lease that the orders ask for; return what the environment has to be for it.

        Raises:
            GpupoolError: see :func:`program.lease`; NoLease at the end of ``--gpupool-wait``.
        """
        waiting = _Waiting(self._config, self._controller)
        held, waited = program.lease(orders, SINGLE_PROCESS, refused=waiting.refused, pause=waiting.pause)
        assert held is not None
        journal, record = journal_of(orders, SINGLE_PROCESS), program.began(held, SINGLE_PROCESS, waited)
        journal.append(dump(record))
        journal.close()
        self._controller.records.results.add(record)
        self._config.stash[lease_key] = held
        return program.environ(held, orders, os.environ)

    def let_go(self) -> None:
        """Release it at the end, where that can be."""
        # Where CUDA was used this process has its context, and so the device, until it ends; a program that called
        # pytest.main goes on.
        held = self._config.stash[lease_key]
        if held.devices[0].is_gpu and cuda_is_initialised():
            _HELD_TO_THE_END.append(held)
        else:
            held.release()


def cuda_is_initialised() -> bool:
    """Say whether this process has used CUDA, so that it keeps the devices that it saw then."""
    from ...devices import cuda

    return cuda.is_initialised()


class _Waiting:
    """Waiting for a lease without workers: tell the user, give up in time."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config: Any = config
        self._controller = controller
        self._told: set[int | None] | None = None

    def refused(self, blockers: tuple[Blocker, ...], waited: float) -> None:
        """Say what is waited for, when that changes. Raises NoLease at the end of ``--gpupool-wait``."""
        lines = [str(blocker) for blocker in blockers]
        if waited >= self._controller.options.wait or all(blocker.for_good for blocker in blockers):
            raise NoLease(self._controller.devices.no_lease_text(lines))
        now = {blocker.pid for blocker in blockers}
        if waited >= 1.0 and now != self._told:
            self._told = now
            if not companions.is_quiet(self._config):
                print("\n  ".join(["gpupool: waiting for a device", *lines]), file=sys.stderr, flush=True)

    def pause(self, seconds: float) -> bool:
        """Wait; nobody cancels but Ctrl-C."""
        time.sleep(seconds)
        return True

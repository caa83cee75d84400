"""Equipment: what a worker's orders and its lease give it to work with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ...leases.lease import Lease
from ...processes import table
from ...records.journal import Journal
from ...sampling.sampler import Sampler
from ...values.orders import Orders
from ...values.process_id import ProcessId
from ..trespass.own_devices import OwnDevices
from .gate import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What goes with one lease: the gate that lets tests in, what sees what they use, and what they may use."""

    lease: Lease
    gate: Gate
    sampler: Sampler
    own: OwnDevices
    is_shared: bool
    """Whether other workers use the devices as well."""

    @classmethod
    def of(cls, orders: Orders, lease: Lease, own: OwnDevices) -> Equipment:
        """Make it, once the lease that the orders ask for is held."""
        sampler = Sampler(lease.devices, interval=orders.sample, own=_others(orders, lease))
        return cls(lease=lease, gate=Gate(lease, orders), sampler=sampler, own=own, is_shared=orders.slots > 1)


def _others(orders: Orders, lease: Lease) -> Callable[[], Collection[ProcessId]] | None:
    """Return what tells the processes of the pool with which the devices are shared, None where they are not."""
    if orders.outer is not None:
        return lambda: [known for pid in orders.outer_pids if (known := table.identity(pid)) is not None]
    return lease.neighbours if orders.slots > 1 else None


def journal_of(orders: Orders, worker: str) -> Journal:
    """Return the worker's journal, which keeps nothing where there is no run directory."""
    return Journal(None if orders.run_dir is None else Path(orders.run_dir) / f"{worker}.jsonl")

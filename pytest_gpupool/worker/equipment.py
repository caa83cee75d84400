"""Equipment: what a worker's orders and its lease give it to work with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..leases.lease import Lease
from ..records.journal import Journal
from ..sampling.sampler import Sampler
from ..values.orders import Orders
from ..verdicts.judge import Judge
from .gate import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What goes with one lease: the gate that lets tests in, and what sees what they use."""

    lease: Lease
    gate: Gate
    sampler: Sampler

    @classmethod
    def of(cls, orders: Orders, lease: Lease) -> Equipment:
        """Make it, once the lease that the orders ask for is held."""
        neighbours = lease.neighbours if orders.slots > 1 else None
        sampler = Sampler(lease.devices, interval=orders.sample, own=neighbours)
        return cls(lease=lease, gate=Gate(lease, orders), sampler=sampler)


def journal_of(orders: Orders, worker: str) -> Journal:
    """Return the worker's journal, which keeps nothing where there is no run directory."""
    return Journal(None if orders.run_dir is None else Path(orders.run_dir) / f"{worker}.jsonl")


def judge_of(orders: Orders) -> Judge:
    """Return what judges the metrics of the worker's tests."""
    return Judge(orders.baseline, rtol=orders.rtol, fail_on=orders.fail_on)

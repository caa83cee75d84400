"""Equipment: what a worker's orders and its lease give it to work with."""

from __future__ import annotations

from pathlib import Path

from ..leases.lease import Lease
from ..records.journal import Journal
from ..sampling.sampler import Sampler
from ..values.orders import Orders
from ..verdicts.judge import Judge


def journal_of(orders: Orders, worker: str) -> Journal:
    """Return the worker's journal, which keeps nothing where there is no run directory."""
    return Journal(None if orders.run_dir is None else Path(orders.run_dir) / f"{worker}.jsonl")


def sampler_of(orders: Orders, held: Lease) -> Sampler:
    """Return what sees what the worker's tests use."""
    return Sampler(held.devices, interval=orders.sample, own=held.neighbours if orders.slots > 1 else None)


def judge_of(orders: Orders) -> Judge:
    """Return what judges the metrics of the worker's tests."""
    return Judge(orders.baseline, rtol=orders.rtol, fail_on=orders.fail_on)

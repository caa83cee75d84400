"""Fairness: how many devices a run may hold while others wait for some. Pure, but for :func:`share_now`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..locking.holders import Holder
from ..locking.lock_directory import LockDirectory
from ..occupancy import Occupancy
from .tickets import Waiter, waiters


def share(
    devices: frozenset[str], run: str, waiting: Sequence[Waiter], held: Mapping[str, Sequence[Holder]]
) -> int | None:
    """Return how many of the devices a run may hold while others wait, None where nobody has a use for one of them.

    That is its fair share: as many as there are, divided by the runs that want some, which are those that wait for them
    and those that hold them; one at least. It may hold more where those that wait do not want so many. ``held`` has who
    holds which device.
    """
    wanting = [one for one in waiting if one.responds and devices & set(one.wish.devices) and _whose(one.who) != run]
    if not wanting:
        return None
    holding = {device: {_whose(holder) for holder in holders} for device, holders in held.items()}
    everybody = {run}.union((_whose(one.who) for one in wanting), *holding.values())
    theirs = sum(bool(whose) and run not in whose for whose in holding.values())
    wanted = sum(one.wish.gpus for one in wanting)
    return max(1, len(devices) // len(everybody), len(devices) - theirs - wanted)


def share_now(devices: Collection[str], run: str, directory: LockDirectory) -> int | None:
    """Return the share as things are now; see :func:`share`. Nothing is locked."""
    waiting = waiters(directory)
    if all(_whose(one.who) == run for one in waiting):
        return None
    seen = Occupancy(directory)
    held = {device: [hold.holder for hold in seen.holds(device) if hold.holder is not None] for device in devices}
    return share(frozenset(devices), run, waiting, held)


def _whose(who: Holder) -> str:
    """Return what tells a run from others: its name, or of another program the process."""
    return who.run or f"pid {who.pid} of {who.pid_namespace}"

"""A run that gives way keeps its fair share of the devices, or more where those that wait do not want so many."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_gpupool.leases.locking.holders import Holder
from pytest_gpupool.leases.queueing.fairness import share
from pytest_gpupool.leases.queueing.tickets import Waiter, Wish

DEVICES = tuple("abcdefgh")


def who(run: str | None, pid: int = 1) -> Holder:
    """A worker of a run, or another program."""
    return Holder(pid=pid, pid_namespace=7, user="alice", host="node1", run=run)


def waiting(
    run: str | None, count: int = 1, *, pid: int = 1, responds: bool = True, devices: str = "abcdefgh"
) -> Waiter:
    """One that waits for so many devices."""
    wish = Wish(devices=tuple(devices), gpus=count)
    return Waiter(ticket="t", came=1, who=who(run, pid), wish=wish, responds=responds)


def held(**devices: str | None) -> Mapping[str, list[Holder]]:
    """Who holds which device."""
    return {device: [who(run)] for device, run in devices.items()}


MINE = held(**dict.fromkeys(DEVICES, "mine"))


@pytest.mark.parametrize(
    ("waiters", "holders", "most"),
    [
        ([], MINE, None),
        ([waiting("mine")], MINE, None),
        ([waiting("b", responds=False)], MINE, None),
        ([waiting("b", devices="xyz")], MINE, None),
        ([waiting("b")], MINE, 7),
        ([waiting("b")] * 2, MINE, 6),
        ([waiting("b")] * 8, MINE, 4),
        ([waiting("b", 8)], MINE, 4),
        ([waiting("b")] * 8 + [waiting("c")] * 8, MINE, 2),
        ([waiting(None, pid=1), waiting(None, pid=2)] * 4, MINE, 2),
        ([waiting(str(number)) for number in range(20)], MINE, 1),
        ([waiting("b")] * 4, held(a="b", b="b", c="mine", d="mine", e="mine", f="mine", g="mine", h="mine"), 4),
        ([waiting("b")] * 8, held(a="c", b="mine", c="mine", d="mine"), 2),
    ],
    ids=str,
)
def test_share(waiters: list[Waiter], holders: Mapping[str, list[Holder]], most: int | None) -> None:
    """Of eight devices."""
    assert share(frozenset(DEVICES), "mine", waiters, holders) == most

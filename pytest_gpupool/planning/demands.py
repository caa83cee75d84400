"""Demands: what tests ask of the plan by their markers, as far as this pool can give it, and what earlier runs say.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..records import estimates
from ..records.estimates import Known
from ..values.device import Device
from ..values.nodeids import file_of, function_of
from ..values.requirement import USUAL, Requirement
from .tests import Test

Told = Mapping[str, Mapping[int, Any]]
"""What a worker tells of its tests, by number: ``requirements`` (see its ``to_wire``), ``groups`` and ``warm``."""


def planned_tests(
    nodeids: Sequence[str],
    told: Told,
    known: Mapping[str, Known],
    *,
    devices: Sequence[Device],
    timeout: float | None = None,
    mode: str = "load",
) -> list[Test]:
    """Return the tests as they are planned; the scheduler calls it once, when the first worker has collected.

    ``known`` is what earlier runs say, ``devices`` are the pool's GPUs, none where there are CPU slots; ``timeout`` is
    the limit of tests that name none, ``mode`` xdist's ``--dist``. What this pool can never give is not planned for:
    such a test runs on any worker, where it fails and says why.
    """
    groups = {nodeids[index]: name for index, name in told.get("groups", {}).items()}
    requirements, warm = told.get("requirements", {}), told.get("warm", {})
    tests = []
    for index, (nodeid, seconds) in enumerate(zip(nodeids, estimates.durations(nodeids, known), strict=True)):
        needs = Requirement.from_wire(requirements[index]) if index in requirements else USUAL
        gpus, memory = possible(needs.gpus, 0 if needs.memory is None else int(needs.memory.amount), devices)
        tests.append(
            Test(
                index=index,
                family=function_of(nodeid),
                group=group_of(nodeid, mode, groups),
                priority=needs.priority,
                gpus=gpus,
                memory=memory,
                stage=needs.stage,
                serial=needs.serial,
                locks=frozenset(needs.lock),
                timeout=needs.timeout or timeout,
                seconds=seconds,
                warm=warm.get(index),
            )
        )
    return tests


def possible(gpus: int, memory: int, devices: Sequence[Device], largest: int | None = None) -> tuple[int, int]:
    """Return how many devices, of how many bytes each, a worker should have for a test that asks for so much.

    No bytes where any device will do: all are large enough, or too few. More than ``largest`` of them together are not
    to be had.
    """
    if not devices:
        return max(1, gpus), 0  # CPU slots cap nothing, and none is kept idle by a test that needs none
    if gpus > len(devices) or (largest is not None and gpus > largest):
        return 1, 0
    if not gpus:
        return 0, 0  # of no device
    totals = [device.memory_total for device in devices if device.memory_total is not None]
    small = [total for total in totals if total < memory]
    return gpus, memory if small and len(devices) - len(small) >= gpus else 0


def group_of(nodeid: str, mode: str, marked: Mapping[str, str]) -> str | None:
    """Return the group of a test under xdist's ``--dist`` mode, None where it is free.

    ``marked`` has the names of ``xdist_group`` marks by nodeid.
    """
    if mode == "loadfile":
        return file_of(nodeid)
    if mode == "loadscope":
        return nodeid.rsplit("::", 1)[0]
    return marked.get(nodeid) if mode == "loadgroup" else None

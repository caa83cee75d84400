"""Demands: what tests ask of the plan by their markers, as far as this pool can give it, and what earlier runs say.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..records import estimates
from ..records.estimates import Known, Learned
from ..values.device import Device, usable_together
from ..values.nodeids import file_of, function_of
from ..values.requirement import USUAL, Requirement
from ..values.wide_fixture import WideFixture
from .tests import Family, Test

Told = Mapping[str, Mapping[int, Any]]
"""What a worker tells of its tests, by number: ``requirements`` (see its ``to_wire``), ``groups``, and ``set_ups``.

That is the number of the test's family in ``families``, which has the numbers of its ``fixtures``.
"""


PER_TEST = ("requirements", "groups", "set_ups")
"""What is told by the number of a test."""


def planned_tests(
    nodeids: Sequence[str],
    told: Told,
    known: Mapping[str, Known],
    *,
    devices: Sequence[Device],
    timeout: float | None = None,
    isolates: bool = False,
    mode: str = "load",
) -> list[Test]:
    """Return the tests as they are planned; the scheduler calls it once, when the first worker has collected.

    ``known`` is what earlier runs say, ``devices`` are the pool's GPUs, none where there are CPU slots; ``timeout`` is
    the limit of tests that name none, ``isolates`` says whether tests run in processes of their own that do not say,
    ``mode`` is xdist's ``--dist``. What this pool can never give is not planned for:
    such a test runs on any worker, where it fails and says why.
    """
    groups = {nodeids[index]: name for index, name in told.get("groups", {}).items()}
    requirements, families = told.get("requirements", {}), _families(told)
    set_ups = told.get("set_ups", {})
    tests = []
    for index, (nodeid, seconds) in enumerate(zip(nodeids, estimates.durations(nodeids, known), strict=True)):
        needs = Requirement.from_wire(requirements[index]) if index in requirements else USUAL
        gpus, memory = possible(needs.gpus, 0 if needs.memory is None else int(needs.memory.amount), devices)
        tests.append(
            Test(
                index=index,
                function=function_of(nodeid),
                group=group_of(nodeid, mode, groups),
                priority=needs.priority,
                gpus=gpus,
                memory=memory,
                stage=needs.stage,
                serial=needs.serial,
                locks=frozenset(needs.lock),
                timeout=needs.limit_of_worker(timeout, isolates=isolates),
                seconds=seconds,
                set_ups=families[set_ups[index]] if index in set_ups else (),
            )
        )
    return tests


def set_up_costs(nodeids: Sequence[str], told: Told, learned: Learned) -> dict[str, float | None]:
    """Return by key what earlier runs say of the wide fixtures of these tests, None where that is nothing.

    What is not on record although a test that needs it is took next to nothing.
    """
    families, used = _families(told), set[str]()
    for index, family in told.get("set_ups", {}).items():
        if nodeids[index] in learned.tests:
            used |= {one.key for one in families[family]}
    keys = list({one.key: None for family in families.values() for one in family})
    known = dict(zip(keys, estimates.set_ups(keys, learned), strict=True))
    if not learned.has_fixtures:
        return known
    return {key: 0.0 if seconds is None and key in used else seconds for key, seconds in known.items()}


def _families(told: Told) -> dict[int, Family]:
    fixtures = {number: WideFixture(*fields) for number, fields in told.get("fixtures", {}).items()}
    return {number: tuple(map(fixtures.__getitem__, members)) for number, members in told.get("families", {}).items()}


def for_one_worker(tests: Sequence[Test], room: int, asked: int) -> bool:
    """Return whether one worker runs them all, of ``asked``: they need as many devices, and there are no more."""
    sizes = {test.gpus for test in tests}
    return len(sizes) == 1 and (asked == 1 if sizes == {0} else room // max(sizes) <= 1)


def possible(gpus: int, memory: int, devices: Sequence[Device], largest: int | None = None) -> tuple[int, int]:
    """Return how many devices, of how many bytes each, a worker should have for a test that asks for so much.

    No bytes where any device will do: all are large enough, or too few. More than ``largest`` of them together are not
    to be had, nor more than one process can use together.
    """
    if not devices:
        return max(1, gpus), 0  # CPU slots cap nothing, and none is kept idle by a test that needs none
    together = usable_together(devices)
    if gpus > len(together) or (largest is not None and gpus > largest):
        return 1, 0
    if not gpus:
        return 0, 0  # of no device
    if gpus == 1 or len(together) == len(devices):
        return gpus, memory if _is_a_choice(gpus, memory, devices) else 0
    # Whole GPUs beside instances of others: what they have more of tells them apart.
    wanted = memory if len(together) - _smaller(memory, together) >= gpus else 0
    floor = max(wanted, min((device.memory_total or 0 for device in together), default=0))
    return gpus, floor if _is_a_choice(gpus, floor, devices) else 0


def _is_a_choice(gpus: int, memory: int, devices: Sequence[Device]) -> bool:
    """Return whether some of the devices, but not too many, have less memory than that."""
    small = _smaller(memory, devices)
    return bool(small) and len(devices) - small >= gpus


def _smaller(memory: int, devices: Sequence[Device]) -> int:
    return sum(device.memory_total is not None and device.memory_total < memory for device in devices)


def group_of(nodeid: str, mode: str, marked: Mapping[str, str]) -> str | None:
    """Return the group of a test under xdist's ``--dist`` mode, None where it is free.

    ``marked`` has the names of ``xdist_group`` marks by nodeid.
    """
    if mode == "loadfile":
        return file_of(nodeid)
    if mode == "loadscope":
        return nodeid.rsplit("::", 1)[0]
    return marked.get(nodeid) if mode == "loadgroup" else None

"""The suite: the tests that were collected, as a run would plan them, and what of it cannot run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from ...options import companions
from ...planning.demands import planned_tests, set_up_costs
from ...planning.outlook.choice import chosen
from ...planning.problem import Problem
from ...records.estimates import Learned
from ...values.device import Device, usable_together
from ...values.errors import MarkerProblem
from ...values.requirement import Requirement
from ...values.texts import size_text
from ...worker.items.markers import requirement_of
from ...worker.protocol.item_facts import facts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Workforce:
    """Who would run the tests: ``asked`` workers by xdist's ``mode``, None and ``no`` where there is one process.

    ``places`` is how many workers could lease a device each, 0 where CPU slots cap nothing.
    """

    asked: int | None
    mode: str
    devices: Sequence[Device]
    places: int
    slots: int

    def capacity(self, largest: int) -> int:
        """Return how many devices, or slots, the run would hold where its largest test asks for so many."""
        asked = self.asked or 1
        return max(min(asked, self.places or asked), largest)


def problem_of(
    items: Sequence[pytest.Item],
    config: pytest.Config,
    workforce: Workforce,
    learned: Learned,
    *,
    timeout: float | None,
    longest_first: bool,
    deadline: float | None = None,
) -> Problem:
    """Return what a run of these tests is planned from."""
    facts = facts_of(
        items,
        grouped=companions.groups_by_mark(config),
        order_is_promised=False,
        whole_collection=None,
    )
    told = facts.told()
    tests = planned_tests(
        facts.ids, told, learned.tests, devices=workforce.devices, timeout=timeout, mode=workforce.mode
    )
    largest = max((test.gpus for test in tests), default=1)
    if workforce.asked is None:
        # It runs them in the order of collection, and holds what the largest needs all the time.
        tests = [
            replace(test, gpus=largest, memory=0, group=None, stage=0, serial=False, locks=frozenset(), priority=0)
            for test in tests
        ]
    problem = Problem.of(
        tests,
        capacity=workforce.capacity(largest),
        asked=workforce.asked or 1,
        costs=set_up_costs(facts.ids, told, learned),
        longest_first=longest_first,
        largest_group_first=companions.largest_group_first(config),
        deadline=deadline,
    )
    return chosen(problem)


def impossible(items: Sequence[pytest.Item], devices: Sequence[Device]) -> list[tuple[str, str]]:
    """Return the tests that this pool cannot hold, by id, with the reason."""
    found = []
    for item in items:
        try:
            why = _cannot(requirement_of(item), devices)
        except MarkerProblem as problem:
            why = str(problem)
        if why is not None:
            found.append((item.nodeid, why))
    return found


def _cannot(asks: Requirement, devices: Sequence[Device]) -> str | None:
    if not devices:
        return None  # of CPU slots there are as many as are asked for
    together = usable_together(devices)
    if asks.gpus > len(together):
        what = "a device" if asks.gpus == 1 else f"{asks.gpus} devices"
        return f"asks for {what}, and the pool has {len(together)} that one process can use together"
    if asks.memory is None or not asks.gpus:
        return None
    of_each = [(asks.memory.of(device), device.memory_total) for device in together]
    enough = sum(total is None or need <= total for need, total in of_each)
    if enough >= asks.gpus:
        return None
    most = max(total for _, total in of_each if total is not None)
    number = "no device has" if not enough else f"only {enough} of the {asks.gpus} devices that it needs have"
    return (
        f"asks for {size_text(int(asks.memory.amount))} of memory, and {number} so much (the largest {size_text(most)})"
    )

"""The roster: who is there, and which places are free."""

from __future__ import annotations

from typing import Any

import pytest
from made_members import Node, member

from pytest_gpupool.distribution.workers.roster import Roster


@pytest.fixture
def roster() -> Roster:
    """Two workers, of which the second holds two devices."""
    roster = Roster()
    roster.add(member("gw0", 0))
    roster.add(member("gw1", 1, 2, gpus=2))
    return roster


def test_a_worker_is_known_by_its_name_and_by_its_node(roster: Roster) -> None:
    """Of others nothing is known."""
    first = roster.named("gw0")
    assert roster.of(first.node) is first
    assert roster.find(Node("gw7")) is None


def test_those_that_have_ended_are_known_but_not_present(roster: Roster) -> None:
    """Somebody may still ask what they had."""
    roster.named("gw0").gone = True
    assert [known.name for known in roster.present()] == ["gw1"]
    assert roster.nodes() == [roster.named("gw1").node]
    assert [known.name for known in roster.everyone()] == ["gw0", "gw1"]


@pytest.mark.parametrize(("count", "places"), [(0, (3,)), (1, (3,)), (2, (3, 4))])
def test_a_new_worker_has_places_that_nobody_has(roster: Roster, count: int, places: tuple[int, ...]) -> None:
    """One at least, also where it holds no device."""
    assert roster.free_places(count) == places


def test_places_of_workers_that_go_are_free(roster: Roster) -> None:
    """They are to be released next, or have been."""
    roster.named("gw0").gone = True
    assert roster.free_places(1) == (0,)
    second: Any = roster.named("gw1")
    second.retire()
    assert second.node.shut_down == 1
    assert roster.free_places(3) == (0, 1, 2)


@pytest.mark.parametrize(("gpus", "text"), [(1, "gw3 waits for a device"), (4, "gw3 waits for 4 devices")])
def test_a_worker_waits_for_what_it_is_to_hold(gpus: int, text: str) -> None:
    """One device, or several together."""
    assert member("gw3", 0, gpus=gpus).waits_text() == text

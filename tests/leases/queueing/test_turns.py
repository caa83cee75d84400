"""First come, first served: what one that came before could take now is kept for it, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.leases.locking.holders import Holder
from pytest_gpupool.leases.queueing.tickets import Waiter, Wish
from pytest_gpupool.leases.queueing.turns import KEPT, MOMENT, Gathering, Turns, could_take

ALL = ("a", "b", "c", "d")
WHO = Holder(pid=1, user="alice", host="node1")
SECOND = 1_000_000_000


def waiter(number: int, *devices: str, responds: bool = True, **wish: object) -> Waiter:
    """One that came at that time, and wants one of these devices if not said otherwise."""
    return Waiter(
        ticket=f"ticket-{number:03d}",
        came=number,
        who=WHO,
        wish=Wish(devices=devices or ALL, **wish),  # type: ignore[arg-type]
        responds=responds,
    )


def free(*empty: str, shared: tuple[str, ...] = ()) -> Mapping[str, bool]:
    """Devices that nobody holds, and such as have room for those who share."""
    return dict.fromkeys(empty, True) | dict.fromkeys(shared, False)


def kept(turns: Turns, before: list[Waiter], now_free: Mapping[str, bool] | None, now: int = 0) -> dict[str, str]:
    """Which devices are kept, with whose ticket."""
    return {device: one.ticket for device, one in turns.kept(before, now_free, now).items()}


class TestTurns:
    """Who comes later sees what is kept for whom."""

    def test_nobody_came_before(self) -> None:
        """Nothing is kept."""
        assert kept(Turns(), [], None) == {}
        assert kept(Turns(), [], free(*ALL)) == {}

    def test_what_one_could_take_is_kept_for_it(self) -> None:
        """All that is free, as it may not be able to use some of it."""
        assert kept(Turns(), [waiter(1)], free("b", "c")) == {"b": "ticket-001", "c": "ticket-001"}

    def test_what_nobody_wants_is_everybodys(self) -> None:
        """Who waits for other devices is not in the way."""
        assert kept(Turns(), [waiter(1, "a", "b")], free("b", "c")) == {"b": "ticket-001"}

    def test_what_one_cannot_use_is_not_kept_for_it(self) -> None:
        """It has said so: a foreign process is there, or it wants the device alone and others share it."""
        assert kept(Turns(), [waiter(1, unusable=("b",))], free("b", "c")) == {"c": "ticket-001"}
        assert kept(Turns(), [waiter(1)], free(shared=("a",))) == {}
        assert kept(Turns(), [waiter(1, slots=2)], free(shared=("a",))) == {"a": "ticket-001"}

    def test_it_is_kept_for_a_moment_only(self) -> None:
        """Who does not take it, as it hangs, holds up nobody; once it takes part again it is as before."""
        turns, before = Turns(), [waiter(1)]
        assert kept(turns, before, free("a"), now=5) == {"a": "ticket-001"}
        assert kept(turns, before, free("a"), now=5 + MOMENT - 1) == {"a": "ticket-001"}
        assert kept(turns, before, free("a"), now=5 + MOMENT) == {}
        assert kept(turns, before, free("a", "b"), now=6 + MOMENT) == {"a": "ticket-001", "b": "ticket-001"}

    def test_who_settles_has_its_moment_afterwards(self) -> None:
        """Its ticket had been removed: it takes nothing before it can have seen who else waits. That is soon."""
        settles = 5 + MOMENT // 2
        turns, before = Turns(), [waiter(1, settles=settles)]
        assert kept(turns, before, free("a"), now=5) == {"a": "ticket-001"}
        assert kept(turns, before, free("a"), now=settles + MOMENT - 1) == {"a": "ticket-001"}
        assert kept(turns, before, free("a"), now=settles + MOMENT) == {}
        turns, before = Turns(), [waiter(1, settles=10**18)]
        assert kept(turns, before, free("a"), now=5) == {"a": "ticket-001"}
        assert kept(turns, before, free("a"), now=5 + 2 * MOMENT) == {}

    def test_who_is_stopped_is_passed_over_at_once(self) -> None:
        """What it could take is the next one's."""
        before = [waiter(1, responds=False), waiter(2)]
        assert kept(Turns(), before, free("a")) == {"a": "ticket-002"}

    def test_the_first_come_first(self) -> None:
        """What is kept for the first is not kept for the second."""
        before = [waiter(1, "a", "b"), waiter(2, "b", "c")]
        assert kept(Turns(), before, free(*ALL)) == {"a": "ticket-001", "b": "ticket-001", "c": "ticket-002"}


class TestSeveral:
    """Who needs several devices has them kept that are free, for a bounded time."""

    def test_where_there_are_enough_they_are_kept_for_a_moment(self) -> None:
        """It takes them."""
        turns = Turns()
        assert len(kept(turns, [waiter(1, gpus=2)], free("a", "b"))) == 2
        assert kept(turns, [waiter(1, gpus=2)], free("a", "b"), now=MOMENT) == {}

    def test_too_few_are_kept_as_long_as_it_says(self) -> None:
        """Or as everybody may, where its ticket says nothing yet; never longer."""
        turns = Turns()
        gathering = waiter(1, gpus=3, keeps=9 * SECOND)
        assert kept(turns, [gathering], free("a"), now=0) == {"a": "ticket-001"}
        assert kept(turns, [gathering], free("a"), now=9 * SECOND - 1) == {"a": "ticket-001"}
        assert kept(turns, [gathering], free("a"), now=9 * SECOND) == {}
        silent, turns = waiter(1, gpus=3), Turns()
        assert kept(turns, [silent], free("a"), now=0) == {"a": "ticket-001"}
        assert kept(turns, [silent], free("a"), now=KEPT - 1) == {"a": "ticket-001"}
        assert kept(turns, [silent], free("a"), now=KEPT) == {}
        greedy = waiter(1, gpus=3, keeps=2 * KEPT)
        assert kept(Turns(), [greedy], free("a"), now=0) == {"a": "ticket-001"}
        turns = Turns()
        kept(turns, [greedy], free("a"), now=0)
        assert kept(turns, [greedy], free("a"), now=MOMENT) == {}

    def test_one_for_other_devices_is_not_in_the_way(self) -> None:
        """Who gathers a and b does not keep who wants c and d from having them."""
        assert kept(Turns(), [waiter(1, "a", "b", gpus=2, keeps=SECOND)], free("a", "c", "d")) == {"a": "ticket-001"}

    def test_each_device_that_comes_free_begins_the_time_anew(self) -> None:
        """It has come closer; where it has enough, or nothing, there is nothing to keep."""
        gathering = Gathering()
        assert gathering.until(0, 3, now=1) == 0
        assert gathering.until(1, 3, now=2) == 2 + KEPT
        assert gathering.until(1, 3, now=3) == 2 + KEPT
        assert gathering.until(2, 3, now=4) == 4 + KEPT
        assert gathering.until(2, 3, now=4 + KEPT) == 4 + KEPT
        assert gathering.until(1, 3, now=5 + KEPT) == 4 + KEPT
        assert gathering.until(2, 3, now=6 + KEPT) == 6 + 2 * KEPT
        assert gathering.until(3, 3, now=7 + KEPT) == 0


@given(st.data())
def test_the_first_that_could_take_something_is_never_kept_from_it(data: st.DataObject) -> None:
    """Whatever comes after it; and whatever is not kept, nobody before could use."""
    wishes = st.builds(
        lambda devices, gpus, slots: (tuple(devices), gpus, slots),
        st.lists(st.sampled_from(ALL), min_size=1, unique=True),
        st.integers(1, 3),
        st.integers(1, 2),
    )
    before = [
        waiter(number, *devices, gpus=gpus, slots=slots, responds=data.draw(st.booleans()))
        for number, (devices, gpus, slots) in enumerate(data.draw(st.lists(wishes, max_size=5)))
    ]
    now_free = data.draw(st.dictionaries(st.sampled_from(ALL), st.booleans()))
    for number in range(len(before) + 1):
        found = kept(Turns(), before[:number], now_free)
        assert found.keys() <= now_free.keys()
        for one in before[:number]:
            if one.responds:
                assert set(could_take(one.wish, now_free)) <= found.keys()
    first = next((one for one in before if one.responds), None)
    if first is not None:
        assert kept(Turns(), before[: before.index(first)], now_free) == {}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_devices_come_in_the_order_of_the_wish(order: tuple[str, str]) -> None:
    """Which is the waiter's own."""
    assert could_take(Wish(devices=order), free("a", "b")) == list(order)

"""Devices that were held, or kept free, while no test ran."""

from __future__ import annotations

import pytest
from made_advice import CARDS, MIGS, SLOTS, built, given, holder, ran

from pytest_gpupool.advice import idle
from pytest_gpupool.planning.dispatch.idle_times import REASONS
from pytest_gpupool.values.device import Device

GPU = [card.id for card in CARDS]


class TestCollection:
    """Between a lease and the first test."""

    def test_what_a_worker_takes_before_its_first_test(self) -> None:
        """Two workers held a GPU each for 100 s: 18 + 8 of 200 beyond the start."""
        item = given(holder("gw0", GPU[0], ready=20), holder("gw1", GPU[1], ready=10), ran("test_a"))["collection"]
        assert item.saves == pytest.approx(26 / 200)
        assert item.text == (
            "GPUs were held for up to 20 s before the first test, while workers started and collected (13 % of the "
            "time for which they were held): import what is heavy in fixtures and tests instead of conftest.py and "
            "the heads of modules, or name fewer files"
        )

    def test_no_more_than_5_percent_is_told(self) -> None:
        """At the threshold nothing is said, right above it something."""
        assert "collection" not in given(holder("gw0", GPU[0], ready=7.0), ran("test_a"))
        assert "collection" in given(holder("gw0", GPU[0], ready=7.1), ran("test_a"))

    def test_a_worker_of_several_devices_keeps_them_all(self) -> None:
        """(10 - 2) * 4 of 100 + 400."""
        item = given(holder("gw0", GPU[0]), holder("gw1", *GPU, began=100, ready=110, ended=200), ran("test_a"))
        assert item["collection"].saves == pytest.approx(32 / 500)

    def test_a_start_as_any_is_no_waste(self) -> None:
        """Many workers that start in two seconds each."""
        workers = [holder(f"gw{n}", GPU[n], ready=2, ended=20) for n in range(4)]
        assert not given(*workers, ran("test_a", seconds=18))


class TestSetUp:
    """What was set up again."""

    def test_only_what_the_same_worker_had_set_up_before(self) -> None:
        """Ten seconds each, one of three on another worker: it is 10 of 200 s; two more are 30."""
        workers = holder("gw0", GPU[0]), holder("gw1", GPU[1]), ran("test_a")
        first = [built("model[m0]", 0, 10), built("model[m1]", 1, 10), built("model[m0]", 0, 10, "gw1")]
        assert "set-up" not in given(*workers, *first)
        item = given(*workers, *first, *(built("model[m0]", n, 10) for n in (2, 3, 4)))["set-up"]
        assert item.saves == pytest.approx(30 / 200)
        assert item.text == (
            "model was built 3 times by workers that had built it before (15 % of the time for which GPUs were held): "
            "a wider scope keeps it, or an order in which the tests that share it follow each other"
        )

    def test_one_that_failed_is_set_up_again_by_right(self) -> None:
        """pytest does that for every test."""
        failed = [built("model", number, 10, failed=True) for number in range(5)]
        assert "set-up" not in given(holder("gw0", GPU[0]), ran("test_a"), *failed)

    def test_a_worker_in_the_place_of_a_dead_one_sets_up_anew(self) -> None:
        """It is another process."""
        dead = holder("gw0", GPU[0], ended=50, exit="crashed"), built("model", 0, 10)
        heir = holder("gw1", GPU[0], began=50), built("model", 0, 10, "gw1")
        assert not given(*dead, *heir, ran("test_a"))

    def test_each_fixture_is_told_by_itself(self) -> None:
        """One that took little is not told."""
        twice = [built(name, n, seconds) for n, (name, seconds) in enumerate([("a", 6), ("a", 6), ("b", 5), ("b", 5)])]
        assert given(holder("gw0", GPU[0]), ran("test_a"), *twice)["set-up"].text.startswith("a was built 1 time by")


class TestWaits:
    """Workers without a test."""

    @pytest.mark.parametrize("reason", REASONS)
    def test_every_reason_is_told(self, reason: str) -> None:
        """One of two workers had no test for 20 of 100 s."""
        item = given(holder("gw0", GPU[0]), holder("gw1", GPU[1], idle={reason: 20.0}), ran("test_a"))[reason]
        assert item.saves == pytest.approx(0.1)
        assert item.text.startswith("GPUs were held without a test for 20 s in all (10 % of the time ")

    def test_no_more_than_5_percent_is_told(self) -> None:
        """Nor what no version knows yet."""
        assert not given(holder("gw0", GPU[0], idle={"stage": 5.0, "weather": 90.0}), ran("test_a"))

    def test_the_reasons_are_those_of_the_plan(self) -> None:
        """Each has its words."""
        assert set(idle._WAITS) == set(REASONS)

    def test_a_worker_cannot_wait_longer_than_it_lives(self) -> None:
        """A clock that was set back meanwhile makes no more of it."""
        assert given(holder("gw0", GPU[0], idle={"lock": 900.0}), ran("test_a"))["lock"].saves == 1.0

    @pytest.mark.parametrize(("devices", "name"), [(CARDS, "GPUs"), (MIGS, "MIG instances")])
    def test_devices_are_called_what_they_are(self, devices: tuple[Device, ...], name: str) -> None:
        """Of MIG instances as of GPUs."""
        found = given(
            holder("gw0", devices[0].id, idle={"stage": 50.0}), ran("test_a", "gw0", devices[0].id), devices=devices
        )
        assert found["stage"].text.startswith(f"{name} were held without a test for 50 s in all (50 %")

    def test_cpu_slots_cost_nothing_to_hold(self) -> None:
        """Nothing is said of them, be they idle or not."""
        slot = holder("gw0", SLOTS[0].id, ready=50, idle={"stage": 40.0})
        assert not given(slot, ran("test_a", "gw0", SLOTS[0].id, asked={"timeout": 9e5}), devices=SLOTS)


class TestGroups:
    """Devices that stand free until there are enough."""

    def test_the_time_until_the_last_of_them_is_free(self) -> None:
        """Three were free for 40 s before the fourth: 120 of 60 + 60 + 60 + 100 + 400 + 120."""
        singles = [holder(f"gw{n}", GPU[n], ended=100 if n == 3 else 60) for n in range(4)]
        group = holder("gw4", *GPU, began=103, ready=104, ended=203)
        item = given(*singles, group, ran("test_a"))["gpus"]
        assert item.saves == pytest.approx(120 / 800)
        assert item.text == (
            "GPUs stood free for 2 min in all until there were 4 for a test (15 % of the time for which they were held "
            "or kept): tests that need several go first with a higher priority (priority=1)"
        )

    def test_a_start_and_what_nobody_held_before_are_not_counted(self) -> None:
        """All came free at once; or the others were never this run's."""
        group = holder("gw4", *GPU, began=130, ready=131, ended=230)
        assert not given(*(holder(f"gw{n}", GPU[n]) for n in range(4)), group, ran("test_a"))
        assert not given(holder("gw0", GPU[0], ended=40), group, ran("test_a"))

    def test_a_group_that_begins_the_run_waits_for_nobody(self) -> None:
        """What comes after it does not count."""
        later = [holder(f"gw{n}", GPU[n], began=101 + 50 * n, ready=102 + 50 * n, ended=400) for n in range(4)]
        assert not given(holder("gw4", *GPU), *later, ran("test_a"))

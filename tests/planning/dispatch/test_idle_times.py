"""For how long workers had no test, by what they waited for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from made_plans import model

from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test


class Timed:
    """A planner on so many devices whose events happen at a time, in seconds."""

    def __init__(self, *tests: Test, devices: int, costs: Mapping[str, float | None] | None = None) -> None:
        self.planner = Planner(tests, capacity=devices, asked=devices, costs=costs)
        for number in range(devices):
            self.planner.started(f"gw{number}")

    def join(self, now: float, *workers: str) -> None:
        for worker in workers:
            self.planner.at(now)
            self.planner.joined(worker)

    def end(self, now: float, worker: str, seconds: float = 1.0) -> None:
        """It asks for its next test as the first that it has ends."""
        self.planner.at(now)
        self.planner.asks(worker)
        self.planner.at(now)
        self.planner.ended(worker, self.planner.assigned(worker)[0], seconds)

    def idle(self, worker: str) -> Mapping[str, float]:
        return {reason: round(seconds, 3) for reason, seconds in self.planner.idle_times(worker).items()}


def numbered(number: int, **keys: object) -> list[Test]:
    return [Test(index=index, function="f", seconds=50.0, **keys) for index in range(number)]  # type: ignore[arg-type]


def test_a_worker_waits_for_the_end_of_a_stage() -> None:
    """From the moment at which it joined to that at which the stage ends; who has a test waits for nothing."""
    timed = Timed(*numbered(1), *(Test(index=n, function="g", stage=1) for n in (1, 2)), devices=2)
    timed.join(100, "gw0", "gw1")
    timed.end(140, "gw0")
    timed.end(150, "gw1")
    assert timed.idle("gw1") == {"stage": 40}
    assert timed.idle("gw0") == {}
    assert timed.idle("gw7") == {}


def test_a_worker_waits_for_a_lock() -> None:
    """That others hold; also once it has run something else."""
    locked = numbered(2, locks=frozenset({"port"}))
    timed = Timed(*locked, Test(index=2, function="g", seconds=1.0), devices=2)
    timed.join(0, "gw0", "gw1")
    timed.end(10, "gw1")
    timed.end(50, "gw0")
    assert timed.idle("gw1") == {"lock": 40}


def test_a_worker_waits_for_a_serial_test() -> None:
    """While it runs, and before it can begin."""
    tests = [*numbered(2), Test(index=2, function="g", seconds=1.0, serial=True), Test(index=3, function="h", stage=1)]
    timed = Timed(*tests, devices=2)
    timed.join(0, "gw0", "gw1")
    timed.end(10, "gw1")
    timed.end(50, "gw0")
    (runs,) = (name for name in ("gw0", "gw1") if timed.planner.assigned(name))
    timed.end(70, runs)
    (rests,) = {"gw0", "gw1"} - {runs}
    waited = {"gw0": 0.0, "gw1": 40.0}
    assert timed.idle(rests) == {"serial": 20 + waited[rests]}


def test_what_is_left_to_those_who_have_set_it_up() -> None:
    """It would take longer to set up than to wait; when the last of them runs, only a stage is left to wait for."""
    shared = [Test(index=n, function="f", seconds=10.0, set_ups=(model("m"),)) for n in range(3)]
    other = Test(index=3, function="g", seconds=5.0, stage=1)
    timed = Timed(*shared, other, devices=2, costs={model("m").key: 500.0})
    timed.join(0, "gw0")
    timed.end(510, "gw0", 10)
    timed.join(511, "gw1")
    timed.end(520, "gw0", 10)
    timed.end(530, "gw0", 10)
    assert timed.idle("gw1") == {"set-up": 9, "stage": 10}


def test_often_as_events_come_the_times_add_up() -> None:
    """Events each hundredth of a second, and a long pause without any: nothing is counted twice, little is missed."""
    timed = Timed(*numbered(1), *(Test(index=n, function="g", stage=1) for n in (1, 2)), devices=2)
    timed.join(10, "gw0", "gw1")
    for step in range(1, 501):
        timed.planner.at(10 + step / 100)
    timed.planner.at(75)
    timed.end(80, "gw0")
    assert timed.idle("gw1")["stage"] == pytest.approx(70, abs=0.5)

"""A clock tells of a test at its limit, once, whatever other tests do meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from pytest_gpupool.processes.time_limits import TimeLimits

HANGS = 60.0
"""Seconds after which something that works is surely done; never waited for then."""

FAR = 1e6
"""A limit that no test reaches."""


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Told:
    """Who was overdue, in the order in which it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.threads: set[threading.Thread] = set()
        self._heard = threading.Condition()

    def __call__(self, worker: str, test: str) -> None:
        with self._heard:
            self.calls.append((worker, test))
            self.threads.add(threading.current_thread())
            self._heard.notify_all()

    def wait(self, *calls: tuple[str, str]) -> None:
        """Wait until these have been told."""
        with self._heard:
            assert self._heard.wait_for(lambda: set(calls) <= set(self.calls), HANGS), self.calls


class Machine:
    """Limits by a clock that stands still."""

    def __init__(self) -> None:
        self.told = Told()
        self.clock = Clock()
        self.limits = TimeLimits(self.told, clock=self.clock)
        self._looks = 0

    def after(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass and the limits be checked; return all that it has told so far."""
        self.clock.now += seconds
        self._looks += 1
        look = ("the test's own", str(self._looks))
        # One look finds all that is overdue, in the order in which it began: this one is the last.
        self.limits.begin(*look, limit=0.0)
        self.told.wait(look)
        return [call for call in self.told.calls if call[0] != look[0]]


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Limits that are closed after the test."""
    with ExitStack() as stack:
        machine = Machine()
        stack.callback(machine.limits.close)
        yield machine


class TestLimit:
    """A test that takes longer than it may."""

    def test_at_its_limit_it_is_told(self, machine: Machine) -> None:
        """Not before; with the worker and the test."""
        machine.limits.begin("gw0", "test_a", 10.0)
        assert machine.after(9.99) == []
        assert machine.after(0.02) == [("gw0", "test_a")]

    def test_it_is_told_once(self, machine: Machine) -> None:
        """However long it goes on."""
        machine.limits.begin("gw0", "test_a", 10.0)
        assert machine.after(11) == [("gw0", "test_a")]
        assert machine.after(1000) == [("gw0", "test_a")]

    def test_one_that_ends_in_time_is_not(self, machine: Machine) -> None:
        """However late it gets afterwards."""
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.limits.end("gw0")
        assert machine.after(1000) == []

    def test_the_next_test_has_a_limit_of_its_own(self, machine: Machine) -> None:
        """It begins without that the one before was said to have ended."""
        machine.limits.begin("gw0", "test_a", 10.0)
        assert machine.after(5) == []
        machine.limits.begin("gw0", "test_b", 20.0)
        assert machine.after(19) == []
        assert machine.after(2) == [("gw0", "test_b")]

    def test_every_worker_has_a_clock(self, machine: Machine) -> None:
        """The first that is due is told first, whoever began first."""
        machine.limits.begin("gw0", "test_slow", 30.0)
        machine.limits.begin("gw1", "test_quick", 10.0)
        machine.limits.begin("gw2", "test_fine", 20.0)
        assert machine.after(15) == [("gw1", "test_quick")]
        machine.limits.end("gw2")
        assert machine.after(20) == [("gw1", "test_quick"), ("gw0", "test_slow")]

    def test_a_worker_that_runs_nothing_ends_nothing(self, machine: Machine) -> None:
        """Nor has it anything to restart or to pause."""
        machine.limits.end("gw7")
        machine.limits.restart("gw7", "test_a")
        machine.limits.pause("gw7", "test_a")
        assert machine.after(1000) == []

    def test_it_is_told_from_another_thread(self, machine: Machine) -> None:
        """One for all workers."""
        machine.limits.begin("gw0", "test_a", 1.0)
        machine.limits.begin("gw1", "test_a", 1.0)
        machine.after(2)
        (thread,) = machine.told.threads
        assert thread is not threading.current_thread()
        assert thread.daemon


class TestRestart:
    """An attempt at a test begins: what was before it does not count."""

    def test_the_time_before_does_not_count(self, machine: Machine) -> None:
        """As where a failed test is run again."""
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.after(9)
        machine.limits.restart("gw0", "test_a")
        assert machine.after(9) == []
        assert machine.after(2) == [("gw0", "test_a")]

    def test_of_another_test_it_does_not_count(self, machine: Machine) -> None:
        """What a worker said may be heard late."""
        machine.limits.begin("gw0", "test_b", 10.0)
        machine.after(9)
        machine.limits.restart("gw0", "test_a")
        machine.limits.restart("gw1", "test_b")
        assert machine.after(2) == [("gw0", "test_b")]

    def test_after_the_limit_it_comes_too_late(self, machine: Machine) -> None:
        """That was told."""
        machine.limits.begin("gw0", "test_a", 10.0)
        assert machine.after(11) == [("gw0", "test_a")]
        machine.limits.restart("gw0", "test_a")
        assert machine.after(1000) == [("gw0", "test_a")]


class TestHold:
    """The test waits for something that is not its own."""

    def test_meanwhile_it_has_no_limit(self, machine: Machine) -> None:
        """Until it is let go on, with the whole of its time."""
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.after(9)
        machine.limits.pause("gw0", "test_a")
        assert machine.after(1000) == []
        machine.limits.restart("gw0", "test_a")
        assert machine.after(9) == []
        assert machine.after(2) == [("gw0", "test_a")]

    def test_others_have_theirs(self, machine: Machine) -> None:
        """Also the worker's own next test."""
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.limits.begin("gw1", "test_b", 10.0)
        machine.limits.pause("gw0", "test_a")
        assert machine.after(11) == [("gw1", "test_b")]
        machine.limits.begin("gw0", "test_c", 10.0)
        assert machine.after(11) == [("gw1", "test_b"), ("gw0", "test_c")]

    def test_of_another_test_it_does_not_count(self, machine: Machine) -> None:
        """Neither of one before, nor of another worker's."""
        machine.limits.begin("gw0", "test_b", 10.0)
        machine.limits.pause("gw0", "test_a")
        machine.limits.pause("gw1", "test_b")
        assert machine.after(11) == [("gw0", "test_b")]

    def test_one_that_ends_meanwhile_is_forgotten(self, machine: Machine) -> None:
        """As where its worker dies while it waits."""
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.limits.pause("gw0", "test_a")
        machine.limits.end("gw0")
        machine.limits.restart("gw0", "test_a")
        assert machine.after(1000) == []


class TestWait:
    """The test waits for an answer of ours."""

    def test_meanwhile_it_has_no_limit(self, machine: Machine) -> None:
        """Until it has it, with the whole of its time."""
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.after(9)
        machine.limits.wait("gw0")
        assert machine.after(1000) == []
        machine.limits.go_on("gw0")
        assert machine.after(9) == []
        assert machine.after(2) == [("gw0", "test_a")]

    def test_who_waits_when_we_hear_that_its_test_has_begun_has_no_limit_either(self, machine: Machine) -> None:
        """We were busy while its worker came to the end of the test."""
        machine.limits.wait("gw0")
        machine.limits.begin("gw0", "test_a", 10.0)
        assert machine.after(1000) == []
        machine.limits.go_on("gw0")
        assert machine.after(9) == []
        assert machine.after(2) == [("gw0", "test_a")]

    def test_nothing_else_lets_it_go_on(self, machine: Machine) -> None:
        """As where we hear late that it was let in."""
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.limits.wait("gw0")
        machine.limits.restart("gw0", "test_a")
        assert machine.after(1000) == []

    def test_who_does_not_wait_does_not_go_on(self, machine: Machine) -> None:
        """Nor gets more time by that; that is for once."""
        machine.limits.wait("gw0")
        machine.limits.go_on("gw0")
        machine.limits.begin("gw0", "test_a", 10.0)
        machine.after(9)
        machine.limits.go_on("gw0")
        assert machine.after(2) == [("gw0", "test_a")]


class TestClose:
    """The end of a run."""

    def test_its_thread_ends(self) -> None:
        """With tests that still run, and with none."""
        before = set(threading.enumerate())
        machine = Machine()
        machine.limits.begin("gw0", "test_a", FAR)
        assert len(set(threading.enumerate()) - before) == 1
        machine.limits.close()
        assert set(threading.enumerate()) <= before
        assert machine.told.calls == []

    def test_limits_that_nobody_used_have_no_thread(self) -> None:
        """As in most runs: there is no limit."""
        before = set(threading.enumerate())
        machine = Machine()
        machine.limits.end("gw0")
        assert set(threading.enumerate()) <= before
        machine.limits.close()

    def test_afterwards_nothing_is_told(self) -> None:
        """Whatever still begins; a second close does nothing."""
        machine = Machine()
        machine.limits.close()
        machine.limits.begin("gw0", "test_a", 0.0)
        machine.limits.close()
        assert machine.told.calls == []

    def test_who_is_told_may_use_the_limits(self) -> None:
        """It is called from the limits' own thread."""
        told = Told()

        def overdue(worker: str, test: str) -> None:
            limits.end(worker)
            if test == "test_a":
                limits.begin(worker, "test_b", 0.0)
            told(worker, test)

        limits = TimeLimits(overdue)
        limits.begin("gw0", "test_a", 0.0)
        told.wait(("gw0", "test_a"), ("gw0", "test_b"))
        limits.close()
        assert told.calls == [("gw0", "test_a"), ("gw0", "test_b")]


class TestThreads:
    """The time that goes by for real, and what comes from many threads at once."""

    def test_on_the_real_clock_it_wakes_by_itself(self) -> None:
        """For the nearest of the limits, also where that comes after a farther one."""
        told = Told()
        limits = TimeLimits(told)
        limits.begin("gw0", "test_far", FAR)
        limits.begin("gw1", "test_near", 0.01)
        told.wait(("gw1", "test_near"))
        limits.close()
        assert told.calls == [("gw1", "test_near")]

    def test_many_workers_at_once(self, machine: Machine) -> None:
        """Each test that has gone on too long is told, once, and no other."""
        workers = [f"gw{number}" for number in range(32)]
        parties: list[threading.Thread] = []
        for worker in workers:
            parties.append(threading.Thread(target=busy(machine.limits, worker)))
            parties[-1].start()
        for party in parties:
            party.join()
        assert machine.after(5) == []
        late = [(worker, "test_last") for worker in workers[::2]]
        assert sorted(machine.after(6)) == sorted(late)
        assert sorted(machine.after(1000)) == sorted(late)


def busy(limits: TimeLimits, worker: str) -> Callable[[], None]:
    """A worker that runs many tests; every other one does not end its last."""

    def run() -> None:
        dice = random.Random(worker)
        for number in range(100):
            limits.begin(worker, f"test_{number}", 10.0)
            dice.choice([limits.pause, limits.restart])(worker, f"test_{number}")
            limits.end(worker)
        limits.begin(worker, "test_last", 10.0)
        if int(worker[2:]) % 2:
            limits.end(worker)

    return run

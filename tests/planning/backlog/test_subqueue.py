"""Sub-queues hold units of equal needs, and the best one that may run now is found whatever waits for locks."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial

from made_plans import LONG, model, unit, with_workers

from pytest_gpupool.planning.backlog.subqueue import Subqueue, Subqueues
from pytest_gpupool.planning.tests import Test, WorkUnit

FREE: frozenset[str] = frozenset()
X, Y, XY = frozenset("x"), frozenset("y"), frozenset("xy")


def subqueues(*units: WorkUnit) -> Subqueues:
    made = Subqueues()
    for each in units:
        made.push(each)
    return made


def best(waiting: Subqueues, own: frozenset[str] = FREE, memory: float = math.inf) -> int | None:
    """The test that a worker with these locks would get."""
    found = waiting.best(1, memory, own)
    return None if found is None else found.peek(()).tests[0]


def run_one_by_one(count: int) -> None:
    """Plan so many tests with a lock that all have, and one of their own."""
    tests = [Test(index=index, function="f", locks=frozenset({"common", f"own-{index}"})) for index in range(count)]
    planner = with_workers(tests, 2)
    planner.joined("gw0")
    planner.joined("gw1")
    for index in range(count):
        (worker,) = [name for name in ("gw0", "gw1") if planner.assigned(name)]
        assert planner.assigned(worker) == (index,)
        planner.ended(worker, index, LONG)
        planner.asks(worker)


def calls_of(function: Callable[[], None]) -> list[str]:
    """What is called while a function runs."""
    called: list[str] = []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: called.append(event))
    try:
        function()
    finally:
        sys.setprofile(before)
    return called


class TestSubqueue:
    """Units that need the same."""

    def test_the_best_is_at_its_head(self) -> None:
        """By rank, then in the order of collection; what is seen there is what comes out."""
        subqueue = Subqueue((1, 0), FREE)
        for each in (unit(2, seconds=1.0), unit(1, seconds=9.0), unit(0, seconds=1.0)):
            subqueue.push(each)
        seen = []
        while subqueue.size:
            seen.append((subqueue.head()[1], subqueue.peek(()).tests[0], subqueue.pop(()).tests[0]))
        assert seen == [(1, 1, 1), (0, 0, 0), (2, 2, 2)]

    def test_fixtures_decide_among_equals(self) -> None:
        """Those that nobody has set up yet come first where a worker has none of them."""
        subqueue = Subqueue((1, 0), FREE)
        for index, warm in enumerate("aabb"):
            subqueue.push(unit(index, seconds=1.0, set_ups=(model(warm),)))
        assert [subqueue.pop((model("b"),)).tests[0], subqueue.pop(()).tests[0]] == [2, 0]
        assert sorted(each.tests[0] for each in subqueue.units()) == [1, 3]


class TestSubqueues:
    """All of them."""

    def test_units_of_equal_needs_are_in_one(self) -> None:
        """Others are apart."""
        made = Subqueues()
        one = made.push(unit(0, memory=8, locks=X))
        assert made.push(unit(1, memory=8, locks=X)) is one
        assert (one.size, one.need, one.locks) == (2, (1, 8), X)
        for index, other in enumerate([unit(2, memory=8), unit(3, locks=X), unit(4, memory=8, locks=X, gpus=2)]):
            assert made.push(other) is not one, index
        assert sorted(each.tests[0] for each in made.units()) == [0, 1, 2, 3, 4]

    def test_what_is_taken_holds_its_locks(self) -> None:
        """Until they are released, the next best is what needs none of them."""
        waiting = subqueues(unit(0, locks=X), unit(1, locks=XY), unit(2))
        found = waiting.best(1, math.inf, FREE)
        assert found is not None
        assert waiting.pop(found, ()).locks == X
        assert best(waiting) == 2
        waiting.release(X)
        assert best(waiting) == 1

    def test_a_worker_may_have_what_waits_for_its_own_locks(self) -> None:
        """But not what waits for those of others besides."""
        waiting = subqueues(unit(0, locks=XY), unit(1, locks=X), unit(2))
        waiting.hold(X)
        assert (best(waiting), best(waiting, X)) == (2, 0)
        waiting.hold(Y)
        assert (best(waiting, X), best(waiting, XY)) == (1, 0)

    def test_what_only_some_have_is_found_by_those(self) -> None:
        """By their collections."""
        waiting = subqueues(unit(0, lacked_by=frozenset({1, 2})), unit(1, lacked_by=frozenset({0})), unit(2))
        found = [waiting.best(1, math.inf, FREE, collection) for collection in (0, 1, 2)]
        assert [each.peek(()).tests[0] for each in found if each is not None] == [0, 1, 1]

    def test_a_lock_that_comes_free_lets_out_one_for_whom_it_was_meant(self) -> None:
        """Where the best that waits for it has to wait for another one by then, the next best comes instead."""
        waiting = subqueues(unit(0, locks=XY), unit(1, locks=X), unit(2, locks=Y))
        waiting.hold(X)
        assert best(waiting) == 2
        waiting.release(X)
        waiting.hold(Y)
        assert best(waiting) == 1
        waiting.hold(X)
        waiting.release(Y)
        assert best(waiting) == 2
        waiting.release(X)
        assert best(waiting) == 0

    def test_of_many_that_wait_for_one_lock_few_are_looked_at(self) -> None:
        """However many there are: each has a lock of its own besides, so that no two are in one sub-queue."""
        few, many = (len(calls_of(partial(run_one_by_one, count))) for count in (500, 2000))
        assert many < 8 * few

    def test_only_what_fits_is_found(self) -> None:
        """A worker of another size, or with too little memory, finds nothing."""
        waiting = subqueues(unit(0, memory=16), unit(1, memory=8))
        assert [best(waiting, memory=memory) for memory in (4, 8, 16)] == [None, 1, 0]
        assert waiting.best(2, math.inf, FREE) is None

    def test_locks_are_held_beyond_a_fresh_start(self) -> None:
        """When all that waits is sorted anew, the tests that run hold theirs as before."""
        waiting = subqueues(unit(0))
        waiting.hold(X)
        waiting.clear()
        waiting.push(unit(1, locks=X))
        assert best(waiting) is None
        waiting.release(X)
        assert best(waiting) == 1

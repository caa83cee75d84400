"""What it takes to set up what tests share."""

from __future__ import annotations

from made_plans import model

from pytest_gpupool.planning.backlog.costs import CHEAP, FREE, Costs
from pytest_gpupool.values.wide_fixture import WideFixture

A, B = model("a"), model("b")


def test_this_run_knows_better_than_earlier_ones() -> None:
    """The mean of what it has seen; else what is known of that instance, else what is seen of its like."""
    costs = Costs({A.key: 9.0, B.key: None})
    assert (costs.of(A), costs.of(B)) == (9.0, None)
    costs.learn(A, 3.0)
    costs.learn(A, 5.0)
    assert (costs.of(A), costs.of(B)) == (4.0, 4.0)
    assert costs.of(WideFixture("data", "", "", "")) is None


def test_where_it_lives_makes_no_difference() -> None:
    """It is the same code, in one module or the other."""
    costs = Costs({})
    costs.learn(model("a", "a.py"), 2.0)
    assert costs.of(model("a", "b.py")) == 2.0


def test_only_what_takes_long_for_its_test_is_planned_for() -> None:
    """And what nobody knows."""
    costs = Costs({A.key: 1.0, B.key: FREE})
    assert costs.dear((A, B), None) == (A,)
    assert costs.dear((A, B), 1.0 / CHEAP) == ()
    assert costs.dear((A, B), 0.9 / CHEAP) == (A,)
    assert costs.dear((model("c"),), 1e6) == (model("c"),)


def test_what_is_much_the_same_is_no_news() -> None:
    """Sorting anew takes time."""
    costs = Costs({A.key: 1.0})
    assert [costs.learn(A, seconds) for seconds in (1.5, 1.0, 100.0)] == [False, False, True]
    assert costs.learn(WideFixture("data", "", "", ""), 0.0)
    assert not costs.learn(WideFixture("data", "", "", ""), 0.001)


def test_what_nobody_knows_counts_for_nothing_in_a_sum() -> None:
    assert Costs({A.key: 2.0}).total((A, model("c"))) == 2.0

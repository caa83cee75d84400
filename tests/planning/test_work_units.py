"""What must stay together is one work unit, and is as demanding as the most demanding of its tests."""

from __future__ import annotations

from made_plans import as_asked, at_most

from pytest_gpupool.planning.tests import Test, kind_of, work_unit


def test_a_group_s_tests_of_other_kinds_are_apart() -> None:
    """A worker of one size cannot run tests of another, nor those of a stage with those of the next."""
    one = Test(index=0, function="f", group="g")
    assert kind_of(one) == kind_of(Test(index=1, function="f", group="g"))
    others = [
        Test(index=2, function="f", group="g", gpus=2),
        Test(index=3, function="f", group="g", stage=1),
        Test(index=4, function="f", group="g", serial=True),
        Test(index=5, function="f", group="h"),
    ]
    assert len({kind_of(test) for test in (one, *others)}) == 5


def test_a_test_alone_is_of_no_other_s_kind() -> None:
    """Though they are of one function."""
    assert kind_of(Test(index=0, function="f")) != kind_of(Test(index=1, function="f"))


def test_a_unit_needs_what_any_of_its_tests_needs() -> None:
    """Its locks are those of all, its memory and priority the highest, its duration the sum."""
    tests = [
        Test(index=0, function="f", group="g", memory=8, locks=frozenset("x"), seconds=1.0),
        Test(index=1, function="f", group="g", memory=16, locks=frozenset("y"), seconds=2.0, priority=3),
    ]
    unit = work_unit(tests, as_asked)
    assert (unit.tests, unit.need, unit.priority) == ((0, 1), (1, 16), 3)
    assert (unit.locks, unit.seconds) == (frozenset("xy"), 3.0)


def test_a_unit_of_which_one_test_is_unknown_is_unknown() -> None:
    """It goes before those that are known."""
    known = work_unit([Test(index=0, function="f", seconds=9.0)], as_asked)
    unknown = work_unit([Test(index=i, function="f", group="g", seconds=s) for i, s in ((1, None), (2, 1.0))], as_asked)
    assert unknown.seconds is None
    assert unknown.rank < known.rank


def test_a_unit_needs_what_the_pool_can_give() -> None:
    """A test that is too large for it runs on any worker."""
    assert work_unit([Test(index=0, function="f", gpus=4, memory=8)], at_most(2)).need == (1, 0)

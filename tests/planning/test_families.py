"""The plan knows what set-up costs: who goes on with which family, and who joins whom."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from clockwork import played
from hypothesis import given
from hypothesis import strategies as st
from made_plans import model

from pytest_gpupool.planning.decisions import Assign
from pytest_gpupool.planning.outlook.forecast import Forecast
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.values.wide_fixture import WideFixture


def suite(*families: tuple[str, Sequence[float]]) -> list[Test]:
    """Tests of models by name, which take so long; without a name they share nothing."""
    each = [(name, seconds) for name, durations in families for seconds in durations]
    return [
        Test(index=index, function="f.py::f", seconds=seconds, set_ups=(model(name),) if name else ())
        for index, (name, seconds) in enumerate(each)
    ]


def loads(run: Forecast) -> dict[str, int]:
    """How often each model was set up."""
    return dict(Counter(key for _, key in run.builds))


class TestKeeps:
    """A worker keeps to what it has set up."""

    def test_until_nothing_waits_that_needs_it(self) -> None:
        """Although longer tests wait elsewhere; of its own the longest goes first."""
        tests = suite(("a", [1.0, 3.0, 2.0]), ("b", [9.0, 9.0, 9.0]))
        run = played(tests, 2, {"model[a]": 50.0, "model[b]": 50.0})
        assert (run.order("gw0"), run.order("gw1")) == ([3, 4, 5], [1, 2, 0])
        assert loads(run) == {"model[a]": 1, "model[b]": 1}

    def test_the_family_with_the_most_work_begins(self) -> None:
        """Whatever the order of collection is."""
        tests = suite(("a", [5.0]), ("b", [2.0] * 9), ("c", [9.0]))
        run = played(tests, 1, dict.fromkeys(["model[a]", "model[b]", "model[c]"], 50.0))
        assert [key for _, key in run.builds] == ["model[b]", "model[c]", "model[a]"]

    def test_of_two_that_it_needs_the_dear_one_stays(self) -> None:
        """Model by data set: the models are set up once, the data sets for each."""
        tests = [
            Test(
                index=index,
                function="f.py::f",
                seconds=5.0,
                set_ups=(model(f"m{index % 3}"), WideFixture("data", "", f"d{index % 2}", "")),
            )
            for index in range(36)
        ]
        costs = {"model[m0]": 60.0, "model[m1]": 60.0, "model[m2]": 60.0, "data[d0]": 1.0, "data[d1]": 1.0}
        run = played(tests, 3, costs)
        assert {key: times for key, times in loads(run).items() if key.startswith("model")} == dict.fromkeys(
            ["model[m0]", "model[m1]", "model[m2]"], 1
        )
        assert sum(times for key, times in loads(run).items() if key.startswith("data")) == 6

    def test_what_belongs_to_a_module_is_not_set_up_twice(self) -> None:
        """It is torn down as soon as a test of another module runs."""
        tests = [
            Test(
                index=index,
                function=f"{'ab'[index % 2]}.py::f",
                seconds=5.0,
                set_ups=(WideFixture("server", "", "", f"{'ab'[index % 2]}.py"),),
            )
            for index in range(10)
        ]
        run = played(tests, 1, {"server": 10.0})
        assert len(run.builds) == 2

    def test_what_is_cheap_is_not_planned_for(self) -> None:
        """The longest go first, and it is set up for almost each."""
        tests = suite(("a", [4.0, 2.0]), ("b", [3.0, 1.0]))
        run = played(tests, 1, {"model[a]": 0.004, "model[b]": 0.004})
        assert run.order("gw0") == [0, 2, 1, 3]


class TestJoins:
    """Others help where that pays."""

    def test_who_has_nothing_left_joins_who_ends_last(self) -> None:
        """It pays for another load."""
        tests = suite(("a", [5.0] * 4), ("b", [5.0] * 20), ("c", [5.0] * 8))
        run = played(tests, 3, dict.fromkeys(["model[a]", "model[b]", "model[c]"], 10.0))
        assert loads(run) == {"model[a]": 1, "model[b]": 3, "model[c]": 1}

    def test_nobody_joins_where_all_would_have_begun_by_then(self) -> None:
        """The others stay idle, and the plan is no longer for that."""
        tests = suite(("a", [5.0]), ("b", [5.0] * 4))
        run = played(tests, 4, {"model[a]": 30.0, "model[b]": 30.0})
        by_now = played(tests, 2, {"model[a]": 30.0, "model[b]": 30.0})
        assert run.end <= by_now.end
        late = suite(("a", [100.0]), ("b", [20.0] * 8))
        run = played(late, 2, {"model[a]": 60.0, "model[b]": 100.0})
        assert loads(run) == {"model[a]": 1, "model[b]": 1}
        assert run.end == 100.0 + 8 * 20.0

    def test_all_begin_with_it_where_there_is_but_one(self) -> None:
        """They load side by side."""
        run = played(suite(("a", [5.0] * 40)), 4, {"model[a]": 30.0})
        assert loads(run) == {"model[a]": 4}
        assert run.end == 30.0 + 50.0

    def test_nobody_joins_while_a_family_has_not_begun(self) -> None:
        """Its work can be shared later."""
        tests = suite(("a", [5.0] * 30), ("b", [5.0] * 4), ("c", [5.0] * 4), ("d", [5.0] * 4))
        run = played(tests, 2, dict.fromkeys([f"model[{name}]" for name in "abcd"], 2.0))
        assert [key for worker, key in run.builds if worker == "gw1"][:3] == ["model[b]", "model[c]", "model[d]"]


class TestLate:
    """A worker takes longer than it should."""

    def test_others_help_it_when_it_is_so_late_that_it_pays(self) -> None:
        """Until then they are asked again and again; nobody knows in what its test hangs."""
        tests = suite(("a", [5.0] * 3), ("b", [5.0]))
        planner = Planner(tests, capacity=2, asked=2, costs={"model[a]": 80.0, "model[b]": 80.0})
        for name in ("gw0", "gw1"):
            planner.started(name)
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (3,))]
        planner.at(70.0)  # by then it should have run one, and be at the next
        planner.ended("gw1", 3, 5.0, {"model[b]": 60.0})
        assert planner.asks("gw1") == []
        assert planner.leaves_tests_alone
        planner.at(100.0)
        assert planner.looks_again() == []
        planner.at(200.0)
        assert planner.looks_again() == [Assign("gw1", (1,))]


class TestAble:
    """Not everybody who has something set up can run what needs it."""

    def test_who_lacks_the_rest_keeps_nobody_from_it(self) -> None:
        """It has collected other tests than they have, and waits."""
        tests = suite(("a", [5.0, 4.0]), ("b", [5.0]))
        planner = Planner(tests, capacity=2, asked=2, costs={"model[a]": 60.0, "model[b]": 60.0})
        for name in ("gw0", "gw1"):
            planner.started(name)
        planner.collected(1, [1], [])
        assert planner.joined("gw0", collection=1) == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (2,))]
        planner.at(65.0)
        planner.asks("gw0")
        planner.ended("gw0", 0, 5.0, {"model[a]": 60.0})
        assert not planner.assigned("gw0")
        assert planner.asks("gw1") == [Assign("gw1", (1,))]


class TestPlain:
    """Tests that share nothing."""

    def test_they_fill_the_gaps(self) -> None:
        """They come when no family is left to begin, and before another load."""
        tests = suite(("a", [5.0] * 8), ("", [1.0] * 10), ("b", [5.0] * 6))
        run = played(tests, 2, {"model[a]": 20.0, "model[b]": 20.0})
        assert loads(run) == {"model[a]": 1, "model[b]": 1}
        assert run.order("gw1")[6] in range(8, 18)

    def test_one_that_would_end_last_comes_early(self) -> None:
        """What is set up stays so meanwhile."""
        tests = suite(("a", [5.0] * 20), ("b", [5.0] * 20), ("", [50.0]))
        run = played(tests, 2, {"model[a]": 20.0, "model[b]": 20.0})
        (alone,) = [one for one in run.begun if one.test.index == 40]
        assert 60.0 <= alone.at <= 100.0
        assert run.end <= 155.0  # no plan is shorter
        assert loads(run) == {"model[a]": 1, "model[b]": 2}


class TestUnknown:
    """Nothing is known of earlier runs."""

    def test_families_are_spread_over_workers_in_the_order_of_collection(self) -> None:
        """And each is set up as seldom as can be."""
        tests = [Test(index=index, function="f.py::f", set_ups=(model(f"m{index // 5}"),)) for index in range(20)]
        costs = {f"model[m{number}]": 30.0 for number in range(4)}
        run = played(tests, 2, costs, known={}, seconds=[1.0] * 20)
        assert run.order("gw0") == [*range(5), *range(10, 15)]
        assert run.order("gw1") == [*range(5, 10), *range(15, 20)]
        assert set(loads(run).values()) == {1}

    def test_what_turns_out_cheap_is_planned_for_no_more(self) -> None:
        """The longest test of what is left goes first then."""
        tests = suite(*((f"m{number}", [float(number + 1)] * 2) for number in range(8)))
        costs = {f"model[m{number}]": 0.0 for number in range(8)}
        run = played(tests, 1, costs, known={})
        assert run.order("gw0")[0] == 14
        assert run.order("gw0")[1:5] == [15, 12, 13, 10]


RUNS = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.05, 1.0, 5.0, 20.0]),
            st.lists(st.floats(0.5, 10.0), min_size=1, max_size=12),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 6),
)


@given(RUNS)
def test_no_set_up_is_in_vain(run: tuple[list[tuple[float, list[float]]], int]) -> None:
    """A worker leaves a family of which tests wait for a long test only, and joins one while somebody is on each."""
    families, workers = run
    tests = suite(*((f"m{number}", durations) for number, (_, durations) in enumerate(families)))
    costs = {f"model[m{number}]": load for number, (load, _) in enumerate(families)}
    dear = {key for key, load in costs.items() if load > 0.2}  # 2 % of the longest test
    has: dict[str, str] = {}
    left = Counter(test.set_ups[0].key for test in tests)
    for one in played(tests, workers, costs).begun:
        key, before = one.test.set_ups[0].key, has.get(one.worker)
        if key != before and key in dear:
            assert before not in dear or not left[before], "it left what was of use"
            on = {family for worker, family in has.items() if worker != one.worker}
            assert key not in on or not {name for name in dear if left[name]} - on, "nobody was on some family"
        has[one.worker] = key
        left[key] -= 1


@given(RUNS)
def test_it_is_never_much_worse_than_the_bound(run: tuple[list[tuple[float, list[float]]], int]) -> None:
    """As list scheduling: the mean over the workers, and the longest that comes on top of it."""
    families, workers = run
    tests = suite(*((f"m{number}", durations) for number, (_, durations) in enumerate(families)))
    costs = {f"model[m{number}]": load for number, (load, _) in enumerate(families)}
    work = sum(load + sum(durations) for load, durations in families)
    longest = max(load + max(durations) for load, durations in families)
    assert played(tests, workers, costs).end <= 2 * max(work / workers, longest) + longest


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_without_set_ups_it_is_longest_first(workers: int) -> None:
    """Nothing else has changed."""
    durations = [float(3 + 7 * index % 11) for index in range(30)]
    run = played(suite(("", durations)), workers, {})
    began = [one.test.seconds or 0.0 for one in run.begun]
    assert began == sorted(began, reverse=True)
    assert math.isclose(run.end, max(run.end, sum(durations) / workers))

"""The run's tests are all that its workers have collected, whatever each of them calls its own by number."""

from __future__ import annotations

import pytest

from pytest_gpupool.distribution.collecting.run_tests import Numbering, RunTests


def run_of(*ids: str) -> RunTests:
    """The tests of a run whose first worker has collected these."""
    run = RunTests()
    assert run.take_in(ids) == Numbering()
    return run


def translated(numbering: Numbering, count: int) -> list[int]:
    """The run's numbers of a worker's tests, each of which is that one again on the way back."""
    numbers = [numbering.to_run(own) for own in range(count)]
    assert [numbering.to_worker(number) for number in numbers] == list(range(count))
    return numbers


def test_the_same_tests_have_the_same_numbers() -> None:
    """Of which nobody keeps a table for the first worker."""
    run = run_of("a", "b", "c")
    assert translated(Numbering(), 3) == [0, 1, 2]
    assert [run.number_of(test) for test in "abc"] == [0, 1, 2]
    assert [test in run for test in "abd"] == [True, True, False]


def test_another_order_is_no_other_collection() -> None:
    """Each worker is spoken to in its own numbers."""
    numbering = run_of("a", "b", "c").take_in(["c", "a", "b"])
    assert (numbering.collection, numbering.lacks, numbering.more, numbering.left_out) == (0, (), (), ())
    assert translated(numbering, 3) == [2, 0, 1]


def test_what_only_another_worker_has_is_added() -> None:
    """And what it lacks is known; those after it have the numbers of both."""
    run = run_of("a", "b", "c")
    other = run.take_in(["d", "a", "e"])
    assert (other.collection, other.lacks, other.more) == (1, (1, 2), (0, 2))
    assert run.ids == ["a", "b", "c", "d", "e"]
    assert translated(other, 3) == [3, 0, 4]
    all_of_them = run.take_in(["e", "d", "c", "b", "a"])
    assert (all_of_them.collection, all_of_them.lacks, all_of_them.more) == (2, (), ())
    assert run.take_in(["a", "e", "d"]).collection == 1
    assert run.take_in(["a", "b", "c"]).collection == 0


def test_what_is_not_new_is_left_out() -> None:
    """Then the worker counts as one that has what the others have, and nothing of it runs by mistake."""
    run = run_of("a", "b")
    numbering = run.take_in(["new", "a", "b"], lambda unknown, lacks: [*unknown, lacks][1:1])
    assert (numbering.collection, numbering.more, numbering.left_out) == (0, (), (0,))
    assert (run.ids, numbering.to_run(2)) == (["a", "b"], 1)
    with pytest.raises(AssertionError, match="none of the run's"):
        numbering.to_run(0)


def test_tests_of_one_id_are_told_apart() -> None:
    """By their order among those of that id."""
    run = run_of("same", "a", "same")
    assert translated(run.take_in(["a", "same", "same"]), 3) == [1, 0, 2]
    fewer = run.take_in(["same", "a"])
    assert (fewer.lacks, translated(fewer, 2)) == ((2,), [0, 1])
    assert run.take_in(["same", "same", "same", "a"]).more == (2,)
    assert run.ids == ["same", "a", "same", "same"]


def test_a_worker_may_have_found_nothing() -> None:
    """Also the first one."""
    run = run_of()
    assert run.take_in(["a"]).more == (0,)
    nothing = run.take_in([])
    assert (nothing.collection, nothing.lacks) == (0, (0,))

"""What a suite says of a metric over many tests: from the decorator and from the ini file."""

from __future__ import annotations

import pytest

import pytest_gpupool
from pytest_gpupool.metrics.aggregate import Aggregate, from_record, make, parse
from pytest_gpupool.values.errors import UsageProblem

GOOD = {
    "t.py::test_a accuracy of=correct": Aggregate(name="accuracy", of="correct"),
    "t.py::test_a accuracy of=correct by=model,size floor=0.6 higher_is_better=true atol=0.01": Aggregate(
        name="accuracy", of="correct", by=("model", "size"), floor=0.6, higher_is_better=True, atol=0.01
    ),
    "t.py 'a name' of=latency reduce=geometric_mean kind=time rtol=0.1 ceiling=2 higher_is_better=false": Aggregate(
        name="a name",
        of="latency",
        reduce="geometric_mean",
        kind="time",
        rtol=0.1,
        ceiling=2.0,
        higher_is_better=False,
    ),
}

BAD = {
    "t.py::test_a": "give a test's id, a name, and KEY=VALUE pairs",
    "t.py::test_a accuracy floor": "give a test's id, a name, and KEY=VALUE pairs",
    "t.py::test_a accuracy of=a of=b": "it gives a key twice",
    "t.py::test_a accuracy": "say of which metric of the tests it is",
    "t.py::test_a accuracy of=correct flor=0.6": "it has no 'flor'; did you mean 'floor'?",
    "t.py::test_a accuracy of=correct floor=high": "floor is a number, not 'high'",
    "t.py::test_a accuracy of=correct floor=nan": "floor is a number, not nan",
    "t.py::test_a accuracy of=correct atol=-1": "atol is a number from 0",
    "t.py::test_a accuracy of=correct floor=2 ceiling=1": "its floor 2 is above its ceiling 1",
    "t.py::test_a accuracy of=correct reduce=average": "reduce is one of mean, median, min, max, sum, geometric_mean",
    "t.py::test_a accuracy of=correct kind=share": "kind is one of proportion, mean",
    "t.py::test_a accuracy of=correct higher_is_better=yes": "higher_is_better is True, False or None, not 'yes'",
    "t.py::test_a accuracy of=correct by=a,a": "by names a parameter twice",
    "t.py::test_a accuracy of=correct reduce=worst_group": "needs by=('model',), its groups",
    "t.py::test_a accuracy of=correct reduce=worst_group by=model": "needs higher_is_better=True or False",
}


@pytest.mark.parametrize("line", GOOD)
def test_a_line_of_the_ini_file(line: str) -> None:
    """It says whose tests it is over, and the same as the decorator; a record carries it."""
    test, aggregate = parse(line)
    assert test == line.split()[0]
    assert aggregate == GOOD[line]
    assert from_record(aggregate.to_record()) == aggregate


@pytest.mark.parametrize("line", BAD)
def test_what_a_line_may_not_say(line: str) -> None:
    """The message has the line, and what to do."""
    with pytest.raises(UsageProblem) as caught:
        parse(line)
    assert str(caught.value).startswith(f"gpupool_aggregates = {line}: ")
    assert BAD[line] in str(caught.value)


def test_the_decorator_refuses_what_makes_no_sense() -> None:
    """Where it is called, with the name of the aggregate."""
    with pytest.raises(UsageProblem, match=r"aggregate 'a': by is a list of parameters, not 'model'; write by="):
        pytest_gpupool.aggregate("a", of="correct", by="model")
    with pytest.raises(UsageProblem, match="its name is a text that is not empty, not ''"):
        pytest_gpupool.aggregate("", of="correct")
    with pytest.raises(UsageProblem, match="of is a text that is not empty, not 3"):
        make("a", of=3)

"""Tables of a run's metrics: one for each test function, as wide and as long as a terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from made_reports import a_metric, any_text

from pytest_gpupool.records.folding.result import TestResult
from pytest_gpupool.reports.terminal import pivots

Metrics = Callable[..., list[dict[str, Any]]]


def made(function: str, axes: Mapping[str, list[Any]], metrics: Metrics) -> Iterator[TestResult]:
    """A function's tests, one for each combination of some parameters; what each has recorded."""
    for values in product(*axes.values()):
        recorded: dict[str, Mapping[str, Any]] = {metric["name"]: metric for metric in metrics(*values)}
        nodeid = f"a.py::{function}[{'-'.join(map(str, values))}]"
        yield TestResult(nodeid=nodeid, params=dict(zip(axes, values, strict=True)), outcome="passed", metrics=recorded)


def shown(*tests: TestResult, width: int = 80, run: str | None = "run-1") -> list[str]:
    return [*pivots.lines(pivots.functions(tests), width=width, run=run)]


def loss(*values: Any) -> list[dict[str, Any]]:
    return [a_metric("loss", sum(values) / 4, unit="nats")]


def loss_and_size(*values: Any) -> list[dict[str, Any]]:
    return [*loss(*values), a_metric("size", values[0])]


class TestWhichTable:
    """By how many metrics, parameters and tests there are."""

    def test_one_metric_and_two_parameters(self) -> None:
        """The one with more values has the rows."""
        tests = made("test_it", {"a": [1, 2], "b": [5, 6, 7]}, loss)
        assert shown(*tests) == [
            "test_it: loss in nats by b and a: one result each",
            "b \\ a     1     2",
            "5       1.5  1.75",
            "6      1.75     2",
            "7         2  2.25",
            "",
        ]

    def test_several_metrics(self) -> None:
        """Have a column each, with the unit at its head; what one test has not recorded is a dash."""
        metrics: Metrics = lambda a, b: loss_and_size(a, b)[: 1 if b == 6 else 2]  # noqa: E731
        assert shown(*made("test_it", {"a": [1, 2], "b": [5, 6]}, metrics)) == [
            "test_it: 4 tests",
            "a  b  loss in nats  size",
            "1  5           1.5     1",
            "1  6          1.75     –",
            "2  5          1.75     2",
            "2  6             2     –",
            "",
        ]

    def test_no_mean_is_taken_where_each_test_has_room(self) -> None:
        """Of three parameters."""
        table = shown(*made("test_it", {"a": [1, 2], "b": [5, 6], "c": [8, 9]}, loss))
        assert table[:3] == ["test_it: 8 tests", "a  b  c  loss in nats", "1  5  8           3.5"]

    def test_means_of_one_metric(self) -> None:
        """Where there are too many tests."""
        assert shown(*made("test_it", {"a": [1, 2], "b": [5, 6], "c": [*range(11)]}, loss)) == [
            "test_it: loss in nats by a and b: means over 11 results each (c: 11 values)",
            "a \\ b     5     6",
            "1      2.75     3",
            "2         3  3.25",
            "",
        ]

    def test_means_of_several_metrics(self) -> None:
        """By a parameter that has few enough values."""
        table = shown(*made("test_it", {"a": [*range(30)], "b": [5, 6]}, loss_and_size))
        assert table == [
            "test_it by b: means over 30 results each (a: 30 values)",
            "b  loss in nats  size",
            "5         4.875  14.5",
            "6         5.125  14.5",
            "",
        ]

    def test_tests_of_which_no_parameters_are_known(self) -> None:
        """Their ids tell them apart."""
        tests = [
            TestResult(nodeid=f"a.py::test_it[{n}]", metrics={"loss": a_metric("loss", None if n == 2 else n)})
            for n in (1, 2)
        ]
        assert shown(*tests) == ["test_it: 2 tests", "     loss", "[1]     1", "[2]   nan", ""]

    def test_parameters_that_are_too_long_to_tell_them_apart(self) -> None:
        """Nor do they."""
        tests = [
            TestResult(
                nodeid=f"a.py::test_it[{n}]", params={"a": f"{'x' * 50}{n}"}, metrics={"m": a_metric("m", int(n))}
            )
            for n in "21"
        ]
        assert shown(*tests) == ["test_it: 2 tests", "     m", "[2]  2", "[1]  1", ""]

    def test_parameters_are_in_their_order(self) -> None:
        """Whatever that of the tests is."""
        table = shown(*reversed([*made("test_it", {"a": [1, 2], "b": [5, 6]}, loss_and_size)]))
        assert [line[:4] for line in table[2:-1]] == ["1  5", "1  6", "2  5", "2  6"]

    def test_different_units(self) -> None:
        """Stand beside the values, of which there is no mean."""
        metrics: Metrics = lambda a, b: [a_metric("time", a, unit=b)]  # noqa: E731
        table = shown(*made("test_it", {"a": [*range(30)], "b": ["s", "ms"]}, metrics))
        assert table[:3] == ["test_it: time by a and b: one result each", "a \\ b     s     ms", "0       0 s   0 ms"]
        table = shown(*made("test_it", {"a": ["s", "ms"]}, lambda a: [a_metric("time", 1, unit=a)]))
        assert table[:4] == ["test_it: 2 tests", "a   time", "s    1 s", "ms  1 ms"]


class TestRoom:
    """What has none is left out, and counted; who has all of it is said."""

    def test_rows_and_columns(self) -> None:
        """Twenty rows, and as many columns as fit."""
        tests = [*made("test_it", {"a": [*range(25)], "b": [*range(22)]}, loss)]
        *_, last, command, _ = shown(*tests)
        assert last == "… and 5 more rows, 10 more columns: 12, 13, 14, 15, 16, 17, 18, 19, 20, 21"
        assert command == "  (gpupool matrix run-1 --metric loss --rows a --cols b --test 'a.py::test_it[')"
        assert shown(*tests, run=None)[-2] == "  (-v shows all)"
        assert shown(*tests, width=200)[-2] == (
            "… and 5 more rows (gpupool matrix run-1 --metric loss --rows a --cols b --test 'a.py::test_it[')"
        )

    def test_of_a_parameter_with_many_values(self) -> None:
        """And several metrics."""
        *rows, last, _ = shown(*made("test_it", {"a": [*range(25)]}, loss_and_size))
        assert len(rows) == 2 + 20
        assert last == "… and 5 more rows (-v shows all)"

    def test_tables(self) -> None:
        """Those that come too late are named; the first one is always there."""
        tests = [test for n in range(9) for test in made(f"test_{n}", {"a": [*range(15)]}, loss_and_size)]
        *tables, last = shown(*tests)
        assert [line for line in tables if "tests" in line] == [f"test_{n}: 15 tests" for n in range(5)]
        assert last == "… and 120 metrics of 4 more test functions (-v shows all): test_5, test_6, test…"

    def test_functions_of_one_name(self) -> None:
        """Are called with their files."""
        tests = [*made("test_it", {"a": [1, 2]}, loss)]
        other = [*made("test_it", {"a": [3, 4]}, loss)]
        for test in other:
            test.nodeid = test.nodeid.replace("a.py", "b.py")
        assert [line for line in shown(*tests, *other) if "tests" in line] == [
            "a.py::test_it: 2 tests",
            "b.py::test_it: 2 tests",
        ]

    def test_a_function_with_one_test_has_no_table(self) -> None:
        """Nor has one that recorded nothing."""
        silent = made("test_silent", {"a": [1, 2]}, lambda _: [])
        assert shown(*made("test_it", {"a": [1]}, loss), *silent) == []


@given(
    st.lists(st.tuples(any_text, any_text, st.none() | st.floats(allow_nan=False, allow_infinity=False)), min_size=2),
    st.lists(any_text, min_size=1, max_size=9, unique=True),
    st.integers(20, 200),
)
def test_any_texts(values: list[tuple[str, str, float | None]], metrics: list[str], width: int) -> None:
    """Nothing raises, and no line is wider than there is room for, but a command that is to be copied."""
    tests = [
        TestResult(
            nodeid=f"{metrics[0]}::{first}[{number}]",
            params={first: second, "x": value},
            outcome="passed",
            metrics={name: a_metric(name, value, unit=second) for name in metrics},
        )
        for number, (first, second, value) in enumerate(values)
    ]
    for line in shown(*tests, width=width):
        assert line.isprintable() or line.splitlines() == [line]
        assert len(line) <= width or "gpupool matrix" in line

"""The pivot of a metric over two parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_gpupool.matrices.pivot import pivot
from pytest_gpupool.matrices.table import Table
from pytest_gpupool.values.errors import UsageProblem

Test = dict[str, Any]


def result(nodeid: str, params: dict[str, Any], outcome: str = "passed", unit: str = "", **metrics: Any) -> Test:
    recorded = [{"name": name, "value": value, "unit": unit} for name, value in metrics.items()]
    return {"nodeid": nodeid, "params": params, "outcome": outcome, "metrics": recorded}


def results(function: str = "test_a.py::test_lr", **axes: Sequence[Any]) -> list[Test]:
    """A test per combination, its accuracy 1, 2, 3, … in the order of the product."""
    combinations = itertools.product(*axes.values())
    return [
        result(f"{function}[{number}]", dict(zip(axes, values, strict=True)), accuracy=number)
        for number, values in enumerate(combinations, 1)
    ]


def means(table: Table) -> list[list[int | float | None]]:
    return [[None if cell is None else cell.mean for cell in row] for row in table.cells]


def rows(table: Table) -> list[str]:
    return [label.text for label in table.row_labels]


def cols(table: Table) -> list[str]:
    return [label.text for label in table.col_labels]


class TestCells:
    """Which results a cell has, and what becomes of them."""

    def test_means_are_over_the_other_parameters_and_say_over_how_many(self) -> None:
        """Per cell, and in the caption, which names those parameters."""
        table = pivot(results(lr=[0.1, 0.2], seed=[0, 1, 2], size=[8, 16]), metric="accuracy", rows="lr", cols="size")
        assert means(table) == [[3, 4], [9, 10]]
        assert {cell.count for row in table.cells for cell in row if cell} == {3}
        assert table.caption == "accuracy by lr and size: means over 3 results each (seed: 3 values)"

    def test_one_result_stays_as_it_was_recorded(self) -> None:
        """An int of any size too, which no float could be."""
        table = pivot([result("t.py::t[a]", {"lr": 1}, tokens=10**400)], metric="tokens", rows="lr")
        assert means(table) == [[10**400]]
        assert table.caption == "tokens by lr: one result each"

    def test_each_of_several_results_of_a_test_counts(self) -> None:
        """As with ``--dist each``; also those that are left out, and those that recorded nothing."""
        tests = [result("t.py::t[a]", {"lr": 1}, loss=value) for value in (1, 2, 6)]
        tests += [result("t.py::t[b]", {}, loss=4), result("t.py::t[b]", {}, loss=5), result("t.py::t[b]", {})]
        table = pivot(tests, metric="loss", rows="lr")
        assert (means(table), table.caption) == ([[3]], "loss by lr: means over 3 results each")
        assert table.notes == ["left out: 2 of 5 results, without these parameters (t)"]
        assert means(pivot(tests, metric="loss")) == [[3], [4.5]]

    def test_missing_combinations_are_no_number(self) -> None:
        """And the caption says that means are not all over as many results."""
        tests = results(lr=[1, 2], size=[8, 16], seed=[0, 1])
        table = pivot([*tests[:3], *tests[4:6]], metric="accuracy", rows="lr", cols="size")
        assert means(table) == [[1.5, 3], [5.5, None]]
        assert table.caption == "accuracy by lr and size: means over 1 to 2 results (seed: 2 values)"

    def test_what_is_not_finite_is_left_out_and_said(self) -> None:
        """A cell of nothing else is empty."""
        tests = [result(f"t.py::t[{n}]", {"lr": n // 2}, loss=None if n else 0.5) for n in range(4)]
        table = pivot(tests, metric="loss", rows="lr")
        assert means(table) == [[0.5], [None]]
        assert table.notes == ["left out: 3 of 4 results, not finite"]

    def test_nothing_finite_is_an_empty_table(self) -> None:
        table = pivot([result("t.py::t[a]", {"lr": 1}, loss=None)], metric="loss", rows="lr")
        assert (means(table), table.caption) == ([[None]], "loss by lr: no result")

    @pytest.mark.parametrize("values", [(1e308, 1.5e308), (10**400, 10**400 + 2), (-1.5e308, 10**308)])
    def test_sums_may_be_larger_than_any_float(self, values: tuple[float, ...]) -> None:
        tests = [result(f"t.py::t[{n}]", {"lr": 1, "seed": n}, loss=value) for n, value in enumerate(values)]
        ((cell,),) = pivot(tests, metric="loss", rows="lr").cells
        assert cell is not None
        assert min(values) <= cell.mean <= max(values)
        assert isinstance(cell.mean, int) or math.isfinite(cell.mean)

    def test_failed_and_missing_results_are_told(self) -> None:
        """A test that failed by a threshold has a value; one that crashed has a row all the same."""
        tests = results(lr=[1, 2, 3])
        tests[0]["outcome"] = "failed"
        tests[1] |= {"outcome": "crashed", "metrics": []}
        table = pivot([*tests, result("t.py::other", {}, "not-run")], metric="accuracy", rows="lr")
        assert means(table) == [[1], [None], [3]]
        assert table.notes == [
            "some results are of tests that did not pass: 1 failed",
            "tests that recorded no accuracy: 1 crashed",
        ]


class TestLabels:
    """Which rows and columns there are, in which order, by which name."""

    @pytest.mark.parametrize(
        ("values", "shown"),
        [
            pytest.param([32, 4, 256.0, 0.001, 1e-05], ["1e-05", "0.001", "4", "32", "256.0"], id="numbers"),
            pytest.param(["small", "large", "base"], ["small", "large", "base"], id="texts-as-they-came"),
            pytest.param(["auto", 2, None, 1, True], ["1", "2", "auto", "None", "True"], id="numbers-first"),
            pytest.param([1, "1", True, "True"], ["1", '"1"', "True", '"True"'], id="different-types"),
            pytest.param([1, 1.0, True], ["1", "True"], id="equal-numbers-are-one"),
            pytest.param(["", "a"], ['""', "a"], id="empty"),
            pytest.param([[1, 2], {"ä": None}], ["[1, 2]", '{"ä": null}'], id="lists-and-mappings"),
            pytest.param([10**30, -0.5], ["-0.5", str(10**30)], id="large"),
        ],
    )
    def test_order_and_text(self, values: list[Any], shown: list[str]) -> None:
        tests = results(value=values)
        assert rows(pivot(tests, metric="accuracy", rows="value")) == shown
        assert cols(pivot(tests, metric="accuracy", cols="value")) == shown

    def test_the_value_itself_is_kept(self) -> None:
        table = pivot(results(value=["1", 1, [2]]), metric="accuracy", rows="value")
        assert [label.value for label in table.row_labels] == [1, "1", [2]]

    def test_ids_are_never_read(self) -> None:
        """Whatever they look like, in a file whose name has brackets."""
        tests = [result(f"a[lr=9].py::test_a[lr=7-x::y{n}]", {"lr": n}, accuracy=n) for n in (1, 2)]
        table = pivot(tests, metric="accuracy")
        assert (rows(table), table.names_tests) == (["1", "2"], False)
        assert [label.test for label in table.row_labels] == ["test_a", "test_a"]


class TestChoice:
    """Which parameters, which tests."""

    def test_the_first_two_that_vary_are_taken(self) -> None:
        table = pivot(results(model=["a"], lr=[1, 2], size=[8, 16], seed=[0, 1]), metric="accuracy")
        assert (table.rows, table.cols, table.over) == ("lr", "size", {"seed": 2})

    def test_one_that_varies_makes_one_column(self) -> None:
        table = pivot(results(lr=[1, 2], model=["a"]), metric="accuracy")
        assert (table.rows, table.cols, means(table)) == ("lr", None, [[1], [2]])

    def test_rows_alone_make_one_column_and_columns_alone_one_row(self) -> None:
        tests = results(lr=[1, 2], size=[8, 16])
        assert means(pivot(tests, metric="accuracy", rows="lr")) == [[1.5], [3.5]]
        assert means(pivot(tests, metric="accuracy", cols="size")) == [[2, 3]]

    def test_tests_without_parameters_have_a_row_each(self) -> None:
        tests = [result("a.py::test_one", {}, accuracy=1), result("a.py::test_two", {}, accuracy=2)]
        table = pivot(tests, metric="accuracy")
        assert [label.test for label in table.row_labels] == ["test_one", "test_two"]
        assert (means(table), table.caption) == ([[1], [2]], "accuracy by test: one result each")
        assert (table.names_tests, table.notes) == (True, [])

    def test_without_a_common_parameter_tests_have_a_row_each_and_it_is_said(self) -> None:
        tests = [*results(lr=[1, 2]), *results("b.py::test_k", kernel=["rbf"])]
        table = pivot(tests, metric="accuracy")
        assert [label.test for label in table.row_labels] == ["test_lr[1]", "test_lr[2]", "test_k[1]"]
        assert "name one with --rows, or choose tests with --test" in table.notes[0]

    def test_functions_are_not_averaged_with_each_other(self) -> None:
        """Each has rows of its own; one of the same name in another file is told apart by the file."""
        tests = [t for file in "abc" for t in results(f"{file}.py::test_{'x' if file < 'c' else 'y'}", lr=[1, 2])]
        table = pivot([*tests, *results("c.py::test_y", lr=[3])], metric="accuracy", rows="lr")
        assert [(label.test, label.text) for label in table.row_labels] == [
            ("a.py::test_x", "1"), ("a.py::test_x", "2"), ("b.py::test_x", "1"), ("b.py::test_x", "2"),
            ("test_y", "1"), ("test_y", "2"), ("test_y", "3"),
        ]  # fmt: skip
        assert table.names_tests

    def test_a_text_of_the_id_chooses_tests(self) -> None:
        tests = [*results(lr=[1, 2]), *results("b.py::test_k", kernel=["rbf", "linear"])]
        assert rows(pivot(tests, metric="accuracy", test="test_k")) == ["rbf", "linear"]

    def test_results_without_the_parameters_are_left_out_and_said(self) -> None:
        tests = [*results(lr=[1, 2]), *results("b.py::test_k", kernel=["rbf"])]
        table = pivot(tests, metric="accuracy", rows="lr")
        assert rows(table) == ["1", "2"]
        assert table.notes == ["left out: 1 of 3 results, without these parameters (test_k)"]


class TestUnits:
    """Units of a metric."""

    def test_one_unit_is_told_once(self) -> None:
        tests = [result(f"t.py::t[{n}]", {"lr": n}, unit="TFLOP/s", rate=n) for n in range(2)]
        table = pivot(tests, metric="rate")
        assert (table.unit, table.caption) == ("TFLOP/s", "rate in TFLOP/s by lr: one result each")

    def test_different_units_of_different_cells_are_kept(self) -> None:
        tests = [result(f"{unit}.py::t_{unit}[1]", {"lr": 1}, unit=unit, time=1) for unit in ("s", "ms")]
        table = pivot(tests, metric="time", rows="lr")
        assert [cell.unit for row in table.cells for cell in row if cell] == ["s", "ms"]
        assert (table.unit, table.caption) == (None, "time by lr: one result each")

    def test_different_units_have_no_mean(self) -> None:
        tests = [result(f"t.py::t[{unit}]", {"lr": 1, "in": unit}, unit=unit, time=1) for unit in ("s", "")]
        with pytest.raises(UsageProblem, match=r"'time' of t.py::t is in different units \(none, s\).*as rows or"):
            pivot(tests, metric="time", rows="lr")


SUITE = [*results(lr=[1, 2], size=[8]), *results("b.py::test_k", kernel=["rbf"]), result("c.py::bare", {}, loss=1)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metric": "acuracy"}, "no test recorded a metric 'acuracy'; the metrics there are: accuracy, loss"),
        (
            {"metric": "accuracy", "rows": "lrr"},
            "no test .* a parameter 'lrr'; the parameters there are: lr, size, ker",
        ),
        ({"metric": "accuracy", "cols": ""}, "no test .* a parameter ''; the parameters"),
        ({"metric": "loss", "rows": "lr"}, "no test .* a parameter 'lr'; there are no parameters"),
        ({"metric": "accuracy", "rows": "lr", "cols": "kernel"}, "no test with this metric has both 'lr' and 'kernel'"),
        ({"metric": "accuracy", "rows": "lr", "cols": "lr"}, "rows and columns are both 'lr': name two"),
        ({"metric": "accuracy", "test": "zzz"}, "no test of this report has 'zzz' in its id"),
    ],
)
def test_what_is_not_there_is_refused_with_what_there_is(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        pivot(SUITE, **asked)


@pytest.mark.parametrize(
    ("tests", "message"),
    [([], "this report has no tests"), ([result("a.py::bare", {})], "there are no metrics")],
)
def test_a_report_without_metrics_is_refused(tests: list[Test], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        pivot(tests, metric="accuracy")


def test_of_very_many_names_an_error_has_the_first() -> None:
    tests = [result("a.py::test", {}, "passed", "", **{f"m{number}": 1 for number in range(100)})]
    with pytest.raises(UsageProblem, match=r"m0, m1, .*, m29, … \(100 in all\)$"):
        pivot(tests, metric="other")

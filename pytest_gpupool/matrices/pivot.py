"""Pivot: a metric over two parameters of the tests that recorded it, means over the others.

Pure: standard library only, no clock, no files. Parameters are those that a report has of each test, never what an id
looks like. Test functions are never averaged with each other: each has rows of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean, stdev
from typing import Any

from ..values.errors import UsageProblem
from ..values.nodeids import function_of, name_of
from ..values.outcomes import FAILED
from .labels import distinct, key_of, labels_of
from .table import Cell, Number, Table

Test = Mapping[str, Any]

_MOST_NAMES = 30  # of what there is, in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """One test's value of the metric, None where that is not finite; the unit is None where it recorded none.

    ``spread`` is the standard deviation between its repeats, where it was measured several times.
    """

    test: str
    function: str
    params: Mapping[str | None, Any]
    outcome: str
    value: Number | None
    unit: str | None
    spread: float | None = None


def pivot(
    tests: Sequence[Test], *, metric: str, rows: str | None = None, cols: str | None = None, test: str | None = None
) -> Table:
    """Return a metric of a report's tests, by one or two of their parameters.

    Where neither ``rows`` nor ``cols`` is given these are the first two parameters that all tests with the metric have,
    and that vary; where there is none, each test has a row. ``test`` keeps tests with that text in their id.

    Raises:
        UsageProblem: there is no such metric, parameter or test, or results in different units would make one mean.
    """
    asked = [one for one in tests if test is None or test in one["nodeid"]]
    if not asked:
        raise UsageProblem(f"no test of this report has {test!r} in its id" if tests else "this report has no tests")
    results = _results(asked, metric)
    if rows is None and cols is None:
        rows, cols = _first_two(results)
    kept = _with_params(results, rows, cols)
    notes = [*_left_out(results, kept), *_notes(kept, metric)]
    if rows is None and cols is None and any(result.params for result in results):
        notes.append("no parameter varies in all of these tests: name one with --rows, or choose tests with --test")
    return _table(metric, kept, rows, cols, notes)


def _results(tests: Sequence[Test], metric: str) -> list[_Result]:
    """Return the results of the functions that recorded the metric, also of those that came to nothing."""
    # A test may be there more than once, as with --dist each: what tells it from another is its place.
    own = [next((one for one in test["metrics"] if one["name"] == metric), None) for test in tests]
    functions = {function_of(test["nodeid"]) for test, one in zip(tests, own, strict=True) if one is not None}
    if not functions:
        names = dict.fromkeys(one["name"] for test in tests for one in test["metrics"])
        raise UsageProblem(f"no test recorded a metric {metric!r}; {_there_are('metrics', names)}")
    return [
        _Result(
            test=test["nodeid"],
            function=function,
            params=test["params"],
            outcome=test["outcome"],
            value=None if one is None else one["value"],
            unit=None if one is None else one["unit"],
            spread=((one or {}).get("repeated") or {}).get("spread"),
        )
        for test, one in zip(tests, own, strict=True)
        if (function := function_of(test["nodeid"])) in functions
    ]


def _first_two(results: Sequence[_Result]) -> tuple[str | None, str | None]:
    recorded = [result for result in results if result.unit is not None]
    common = [name for name in recorded[0].params if all(name in result.params for result in recorded)]
    vary = [name for name in common if len(_values(name, results)) > 1]
    first, second, *_ = (*vary, None, None)
    return first, second


def _with_params(results: Sequence[_Result], rows: str | None, cols: str | None) -> list[_Result]:
    """Return the results that have the parameters asked for."""
    asked = [name for name in (rows, cols) if name is not None]
    known = dict.fromkeys(str(name) for result in results if result.unit is not None for name in result.params)
    there_are = _there_are("parameters", known)
    for name in asked:
        if name not in known:
            raise UsageProblem(f"no test with this metric has a parameter {name!r}; {there_are}")
    if len(set(asked)) < len(asked):
        raise UsageProblem(f"rows and columns are both {rows!r}: name two parameters, or one of them only; {there_are}")
    kept = [result for result in results if all(name in result.params for name in asked)]
    if not kept:
        raise UsageProblem(f"no test with this metric has both {rows!r} and {cols!r}; {there_are}")
    return kept


def _table(metric: str, results: Sequence[_Result], rows: str | None, cols: str | None, notes: Sequence[str]) -> Table:
    is_by_params = rows is not None or cols is not None
    tests = _row_tests(results, by_function=is_by_params)
    row_labels, col_labels = labels_of(_values(rows, results)), labels_of(_values(cols, results))
    found: dict[tuple[str, Hashable, Hashable], list[_Result]] = {}
    for result in results:
        place = (tests[result.test], key_of(result.params.get(rows)), key_of(result.params.get(cols)))
        found.setdefault(place, []).append(result)
    there = {place[:2] for place in found}
    # What one function has no result of is no row of it.
    places = [(name, key) for name in dict.fromkeys(tests.values()) for key in row_labels if (name, key) in there]
    return Table(
        metric=metric,
        rows=rows,
        cols=cols,
        row_labels=[replace(row_labels[key], test=name) for name, key in places],
        col_labels=list(col_labels.values()),
        cells=[[_cell(metric, found.get((name, key, col), ())) for col in col_labels] for name, key in places],
        names_tests=not is_by_params or len(set(tests.values())) > 1,
        over=_over(found.values(), {rows, cols}),
        notes=notes,
    )


def _cell(metric: str, results: Sequence[_Result]) -> Cell | None:
    values = [result.value for result in results if result.value is not None]
    units = sorted({result.unit for result in results if result.unit is not None})
    if len(units) > 1:
        raise UsageProblem(
            f"metric {metric!r} of {results[0].function} is in different units "
            f"({', '.join(unit or 'none' for unit in units)}), of which there is no mean: "
            "take the parameter by which they differ as rows or columns"
        )
    spreads = [result.spread for result in results if result.value is not None]
    sd = spreads[0] if len(values) == 1 else _deviation(values)
    return Cell(mean=_mean(values), count=len(values), unit=units[0], sd=sd) if values else None


def _deviation(values: Sequence[Number]) -> float | None:
    try:
        return stdev(values) if len(values) > 1 else None
    except OverflowError:  # an int may be of any size
        return None


def _mean(values: Sequence[Number]) -> Number:
    if len(values) == 1:
        return values[0]  # as it was recorded, an int of any size
    try:
        return fmean(values)
    except OverflowError:
        exact = sum(map(Fraction, values), Fraction()) / len(values)
        return float(exact) if any(isinstance(value, float) for value in values) else int(exact)


def _over(cells: Iterable[Sequence[_Result]], shown: set[str | None]) -> dict[str, int]:
    over: dict[str, int] = {}
    for results in cells:
        used = [result for result in results if result.value is not None]
        for name in dict.fromkeys(name for result in used for name in result.params if name not in shown):
            if (number := len(_values(name, used))) > 1:
                over[str(name)] = max(number, over.get(str(name), 0))
    return over


def _values(name: str | None, results: Iterable[_Result]) -> list[Any]:
    """Return the different values of a parameter; of none, the one value None."""
    if name is None:
        return [None]
    return list(distinct(result.params[name] for result in results if name in result.params).values())


def _row_tests(results: Sequence[_Result], *, by_function: bool) -> dict[str, str]:
    """Return what rows call a test, or its function, by the test's id: without the file where that is clear."""
    names = {result.test: result.function if by_function else result.test for result in results}
    tails = {name: name_of(name) for name in names.values()}
    count = Counter(tails.values())
    return {test: tails[name] if count[tails[name]] == 1 else name for test, name in names.items()}


def _left_out(results: Sequence[_Result], kept: Sequence[_Result]) -> list[str]:
    there = set(map(id, kept))
    every = [result for result in results if result.unit is not None]
    lost = [result for result in every if id(result) not in there]
    names = dict.fromkeys(name_of(result.function) for result in lost)
    whole = f"{len(lost)} of {len(every)} results, without these parameters ({_few(names)})"
    return [f"left out: {whole}"] if lost else []


def _notes(results: Sequence[_Result], metric: str) -> list[str]:
    notes = []
    recorded = [result for result in results if result.unit is not None]
    if lost := sum(result.value is None for result in recorded):
        notes.append(f"left out: {lost} of {len(recorded)} results, not finite")
    if bad := _outcomes(result for result in recorded if result.outcome in FAILED):
        notes.append(f"some results are of tests that did not pass: {bad}")
    if rest := _outcomes(result for result in results if result.unit is None):
        notes.append(f"tests that recorded no {metric}: {rest}")
    return notes


def _outcomes(results: Iterable[_Result]) -> str:
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def _there_are(what: str, names: Iterable[str]) -> str:
    known = _few(names)
    return f"the {what} there are: {known}" if known else f"there are no {what}"


def _few(names: Iterable[str]) -> str:
    known = list(names)
    more = f", … ({len(known)} in all)" if len(known) > _MOST_NAMES else ""
    return ", ".join(known[:_MOST_NAMES]) + more

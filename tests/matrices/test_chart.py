"""The chart of a table of means."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from pytest_gpupool.matrices import chart
from pytest_gpupool.matrices.pivot import pivot
from pytest_gpupool.matrices.table import Table
from pytest_gpupool.values.errors import UsageProblem

SVG = "{http://www.w3.org/2000/svg}"


def table(values: dict[tuple[Any, Any], float], metric: str = "time") -> Table:
    """Of tests with the parameters ``size`` and ``model``."""
    tests = [
        {
            "nodeid": f"t.py::test_a[{number}]",
            "params": {"size": size, "model": model},
            "outcome": "passed",
            "metrics": [{"name": metric, "value": value, "unit": "s"}],
        }
        for number, ((size, model), value) in enumerate(values.items())
    ]
    return pivot(tests, metric=metric, rows="size", cols="model")


def points(picture: str) -> list[list[tuple[float, float]]]:
    """The places of each line."""
    lines = ElementTree.fromstring(picture).iter(f"{SVG}polyline")
    return [
        [(float(x), float(y)) for x, y in (one.split(",") for one in line.get("points", "").split())] for line in lines
    ]


def test_a_power_law_is_a_straight_line_on_logarithmic_axes() -> None:
    """And the more the higher up."""
    values = {(size, "a"): 3.0 * size**2 for size in (1, 10, 100)} | {(size, "b"): 1.0 * size for size in (1, 10, 100)}
    steep, flat = points(chart.svg(table(values), is_log=True))
    for (x1, y1), (x2, y2), (x3, y3) in (steep, flat):
        assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
        assert y2 - y1 == pytest.approx(y3 - y2, abs=0.2)
        assert x1 < x2 < x3
        assert y1 > y2 > y3
    (first, second, third), _ = points(chart.svg(table(values), is_log=False))
    assert second[0] - first[0] < third[0] - second[0]


def test_texts_stand_side_by_side() -> None:
    """Also where numbers would be logarithmic."""
    values = {("small", "a"): 1.0, ("large", "a"): 2.0}
    for is_log in (False, True):
        ((x1, y1), (x2, y2)) = points(chart.svg(table(values), is_log=is_log))[0]
        assert x1 < x2
        assert y1 > y2


def test_what_has_no_place_is_told() -> None:
    """A logarithm of 0, and nothing at all."""
    with pytest.raises(UsageProblem, match="--log: time has values that are not above 0"):
        chart.svg(table({(1, "a"): 0.0, (2, "a"): 1.0}), is_log=True)
    with pytest.raises(UsageProblem, match="there is no value of time to plot"):
        chart.svg(table({(1, "a"): None}), is_log=False)  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["a & b < c > \"d\" 'e'", "\0\x1b\ud800\uffff", "x" * 1000, ""])
def test_it_is_xml_whatever_is_in_it(name: str) -> None:
    """Cut where it is long, with a mark for what XML cannot carry; one value alone has a place, too."""
    picture = chart.svg(table({(name, name): 1.0}), is_log=False)
    ElementTree.fromstring(picture.encode())
    chart.svg(table({(1, "a"): 1e300, (2, "a"): -1e300, (3, "a"): 5e-324}), is_log=False).encode()

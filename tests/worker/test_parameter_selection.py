"""``--gpupool-select``: which values a condition holds for."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.worker.choosing.selection import conditions


@pytest.mark.parametrize(
    ("expression", "value", "holds"),
    [
        ("x=0.001", 1e-3, True),
        ("x==1e-3", 0.001, True),
        ("x=1", 1, True),
        ("x=1", 1.0, True),
        ("x=1", True, False),
        ("x=true", True, True),
        ("x=True", True, True),
        ("x=None", None, True),
        ("x=null", None, True),
        ("x=a", "a", True),
        ("x=1", "1", True),
        ("x=a b", "a b", True),
        ("x!=a", "b", True),
        ("x!=0.1", 0.1, False),
        ("x<=1", 1, True),
        ("x<1", 1, False),
        ("x>.5", 1, True),
        ("x>=2", 1, False),
        ("x<1", "0", False),
        ("x=0.1,x<1", 0.1, True),
        ("x=0.1, x > 1", 0.1, False),
    ],
)
def test_a_condition_holds(expression: str, value: Any, holds: bool) -> None:
    """Numbers by their value, all else as it is written."""
    assert all(one.holds({"x": value}) for one in conditions(expression)) is holds


def test_what_a_test_has_not_is_nothing() -> None:
    """Neither equal nor unequal."""
    assert not any(conditions(text)[0].holds({"y": 1}) for text in ("x=1", "x!=1", "x<1"))


@pytest.mark.parametrize("text", ["", "x", "=1", "x=", "x=1,", "x~1", ",x=1"])
def test_what_is_no_expression(text: str) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match=r".*"):
        conditions(text)

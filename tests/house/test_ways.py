"""Which tests run without --long: each in one of its ways, and none in no way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ways

NAMES = [f"test_{letter}" for letter in "abcdefghijklmnopqrst"]


def items(name: str, parameter: str, *values: object, marks: tuple[str, ...] = (), **others: object) -> list[Any]:
    """A test's items, as pytest collects them, with that parameter."""
    return [
        SimpleNamespace(
            nodeid=f"tests/test_it.py::{name}[{value}-{others}]",
            callspec=SimpleNamespace(params={parameter: value, **others}),
            get_closest_marker=lambda mark: mark if mark in marks else None,
        )
        for value in values
    ]


def test_each_test_runs_in_one_of_its_ways() -> None:
    """All ways have tests; the same are chosen in any order, since workers compare what they have collected."""
    found = [items(name, "workers", (), ("-n1",), ("-n", "2")) for name in NAMES]
    collected = [item for group in found for item in group]
    left = ways.left_out(collected)
    kept = [[item.callspec.params["workers"] for item in group if item not in left] for group in found]
    assert [len(one) for one in kept] == [1] * len(NAMES)
    assert {one[0] for one in kept} == {(), ("-n1",), ("-n", "2")}
    assert {item.nodeid for item in ways.left_out(collected[::-1])} == {item.nodeid for item in left}


def test_what_differs_in_anything_else_runs() -> None:
    """Other parameters, other values of such a parameter, one way alone, and what is marked."""
    alone = [items(name, "environ", "outside", "inside", kind=kind) for name in NAMES for kind in "xy"]
    left = ways.left_out([item for group in alone for item in group])
    assert len(left) == len(alone)
    for group in alone:
        assert len([item for item in group if item not in left]) == 1
    for one in (
        items("test_it", "args", (), ("-n2", "--dist=each"), ("-x",)),
        items("test_it", "workers", ("-n2",)),
        items("test_it", "text", "", "-n1"),
        items("test_it", "args", (), []),
        items("test_it", "workers", (), ("-n2",), marks=("every_way",)),
        items("test_it", "workers", (), ("-n2",), marks=("long",)),
    ):
        assert ways.left_out(one) == []

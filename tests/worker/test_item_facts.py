"""Item facts: what the controller hears of a test beside its id."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gpupool.worker.protocol.item_facts import facts_of, group_of, needs_of


class Item:
    """A test with these marks, and with fixtures by name: the scope, and the module of the code."""

    def __init__(self, *marks: pytest.Mark, fixtures: dict[str, tuple[str, str]] | None = None) -> None:
        self.nodeid = "test_a.py::test_b"
        self.marks = marks
        self.keywords = {mark.name for mark in marks}
        self._fixtureinfo = SimpleNamespace(
            names_closure=[*(fixtures or {})],
            name2fixturedefs={
                name: [
                    SimpleNamespace(
                        argname=name,
                        scope=scope,
                        func=SimpleNamespace(__module__=module),
                        baseid=module,
                        argnames=(),
                    )
                ]
                for name, (scope, module) in (fixtures or {}).items()
            },
        )

    def getparent(self, kind: type) -> Any:
        """As pytest's: the module that it is in."""
        return SimpleNamespace(nodeid="test_a.py") if kind is pytest.Module else None

    def iter_markers(self, name: str) -> Iterator[pytest.Mark]:
        """As pytest's."""
        return (mark for mark in self.marks if mark.name == name)


def marked(**keys: Any) -> Any:
    return Item(pytest.mark.gpupool(**keys).mark)


@pytest.mark.parametrize(
    ("item", "needs"),
    [
        (Item(), {}),
        (marked(gpus=1, priority=0), {}),
        (marked(gpus=2, lock="port"), {"gpus": 2, "lock": ("port",)}),
        (marked(timeout=1.5, serial=True, stage=1), {"timeout": 1.5, "serial": True, "stage": 1}),
        (marked(memory="1GiB"), {"memory": 1024**3}),
        (marked(memory=0.5), {}),
        (marked(gpus="many"), {}),
    ],
    ids=["no-mark", "the-usual", "gpus-lock", "others", "bytes", "a-part-of-any-device", "no-sense"],
)
def test_only_what_is_unusual_is_told(item: Any, needs: dict[str, Any]) -> None:
    """A part of a device's memory is the same on every device; a mark without sense is said when the test is set up."""
    assert needs_of(item) == needs


@pytest.mark.parametrize(
    ("marks", "group"),
    [
        ([], None),
        ([pytest.mark.xdist_group("b").mark], "b"),
        ([pytest.mark.xdist_group(name="a").mark, pytest.mark.xdist_group("b").mark], "a_b"),
        ([pytest.mark.xdist_group().mark], "default"),
    ],
)
def test_groups_have_xdists_names(marks: list[pytest.Mark], group: str | None) -> None:
    """Several become one."""
    item: Any = Item(*marks)
    assert group_of(item) == group


def test_what_several_tests_share_is_told_once() -> None:
    """Not pytest's own fixtures, nor those of one test."""
    wide: Any = Item(
        fixtures={
            "model": ("module", "conftest"),
            "tmp_path_factory": ("session", "_pytest.tmpdir"),
            "number": ("function", "test_a"),
        }
    )
    items = [wide, Item(fixtures={"number": ("function", "test_a")}), wide]
    told = facts_of(items, grouped=True, order_is_promised=False, whole_collection=None).told()
    assert told == {
        "requirements": {},
        "groups": {},
        "fixtures": {0: ["model", "conftest", "", "test_a.py"]},
        "families": {0: [0]},
        "set_ups": {0: 0, 2: 0},
    }


def test_groups_are_told_where_they_count() -> None:
    """Which is with --dist loadgroup."""
    items: Any = [Item(), Item(pytest.mark.xdist_group("g").mark)]
    assert facts_of(items, grouped=False, order_is_promised=False, whole_collection=None).told()["groups"] == {}
    assert facts_of(items, grouped=True, order_is_promised=False, whole_collection=None).told()["groups"] == {1: "g"}

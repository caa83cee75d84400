"""Item facts: what a worker tells of its tests, because the controller needs it for planning and no id says it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from ...values.errors import MarkerProblem
from ...values.messages import Collected, Items
from ...values.requirement import USUAL
from ...values.wide_fixture import WideFixture
from ..items.markers import requirement_of
from ..items.wide_fixtures import WideFixtures


def collected(items: Sequence[pytest.Item]) -> Collected:
    """Return the message that these tests were collected."""
    ids = [item.nodeid for item in items]
    return Collected(_digest(ids), _digest(sorted(ids)), len(ids))


def facts_of(
    items: Sequence[pytest.Item],
    *,
    grouped: bool,
    order_is_promised: bool,
    whole_collection: str | None,
    part: str | None = None,
) -> Items:
    """Return the message about the tests that were collected. ``grouped``: with ``--dist loadgroup``."""
    groups = enumerate(map(group_of, items)) if grouped else ()
    return Items.of(
        [item.nodeid for item in items],
        whole_collection,
        order_is_promised=order_is_promised,
        part=part,
        requirements={index: needs for index, item in enumerate(items) if (needs := needs_of(item))},
        groups={index: group for index, group in groups if group},
        **set_ups(items),
    )


def needs_of(item: pytest.Item) -> dict[str, Any]:
    """Return what the test needs of devices and order, as far as it counts for planning and is not the usual."""
    try:
        requirement = requirement_of(item)
    except MarkerProblem:
        return {}  # said when the test is set up
    return {} if requirement == USUAL else requirement.to_wire()


def group_of(item: pytest.Item) -> str | None:
    """Return the name of the test's ``xdist_group``, by xdist's rules."""
    names = {
        str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
        for mark in item.iter_markers("xdist_group")
    }
    return "_".join(sorted(names)) or None


def set_ups(items: Sequence[pytest.Item]) -> dict[str, dict[int, Any]]:
    """Return what tests share: ``fixtures`` by number, ``families`` of these by number, and each test's family.

    The tests that share the same have one family between them, and those that share nothing have none.
    """
    finder = WideFixtures()
    fixtures: dict[WideFixture, int] = {}
    families: dict[tuple[WideFixture, ...], int] = {}
    by_test: dict[int, int] = {}
    for index, item in enumerate(items):
        if family := finder.of(item):
            by_test[index] = families.setdefault(family, len(families))
    members = {
        number: [fixtures.setdefault(one, len(fixtures)) for one in family] for family, number in families.items()
    }
    return {
        "fixtures": {number: list(fixture) for fixture, number in fixtures.items()},
        "families": members,
        "set_ups": by_test,
    }


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(ids).encode(errors="surrogatepass")).hexdigest()

"""Item facts: what a worker tells of its tests, because the controller needs it for planning and no id says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ...foreign.pytest_names import fixture_info, fixtures_of, parameter_numbers_of
from ...values.errors import MarkerProblem
from ...values.messages import Items
from ...values.requirement import USUAL
from ..items import requirement_of


def facts_of(items: Sequence[pytest.Item], *, grouped: bool, whole_collection: str | None) -> Items:
    """Return the message about the tests that were collected. ``grouped``: with ``--dist loadgroup``."""
    groups = enumerate(map(group_of, items)) if grouped else ()
    return Items.of(
        whole_collection,
        requirements={index: needs for index, item in enumerate(items) if (needs := needs_of(item))},
        groups={index: group for index, group in groups if group},
        warm={index: warm for index, warm in enumerate(warmth(items)) if warm},
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


def warmth(items: Sequence[pytest.Item]) -> Iterator[str | None]:
    """Yield for each test what it shares with those that use the same set-up fixtures, None where that is nothing.

    These are the fixtures of its module, class or session that some code of the tests has, with their parameters.
    """
    known: dict[int, tuple[str, ...]] = {}
    for item in items:
        info = fixture_info(item)
        if info is None:
            yield None
            continue
        wide = known.get(id(info))
        if wide is None:
            wide = known[id(info)] = tuple(_wide_fixtures(info))
        indices = parameter_numbers_of(item) if wide else {}
        chosen = [f"{name}{indices.get(name, '')}" for name in wide]
        yield f"{item.nodeid.split('::', 1)[0]}|{'|'.join(chosen)}" if chosen else None


def _wide_fixtures(info: Any) -> Iterator[str]:
    for fixture in fixtures_of(info):
        # Those of pytest and ours cost nothing.
        if fixture.scope != "function" and not fixture.module.startswith(("_pytest.", "pytest_gpupool.")):
            yield fixture.name

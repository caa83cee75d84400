"""Order: whether something has ordered the tests otherwise than pytest does, and so promises that order."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from ...foreign.pytest_names import as_fixtures_order
from ..items.repeats import origin_of


class Order:
    """Sees it where tests are collected: ``--ff``, ``--sw``, pytest-randomly, pytest-order, a conftest.py."""

    def __init__(self) -> None:
        self.is_promised = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Compare the order of the tests that stay with the one in which they were found."""
        found = list(items)
        result = yield
        there = list(dict.fromkeys(map(origin_of, items)))
        left = set(there)
        kept = [item for item in found if item in left]
        self.is_promised = kept != there and as_fixtures_order(kept) != there
        return result

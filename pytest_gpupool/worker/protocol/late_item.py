"""The late item: stands for a worker's next test, which is asked for only when somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ...processes.own import clock


class LateItem:
    """Given to pytest as the next item.

    ``ask`` is called once; it may wait for the controller. ``is_told`` says whether it would not; then it is settled.
    pytest looks when it tears down (``SetupState.teardown_exact``); by then the present test is nearly over. Where
    ``ask`` gives the present test itself no next one is known yet: then this looks like another test of its place,
    for which nothing but what is the present one's alone is torn down.
    """

    def __init__(
        self, present: pytest.Item, ask: Callable[[], pytest.Item | None], is_told: Callable[[], bool] = lambda: False
    ) -> None:
        self._present = present
        self._ask = ask
        self._is_told = is_told
        self._known = False
        self._item: pytest.Item | None = None
        self.waited = 0.0
        """The seconds that the answer took, which are not the present test's."""

    def is_ready(self) -> bool:
        """Return whether the next test is known, or is now, without waiting for anybody."""
        return self._known or self._is_told()

    def resolve(self) -> pytest.Item | None:
        """Return the next test, None where there is none; asks once."""
        if not self._known:
            began = clock.monotonic()
            self._item = self._ask()
            self.waited = clock.monotonic() - began
            self._known = True
        return self._item

    def listchain(self) -> list[Any]:
        """Return the nodes from the session down to the next test."""
        item = self.resolve()
        if item is self._present:
            return item.listchain()[:-1]
        return [] if item is None else item.listchain()

    def __bool__(self) -> bool:
        return self.resolve() is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.resolve(), name)

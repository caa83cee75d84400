"""The late item: stands for a worker's next test, which is asked for only when somebody looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest


class LateItem:
    """Given to pytest as the next item. ``ask`` is called once; it may wait for the controller.

    pytest looks when it tears down (``SetupState.teardown_exact``); by then the present test is nearly over.
    """

    def __init__(self, ask: Callable[[], pytest.Item | None]) -> None:
        self._ask = ask
        self._known = False
        self._item: pytest.Item | None = None
        self.waited = 0.0
        """The seconds that the answer took, which are not the present test's."""

    def resolve(self) -> pytest.Item | None:
        """Return the next test, None where there is none; asks once."""
        if not self._known:
            began = time.perf_counter()
            self._item = self._ask()
            self.waited = time.perf_counter() - began
            self._known = True
        return self._item

    def __bool__(self) -> bool:
        return self.resolve() is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.resolve(), name)

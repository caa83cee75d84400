"""Xdist's program in a worker, as far as our interactor builds on it. Seen in pytest-xdist 3.7.0 and 3.8.0."""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest
from xdist.remote import Marker, setup_config

SHUTDOWN: Any = Marker.SHUTDOWN
"""What the queue of tests and the channel give at their end."""


class TestQueue(Protocol):
    """The tests that the controller has given to a worker, by number, as another thread hears of them."""

    def get(self) -> Any:
        """Wait for the next one, or for the end, and take it out."""

    def put(self, item: Any) -> None:
        """Put something at the end."""

    def lock(self) -> AbstractContextManager[deque[Any]]:
        """Look at them, and change them, while nobody else can."""


def queue_of(interactor: Any) -> TestQueue:
    """Return the queue of xdist's ``WorkerInteractor``."""
    queue: TestQueue = interactor.torun
    return queue


def prepare(config: pytest.Config, workerinput: dict[str, Any], basetemp: str | None) -> None:
    """Make pytest's configuration a worker's, as xdist's program does before it makes its interactor."""
    setup_config(config, basetemp)
    config.workerinput = workerinput  # type: ignore[attr-defined]
    config.workeroutput = {}  # type: ignore[attr-defined]

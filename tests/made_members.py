"""Workers, as tests of the controller's side make them up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pytest_gpupool.distribution.workers.member import Member, Shape

PROCESS: Any = None
"""A worker's process, which nobody asks anything."""


class Node:
    """A worker as xdist knows it."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shut_down = 0

    def shutdown(self) -> None:
        """As xdist's."""
        self.shut_down += 1


def member(name: str, *places: int, gpus: int = 1) -> Member:
    """One that was just started."""
    return Member(Node(name), PROCESS, places, Shape(gpus=gpus))

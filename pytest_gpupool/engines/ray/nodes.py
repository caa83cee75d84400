"""Nodes: the hosts of a Ray cluster, and what of them a run can use."""

from __future__ import annotations

from typing import NamedTuple


class Node(NamedTuple):
    """A host of the cluster."""

    gpus: int
    lacks: str
    """Which argument of the user asks for more than it has: no worker can be there; see :meth:`Site.lacks`."""

"""The roster: every worker of the run, those that have ended too."""

from __future__ import annotations

import itertools
from collections.abc import Collection

from xdist.workermanage import WorkerController

from .member import Member


class Roster:
    """The run's workers by name."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}

    def add(self, member: Member) -> None:
        """A worker is about to be started."""
        self._members[member.name] = member

    def find(self, node: WorkerController) -> Member | None:
        """Return what is known of xdist's worker, None where its start failed before we heard of it."""
        return self._members.get(node.gateway.id)

    def of(self, node: WorkerController) -> Member:
        """Return what is known of xdist's worker."""
        return self._members[node.gateway.id]

    def named(self, name: str) -> Member:
        """Return what is known of the worker of that name."""
        return self._members[name]

    def everyone(self) -> Collection[Member]:
        """Return the workers in the order of their starts."""
        return self._members.values()

    def present(self) -> list[Member]:
        """Return the workers that have not ended, with or without a lease."""
        return [member for member in list(self._members.values()) if not member.gone]

    def nodes(self) -> list[WorkerController]:
        """Return those that are present, as xdist knows them."""
        return [member.node for member in self.present()]

    def free_places(self, count: int) -> tuple[int, ...]:
        """Return so many places, one at least, that no worker has which goes on."""
        taken = {place for member in self.present() if not member.retired for place in member.places}
        free = (number for number in itertools.count() if number not in taken)
        return tuple(itertools.islice(free, max(1, count)))

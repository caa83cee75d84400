"""Collected tests: what the run will run, and who collected something else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest

from ..run.controller import Controller
from ..values import messages
from ..values.messages import Describe, Params
from ..worker.resume import WholeCollection
from .workers.member import Member
from .workers.roster import Roster


class CollectedTests:
    """Writes down the collection of the run, and has one worker tell its tests' parameters."""

    def __init__(self, controller: Controller, roster: Roster, workers_asked: int) -> None:
        self._controller = controller
        self._roster = roster
        self._workers_asked = workers_asked
        self._describer: Member | None = None  # that is to tell the parameters
        self._described = False

    def add(self, member: Member, tests: Sequence[str], whole_collection: str | None) -> None:
        """A worker's collection is what the run will run; the parameters follow, since they may take time."""
        whole = None if whole_collection is None else WholeCollection.from_wire(whole_collection)
        self._controller.collected(member.name, [(nodeid, {}) for nodeid in tests], whole)
        self._have_described(member)

    def describe(self, member: Member, params: Params) -> None:
        """A worker tells its tests' parameters."""
        self._described = True
        self._controller.records.write("collected", worker=member.name, tests=params.tests())

    def has_ended(self, member: Member) -> None:
        """A worker has ended: where it still owed the parameters, another is to tell them."""
        if self._describer is member and not self._described:
            self._have_described(next((other for other in self._roster.present() if other.collected), None))

    def exclude(self, member: Member, difference: str) -> None:
        """A worker's collection differs from the run's: it gets no tests, and where no other is left the run ends."""
        text = f"{member.name} collected other tests than the first worker and is left out:\n{difference}"
        member.excluded = True
        excluded = [other for other in self._roster.everyone() if other.excluded]
        others = [other for other in self._roster.present() if not other.excluded]
        # Those that are started in the place of others will hardly do better than all before them.
        if not others or (len(excluded) >= self._workers_asked and not any(other.collected for other in others)):
            self._controller.console.stop(f"{text}\nNo other worker is left.", pytest.ExitCode.TESTS_FAILED)
        self._controller.console.warn(text)

    def _have_described(self, member: Member | None) -> None:
        self._describer = member
        if member is not None:
            name, values = messages.to_command(Describe())
            with contextlib.suppress(OSError):  # it has died, which is heard next
                member.node.sendcommand(name, **values)

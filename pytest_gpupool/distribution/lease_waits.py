"""Patience: what the user is told of workers that wait for devices, and when waiting ends."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NoReturn

import pytest

from ..run.controller import Controller
from ..values.errors import EXIT_NO_LEASE
from .member import Member
from .nodes import Message


class Patience:
    """Ends the run, or ``go_on_without(gpus)``, where nobody works and nobody expects a device any more."""

    def __init__(
        self, controller: Controller, members: Collection[Member], go_on_without: Callable[[int], None]
    ) -> None:
        self._controller = controller
        self._members = members
        self._go_on_without = go_on_without
        self._lines_told: set[str] = set()

    def tell(self, text: str, blockers: list[str]) -> None:
        """Say that a worker waits, and for whom; of each holder once."""
        self._controller.console.tell(text)
        for line in blockers:
            # Every waiting worker meets the same holders; their times differ by moments.
            key = line.rpartition(" for ")[0] or line
            if key not in self._lines_told:
                self._lines_told.add(key)
                self._controller.console.tell(f"  {line}", label=False)

    def ends(self, member: Member, message: Message) -> None:
        """A worker has waited for as long as the user said."""
        told, member.expired = member.expired is not None, message
        self.reconsider()
        if told:
            self.tell(member.waits_text(), message["blockers"])

    def reconsider(self) -> None:
        """End the run where nobody works and those that wait have no patience left."""
        present = [member for member in self._members if not member.gone]
        hopes = [member.expired for member in present if member.leased or not member.retired]
        expired = [said for said in hopes if said is not None]
        # With --dist each every worker has tests of its own; else one that has a lease runs them all.
        each = self._controller.records.results.each
        if not expired or (len(expired) < len(hopes) and not each):
            return
        # What our own workers hold is free when their processes have ended, which takes its time.
        ours = {member.pid for member in self._members if member.leased and not each}
        if any(ours.intersection(said["pids"]) for said in expired):
            return
        larger = [member.gpus for member in present if member.expired and member.gpus > 1]
        blockers: list[str] = expired[-1]["blockers"]
        if larger and self._has_begun:
            self._controller.console.warn(self._in_vain_text(min(larger), blockers))
            self._go_on_without(min(larger))
        else:
            self.stop(self._controller.devices.no_lease_text(blockers))

    def stop(self, text: str) -> NoReturn:
        """End the run for want of a device; once it has begun the rest of it is merely not run."""
        # With --dist each, a worker without its first lease has run nothing of what is its own.
        failed = self._has_begun and not self._controller.records.results.each
        self._controller.console.stop(text, pytest.ExitCode.TESTS_FAILED if failed else EXIT_NO_LEASE)

    @property
    def _has_begun(self) -> bool:
        return any(member.leased for member in self._members)

    def _in_vain_text(self, gpus: int, blockers: list[str]) -> str:
        lines = "".join(f"\n  {line}" for line in blockers)
        return f"no {gpus} devices came free together in {self._controller.options.wait:g} s:{lines}"

"""Lease waits: what the user is told of workers that wait for devices, and when waiting ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import pytest

from ...run.controller import Controller
from ...values.errors import EXIT_NO_LEASE
from ...values.messages import Expired
from ...values.process_id import ProcessId
from .member import Member
from .roster import Roster


class LeaseWaits:
    """Ends the run, or says without what it goes on, where nobody works and nobody expects a device any more."""

    def __init__(self, controller: Controller, roster: Roster) -> None:
        self._controller = controller
        self._roster = roster
        self._lines_told: set[str] = set()

    def tell(self, text: str, blockers: Sequence[str]) -> None:
        """Say that a worker waits, and for whom; of each holder once."""
        self._controller.console.tell(text)
        for line in blockers:
            if _key(line) not in self._lines_told:
                self._lines_told.add(_key(line))
                self._controller.console.tell(f"  {line}", label=False)

    def has_expired(self, member: Member, message: Expired) -> int | None:
        """A worker has waited for as long as the user said; return what :meth:`reconsider` does."""
        said_before, member.expired = member.expired is not None, message
        in_vain = self.reconsider()
        if said_before:
            self.tell(member.waits_text(), message.blockers)
        return in_vain

    def reconsider(self) -> int | None:
        """End the run where nobody works and all that wait have waited long enough.

        Where only those for several devices wait, it goes on: return how many devices are not to be had together, None
        where nothing of that kind is known.
        """
        waits = self._hopeless_waits()
        if not waits:
            return None
        in_vain = all(said.is_barred for said in waits)
        blockers = _each_once([line for said in waits for line in said.blockers])
        larger = [member.shape.gpus for member in self._roster.present() if member.expired and member.shape.gpus > 1]
        if not larger or not self.has_begun:
            self.stop(self._controller.devices.no_lease_text(blockers, in_vain=in_vain))
        self._controller.console.warn(self._in_vain_text(min(larger), blockers, in_vain=in_vain))
        return min(larger)

    def stop(self, text: str) -> NoReturn:
        """End the run for want of a device; once it has begun the rest of it is merely not run."""
        # With --dist each, a worker without its first lease has run nothing of what is its own.
        failed = self.has_begun and not self._controller.records.results.each
        self._controller.console.stop(text, pytest.ExitCode.TESTS_FAILED if failed else EXIT_NO_LEASE)

    def _hopeless_waits(self) -> list[Expired]:
        """Return what workers said that have waited long enough, nothing while somebody may yet run tests."""
        may_run = [member for member in self._roster.present() if member.leased or not member.retired]
        expired = [member.expired for member in may_run if member.expired is not None]
        # With --dist each every worker has tests of its own; else one that has a lease runs them all.
        each = self._controller.records.results.each
        if len(expired) < len(may_run) and not each:
            return []
        # What our own workers hold is free when their processes have ended, which takes its time.
        ours = [member.identity for member in self._roster.everyone() if member.leased and not each]
        in_the_way = [ProcessId(*process) for said in expired for process in said.processes]
        return [] if any(_is_one_of(ours, process) for process in in_the_way) else expired

    @property
    def has_begun(self) -> bool:
        """Whether a worker has ever had its lease."""
        return any(member.leased for member in self._roster.everyone())

    def _in_vain_text(self, gpus: int, blockers: Sequence[str], *, in_vain: bool) -> str:
        lines = "".join(f"\n  {line}" for line in blockers)
        if in_vain:
            return f"no {gpus} devices can be leased together, however long one waits:{lines}"
        return f"no {gpus} devices came free together in {self._controller.options.wait:g} s:{lines}"


def _key(line: str) -> str:
    """What is the same where two workers meet one holder; for how long that one holds its device differs."""
    return line.rpartition(" for ")[0] or line


def _each_once(lines: Sequence[str]) -> list[str]:
    return list({_key(line): line for line in lines}.values())


def _is_one_of(ours: Sequence[ProcessId | None], process: ProcessId) -> bool:
    # Of one that ended a moment ago only the number is known.
    return process in ours or (not process.started and process.pid in {one.pid for one in ours if one is not None})

"""The inbox: what is done about messages and notices that are not about scheduling."""

from __future__ import annotations

import pytest
from xdist.workermanage import WorkerController

from ..values.messages import (
    Broken,
    Captures,
    Collected,
    DeviceFailed,
    Expired,
    Failed,
    Fewer,
    Gone,
    Heard,
    HeldUp,
    Items,
    Leased,
    LeftRunning,
    LetIn,
    Params,
    Poisoned,
    Records,
    Refused,
    Unplaced,
    Untold,
    Waiting,
    WrongUsage,
)
from ..values.process_id import ProcessId
from .parts import Parts
from .workers.engine_process import EngineWorkerProcess
from .workers.member import Member


class Inbox:
    """Hears what the schedulers pass on. Says ``True`` where the run has fewer devices since."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._controller = parts.controller

    def heard(self, node: WorkerController | None, heard: Heard) -> bool:
        """A worker, or one of the controller's threads, has something to say."""
        match heard:
            case WrongUsage(text):
                raise pytest.UsageError(text)  # pytest tells it as it does without workers
            case Fewer():
                return self._goes_without(self._parts.waits.reconsider())
            case Gone(worker, error):
                return self._is_lost(self._parts.roster.named(worker), error)
            case Unplaced(worker, why, has_expired):
                return self._is_unplaced(self._parts.roster.named(worker), why, has_expired=has_expired)
            case DeviceFailed(device, reason):
                return self._is_quarantined(device, reason)
            case Expired() if (member := self._present(node)) is not None:
                return self._goes_without(self._parts.waits.has_expired(member, heard))
            case LeftRunning(test, processes) if (member := self._present(node)) is not None:
                member.process.has_left_running([ProcessId(*process) for process in processes], test)
            case Captures(descriptors) if (member := self._present(node)) is not None and member.identity is not None:
                member.process.captures_into(member.identity.pid, descriptors)
            case Untold(worker):
                self._parts.collected.has_not_told(self._parts.roster.named(worker))
        if (member := self._present(node)) is not None:
            self._is_told(member, heard)
        return False

    def _is_told(self, member: Member, heard: Heard) -> None:
        controller, limits, waits = self._controller, self._parts.limits, self._parts.waits
        match heard:
            case Leased():
                self._has_lease(member, heard)
            case Waiting(blockers):
                waits.tell(member.waits_text(), blockers)
            case HeldUp(test, blockers):
                limits.pause(member.name, test)
                waits.tell(f"{member.name} waits for memory for {test}", blockers)
            case LetIn(test):
                limits.lets_in(member.name, test)
            case Poisoned():
                self._is_poisoned(member, heard)
            case Broken(text):
                controller.broken = True
                controller.console.warn(f"{member.name} did not end well: {text}")
            case Records(lines):
                for line in lines:
                    controller.records.take(line)
            case Collected() | Items() | Params():
                self._has_collected(member, heard)
            case Failed(text) if any(other.leased for other in self._parts.roster.present()):
                # The others' work is not to be lost for it.
                controller.console.warn(f"{member.name} is left out: {text}")
                member.retire()
            case Failed(text, status) | Refused(text, status):
                controller.console.stop(text, status)

    def _is_poisoned(self, member: Member, message: Poisoned) -> None:
        if not self._parts.retries.is_granted(message.test):  # else the summary tells of it
            self._controller.console.warn(f"{member.name} ran no more tests after {message.test}, since {message.why}")

    def _has_collected(self, member: Member, heard: Collected | Items | Params) -> None:
        match heard:
            case Collected():
                self._parts.collected.heard(member, heard)
            case Items():
                self._parts.collected.told(member, heard)
            case Params():
                self._parts.collected.describe(member, heard)

    def _present(self, node: WorkerController | None) -> Member | None:
        """Return the worker that says it, None where that is nobody or has ended."""
        member = None if node is None else self._parts.roster.of(node)
        return None if member is None or member.gone else member

    def _has_lease(self, member: Member, message: Leased) -> None:
        record = message.record
        member.leased, member.expired = True, None
        member.devices, member.stacks = tuple(record["devices"]), message.stacks
        member.identity = None if message.process is None else ProcessId(*message.process)
        self._controller.has_leased(record, message.devices)
        if isinstance(member.process, EngineWorkerProcess):
            member.process.holds(message.devices, self._controller.options.lock_dir)
        if record["lease_wait_s"] >= 1.0:
            waited, devices = record["lease_wait_s"], ", ".join(record["devices"])
            self._controller.console.tell(f"{record['worker']} leased {devices} after {waited:.0f} s")

    def _is_lost(self, member: Member, error: str | None) -> bool:
        """A worker is gone that is not replaced; one that has never begun may be the last that could."""
        if not member.never_began or member.retired:
            self._parts.session.lose(member.node, error)
            return False
        gpus, text = member.shape.gpus, f"{member.name} {error}"
        others = [other for other in self._parts.roster.present() if other is not member and not other.retired]
        if not others and (gpus < 2 or not self._parts.waits.has_begun):
            self._parts.waits.stop(text)
        self._controller.console.warn(f"{text}; the run goes on without it")
        # Before it is lost: in its place another one would be asked for at once, and refused as well.
        self._parts.capacity.refuse(member.shape)
        self._parts.session.lose(member.node, error)
        return gpus > 1 and not any(other.shape.gpus >= gpus for other in others) and self._goes_without(gpus)

    def _is_unplaced(self, member: Member, why: str, *, has_expired: bool) -> bool:
        if member.gone or member.leased:
            return False
        if has_expired:
            return self._goes_without(self._parts.waits.has_expired(member, Expired([why], [])))
        self._parts.waits.tell(member.waits_text(), [why])
        return False

    def _goes_without(self, gpus: int | None) -> bool:
        """Where so many devices together are not to be had: the run goes on with tests that need fewer."""
        if gpus is not None:
            self._parts.capacity.go_without(gpus)
        return gpus is not None

    def _is_quarantined(self, device: str, reason: str) -> bool:
        """A device is no good any more: the run goes on with the others, if there are any."""
        if not self._controller.devices.quarantine(device, reason):
            return False
        if not self._controller.devices.usable():
            self._parts.waits.stop("no device is left")
        return True

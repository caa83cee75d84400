"""The early line: what a worker says to the controller before pytest runs in it. Imports no pytest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ...foreign import xdist_protocol
from ...processes import table
from ...values import messages
from ...values.messages import CANCELLED, Delayed, Expired, Message, Waiting
from ...values.process_id import ProcessId

if TYPE_CHECKING:
    from ...leases.admission import Blocker

# How long a worker waits before it speaks of it, so that a moment's wait goes unmentioned.
_SILENT_SECONDS = 1.0


class EarlyLine:
    """Over execnet's channel; ``wait`` is how many seconds the user would have it wait for its lease."""

    def __init__(self, channel: Any, worker: str, wait: float) -> None:
        self.channel = channel
        self._worker = worker
        self._wait = wait
        self._told: frozenset[tuple[str, int | None]] | None = None
        self._expired = False
        self._is_delayed = False

    def say(self, message: Message) -> None:
        """Send one message."""
        self.channel.send(xdist_protocol.unscheduled(messages.to_wire(message)))

    def refused(self, blockers: tuple[Blocker, ...], waited: float) -> None:
        """Say what is waited for, when that changes, and when the worker has waited for as long as the user said."""
        if not self._is_delayed:
            self._is_delayed = True
            self.say(Delayed())
        now = frozenset((blocker.device.id, blocker.pid) for blocker in blockers)
        changed = now != self._told
        hopeless = all(blocker.for_good for blocker in blockers)
        # Said again when it changes: the controller goes on as long as the run's own workers are in the way.
        expired = (waited >= self._wait or hopeless) and (changed or not self._expired)
        if expired or (waited >= _SILENT_SECONDS and changed):
            self._told, self._expired = now, self._expired or expired
            lines, processes = [str(blocker) for blocker in blockers], _processes_of(blockers)
            self.say(Expired(lines, processes, hopeless) if expired else Waiting(lines, processes))

    def is_cancelled(self) -> bool:
        """Return whether this worker is not needed; see :meth:`pause`."""
        return not self.pause(0)

    def pause(self, seconds: float) -> bool:
        """Wait for the controller that long; anything that it says now means that this worker is not needed."""
        try:
            self.channel.receive(timeout=seconds)
        except self.channel.TimeoutError:
            return True
        except EOFError:
            pass
        return False

    def finish(self) -> None:
        """End as xdist expects it, without having run pytest."""
        with contextlib.suppress(OSError):  # the controller may be gone
            self.channel.send(xdist_protocol.worker_finished(**{CANCELLED: True}))


def _processes_of(blockers: tuple[Blocker, ...]) -> list[list[int]]:
    return [list(blocker.process or _here(blocker.pid)) for blocker in blockers if blocker.pid is not None]


def _here(pid: int) -> ProcessId:
    # One that has ended since is known by its number alone.
    return table.identity(pid) or ProcessId(pid, started=0, pid_namespace=0)

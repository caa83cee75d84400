"""The early line: what a worker says to the controller before pytest runs in it. Imports no pytest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ...foreign import xdist_protocol
from ...values import messages
from ...values.messages import CANCELLED, Expired, Message, Waiting

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

    def say(self, message: Message) -> None:
        """Send one message."""
        self.channel.send(xdist_protocol.unscheduled(messages.to_wire(message)))

    def refused(self, blockers: tuple[Blocker, ...], waited: float) -> None:
        """Say what is waited for, when that changes, and when the worker has waited for as long as the user said."""
        now = frozenset((blocker.device.id, blocker.pid) for blocker in blockers)
        changed = now != self._told
        hopeless = all(blocker.for_good for blocker in blockers)
        # Said again when it changes: the controller goes on as long as the run's own workers are in the way.
        expired = (waited >= self._wait or hopeless) and (changed or not self._expired)
        if expired or (waited >= _SILENT_SECONDS and changed):
            self._told, self._expired = now, self._expired or expired
            lines, pids = [str(blocker) for blocker in blockers], [blocker.pid for blocker in blockers if blocker.pid]
            self.say(Expired(lines, pids) if expired else Waiting(lines, pids))

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
        # The second, because pytest-cov reports a worker that never ran anything as one that lost its data.
        output = {CANCELLED: True, "cov_worker_node_id": self._worker}
        with contextlib.suppress(OSError):  # the controller may be gone
            self.channel.send(xdist_protocol.worker_finished(**output))

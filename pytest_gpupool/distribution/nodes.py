"""Nodes: what a scheduler asks of the run's workers (``crew`` answers), and how they tell it of their tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from xdist.workermanage import WorkerController

from ..planning.demands import Told
from ..planning.tests import Test
from ..values.messages import Heard, Notice


class Nodes(Protocol):
    """What a scheduler asks of the run's workers."""

    @property
    def asked(self) -> int:
        """How many workers the user asked for."""

    @property
    def longest_first(self) -> bool:
        """Whether the longest test starts first."""

    def live(self) -> list[WorkerController]:
        """Every worker that was started and has not ended, with or without a lease."""

    def start(self, gpus: int, memory: int, avoid: Sequence[str]) -> None:
        """Start a worker that leases so many devices of at least so much memory, others than these if possible."""

    def retire(self, node: WorkerController) -> None:
        """Let a worker finish."""

    def devices(self, node: WorkerController) -> tuple[tuple[str, ...], float]:
        """Return the ids of a worker's devices and the bytes of the smallest, infinity where that is not known."""

    def sizes(self) -> list[tuple[WorkerController, int, int]]:
        """Return every live worker with the number of its devices and the bytes that each has at least."""

    def room(self, largest: int) -> int:
        """Return how many devices, or slots, the run may hold where its largest test asks for so many."""

    @property
    def timeout(self) -> float | None:
        """The longest a test may take that names no limit, in seconds."""

    def plan(self, tests: Sequence[str], told: Told) -> list[Test]:
        """Return the tests as the pool can run them, with the seconds that each will take."""

    def runs(self, node: WorkerController, test: str | None, limit: float | None) -> None:
        """A worker runs this test now, for so many seconds at most."""

    def soon(self, notice: Notice) -> None:
        """Hear this once the present event is over."""

    def heard(self, node: WorkerController | None, message: Heard) -> None:
        """A worker, or one of our threads, said something that is not about scheduling."""

    def collected(self, node: WorkerController, tests: Sequence[str], finished_before: str | None) -> None:
        """A worker's collection is what the run will run; with what it said of an earlier run's results."""

    def attempts(self, test: str) -> int:
        """Return how often a test was tried so far."""

    def crashed(self, node: WorkerController, queue: Sequence[str]) -> tuple[str | None, list[str]]:
        """A worker died; say which test of its queue it was running, and blame that one, and which had ended."""

    def has_failed(self, node: WorkerController) -> bool:
        """Return whether a worker died."""

    def was_ended(self, node: WorkerController) -> bool:
        """Return whether it was we who ended a worker, because its test took too long."""

    def left_out(self, node: WorkerController, difference: str) -> None:
        """A worker's collection differs from the run's."""

    def quit(self, node: WorkerController, queue: Sequence[str]) -> None:
        """A worker ended with these tests still in its queue."""

    def replaces(self, node: WorkerController, dead: WorkerController) -> None:
        """With ``--dist each`` a worker goes on with a dead one's tests."""

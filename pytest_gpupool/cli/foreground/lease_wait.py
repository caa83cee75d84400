"""The wait for a lease: what a person is told meanwhile, and how it ends without one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from ...leases.admission import Blocker
from ...values.errors import NoLease
from ...values.texts import duration_text

_SILENT_SECONDS = 1.0
"""A moment's wait goes unmentioned."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class LeaseWait:
    """Tells of a wait for so many devices, of ``seconds`` at most, on the error stream; signals end it."""

    def __init__(self, gpus: int, seconds: float) -> None:
        self.received: int | None = None
        """The signal that ended it."""
        self._gpus = gpus
        self._seconds = seconds
        self._told: frozenset[str] = frozenset()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Take note of signals meanwhile; those that this program was told to ignore stay ignored."""
        watched = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
        before = [signal.signal(number, self._receive) for number in watched]
        try:
            yield
        finally:
            for number, handler in zip(watched, before, strict=True):
                signal.signal(number, handler)

    def is_cancelled(self) -> bool:
        """Whether a signal has ended it."""
        return self.received is not None

    def refused(self, blockers: Sequence[Blocker], waited: float) -> None:
        """Say what is in the way, where that has changed. Raises NoLease where it took too long, or is for nothing."""
        if all(blocker.for_good for blocker in blockers):
            raise NoLease(f"{self._what()} can come free, however long one waits.{_lines(blockers)}")
        if waited >= self._seconds:
            raise NoLease(self._too_long(blockers))
        if waited < _SILENT_SECONDS:
            return
        # A holder's time goes on, its name does not.
        keys = {key: blocker for blocker in blockers if (key := str(blocker).rpartition(" for ")[0] or str(blocker))}
        news = [blocker for key, blocker in keys.items() if key not in self._told]
        if not self._told:
            _say(f"gpupool: waiting for {'a device' if self._gpus == 1 else f'{self._gpus} devices'}")
        self._told = frozenset(keys)
        for blocker in news:
            _say(f"  {blocker}")

    def leased(self, labels: Sequence[str], waited: float) -> None:
        """Say that it is over, where it was told of."""
        if self._told:
            _say(f"gpupool: leased {', '.join(labels)} after {duration_text(waited)}")

    def _too_long(self, blockers: Sequence[Blocker]) -> str:
        time = f" in {duration_text(self._seconds)}" if self._seconds else ""
        came = "came free" if self._seconds else "is free" if self._gpus == 1 else "are free"
        return (
            f"{self._what()} {came}{' together' if self._gpus > 1 else ''}{time}.{_lines(blockers)}\n"
            "Wait longer (--wait), choose other devices (--devices), or see 'gpupool status'."
        )

    def _what(self) -> str:
        return "no device" if self._gpus == 1 else f"no {self._gpus} devices"

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number


def _lines(blockers: Sequence[Blocker]) -> str:
    return "".join(f"\n  {blocker}" for blocker in blockers)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

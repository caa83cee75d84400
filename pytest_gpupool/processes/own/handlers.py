"""Handlers: of signals, in the process that sets them and nowhere else."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any

from . import forks
from .system import os

Hear = Callable[[int, FrameType | None], None]


class Handler:
    """A handler of one signal, from :meth:`set` to :meth:`put_back`. Only for the main thread.

    A child that is forked meanwhile has what was there before: what it is sent is not meant for its parent. The signal
    waits while it is being forked, since Python forgets what a child was sent before it knew that it is one.
    """

    def __init__(self, number: int, hear: Hear) -> None:
        self._number = number
        self._hear = hear
        self._before: Any = None
        self._is_set = False
        self._owner = forks.Owner()
        self._masks: dict[int, set[int]] = {}  # of the threads that fork now
        forks.before(self._block)
        forks.in_parent(self._unblock)
        forks.in_child(self._leave)

    def set(self) -> None:
        """Hear the signal from now on."""
        self._before = signal.signal(self._number, self._heard)
        self._is_set = True

    def put_back(self) -> None:
        """Hear it no more; who has put another handler in its place keeps that."""
        if self._is_set and signal.getsignal(self._number) == self._heard:
            signal.signal(self._number, self._before)
        self._is_set = False

    def _block(self) -> None:
        if self._is_set:
            self._masks[get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, [self._number])

    def _unblock(self) -> None:
        mask = self._masks.pop(get_ident(), None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _leave(self) -> None:
        self.put_back()
        self._unblock()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._owner.is_here:
            self._hear(number, frame)
            return
        # By no fork of Python's.
        self.put_back()
        os.kill(os.getpid(), number)

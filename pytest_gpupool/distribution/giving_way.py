"""Giving way: a thread that looks now and then whether others wait for the run's devices, for ``--gpupool-yield``."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..leases.locking.lock_directory import LockDirectory
from ..leases.queueing import fairness
from ..processes.own.events import Event

LOOK_SECONDS = 2.0


class GivingWay:
    """``told(most)`` is called whenever the run's share changes: the devices that it may hold, None for all."""

    def __init__(
        self, devices: tuple[str, ...], run: str, directory: LockDirectory, told: Callable[[int | None], None]
    ) -> None:
        self._devices = devices
        self._run = run
        self._directory = directory
        self._told = told
        self._closing = Event()
        self._thread = threading.Thread(target=self._keep_looking, name="gpupool-giving-way", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; nobody is told anything after this."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_looking(self) -> None:
        last: int | None = None
        while not self._closing.wait(LOOK_SECONDS):
            now = fairness.share_now(self._devices, self._run, self._directory)
            if now != last:
                last = now
                self._told(now)

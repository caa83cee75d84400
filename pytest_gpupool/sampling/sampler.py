"""Sampling: one thread that looks now and then at what the tests of this process take; see the room ``samples``.

A thread that cannot run, since a test holds the GIL or the driver does not answer, holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from threading import Thread
from typing import TYPE_CHECKING

from ..processes.own import clock, forks
from ..processes.own.events import Event
from ..values.device import Device
from ..values.process_id import ProcessId
from ..values.texts import safe_repr

if TYPE_CHECKING:
    from .figures import Figures
    from .outside import Outsider
    from .samples import Samples

_END_SECONDS = 1.0  # a driver that hangs is not to hold up the end
_FORK_SECONDS = 0.25


class Sampler:
    """Samples what the tests of this process take, in a thread of its own: "gpupool-sampling", a daemon.

    ``interval`` is in seconds; with 0 it never does, and has no figures. ``own`` gives the other workers that
    share the devices, None where nobody does; where somebody may, the memory is what this process and its children
    have on a device, else all that is used of it. Utilisation, energy, temperature and throttling are always those of
    the whole device.

    The thread starts with the first attempt. It rests while this process forks, so that no child inherits a lock that
    it holds, of a vendor's library for instance, and Python has no reason to warn of a fork with threads; a child that
    begins an attempt gets a thread of its own.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        interval: float,
        own: Callable[[], Collection[ProcessId]] | None = None,
    ) -> None:
        self.problem: str | None = None
        """What went wrong last with a look, which nobody expected; None where nothing did."""
        self._interval = interval
        self._devices = tuple(devices)
        self._own = own
        self._samples: Samples | None = None
        self._thread: Thread | None = None
        self._halt = Event()
        self._ending = False
        self._restart = False
        self._watches_forks = False

    def begin(self, *, on_devices: bool = True) -> None:
        """An attempt at a test begins; what was before is forgotten. With ``on_devices`` false it uses no device.

        Takes about a microsecond, but for the first time; asks nobody anything.
        """
        if self._interval <= 0 or self._ending:
            return
        if self._samples is None:
            from .samples import Samples

            self._samples = Samples(self._devices, interval=self._interval, own=self._own)
        self._samples.begin(on_devices=on_devices)
        if self._thread is None:
            self._watch_forks()
            self._start()
        elif self._halt.is_set():
            self._resume()  # it could not rest in time when this process forked, and has ended since

    def end(self) -> Figures:
        """Return the figures of the attempt, and rest until the next one begins."""
        return _no_figures() if self._samples is None else self._samples.end()

    def figures(self) -> Figures:
        """Return the figures of the attempt so far, from what has been read; asks nobody anything."""
        return _no_figures() if self._samples is None else self._samples.figures()

    def outsiders(self) -> frozenset[Outsider]:
        """Return who of this process and its descendants was seen on devices that are not leased, in this attempt."""
        return frozenset() if self._samples is None else self._samples.outsiders()

    def throttled_spans(self) -> tuple[tuple[float, float], ...]:
        """Return from when to when, on the monotonic clock, a device was seen throttled in this attempt."""
        return () if self._samples is None else self._samples.throttled_spans()

    def stop(self) -> bool:
        """Sample no more; return whether the thread has ended, which it has not where the driver does not answer."""
        self._ending = True
        self._halt.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
        return self._thread is None or not self._thread.is_alive()

    def _start(self) -> None:
        assert self._samples is not None
        self._restart = False
        self._halt = Event()
        thread = Thread(target=self._run, args=(self._samples, self._halt), name="gpupool-sampling", daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError as error:  # the machine, or the user, may have no room for one more
            self.problem, self._ending, self._thread = f"sampling: {error}", True, None

    def _watch_forks(self) -> None:
        if not self._watches_forks:
            self._watches_forks = True
            forks.before(self._pause)
            forks.in_parent(self._resume)
            forks.in_child(self._reset_in_child)

    def _run(self, samples: Samples, halt: Event) -> None:
        self._try(samples.open)
        while not halt.wait(max(0.0, samples.due - clock.monotonic())):
            self._try(samples.look)
        if self._ending:
            self._try(samples.close)
        elif self._restart:
            self._start()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # pytest would blame the test that runs
            self.problem = f"sampling: {safe_repr(error)}"

    def _pause(self) -> None:
        if self._thread is not None and not self._halt.is_set():
            self._halt.set()
            self._thread.join(_FORK_SECONDS)

    def _resume(self) -> None:
        if self._thread is None or self._ending:
            return
        if self._thread.is_alive():
            self._restart = True  # it could not rest in time: another one follows when it has ended
        else:
            self._start()

    def _reset_in_child(self) -> None:
        self._samples, self._thread, self._halt = None, None, Event()


def _no_figures() -> Figures:
    from .figures import NO_FIGURES

    return NO_FIGURES

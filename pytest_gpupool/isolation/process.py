"""The process of an isolated test, as seen by the one that has started it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from ..processes import signals, stacks, table, termination
from ..processes.own import clock
from ..processes.own.system import os, select
from ..processes.termination import Worker
from ..values.process_id import ProcessId
from .channel import Channel

_GRACE_SECONDS = 1.0
_END_SECONDS = 10.0
"""What it may take to end by itself, once its test is over: what it has registered with ``atexit`` runs then."""

_LOOK_SECONDS = 0.02  # how often it is looked for where the kernel does not tell of its end
_MOST_TEXT = 2**16


class Died(Exception):
    """It has ended before it has answered; ``how`` says so in words."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class TookTooLong(Exception):
    """It has not answered in time; ``stacks`` are its own then."""

    def __init__(self, stacks: str) -> None:
        super().__init__(stacks)
        self.stacks = stacks


class IsolatedProcess:
    """One that leads a process group of its own, in which its children are unless they leave it.

    ``dump`` is the descriptor of memory that it has as well, and writes its stacks to when it is asked, or crashes.
    """

    def __init__(self, process: ProcessId, channel: Channel, dump: int) -> None:
        self.process = process
        self._channel = channel
        self._dump = dump
        self._status: int | None = None
        self._has_ended = False
        self._captured: dict[str, int] | None = None
        self._pidfd = signals.descriptor_of(process.pid)
        self._poll = select.poll()
        self._poll.register(channel.descriptor, select.POLLIN)
        if self._pidfd is not None:
            self._poll.register(self._pidfd, select.POLLIN)

    def ask(self, *question: object, deadline: float | None) -> Iterator[tuple[Any, ...]]:
        """Yield what it says from now on; ``deadline`` is on our monotonic clock.

        Raises:
            Died: it is there no more. All that it has said before has been yielded.
            TookTooLong: it has said nothing in time.
        """
        with contextlib.suppress(OSError):  # it has ended, which is seen next
            self._channel.send(*question)
        while True:
            while (message := self._channel.next()) is not None:
                yield message
            if not self._wait(deadline):
                raise TookTooLong(self._stacks())

    def _wait(self, deadline: float | None) -> bool:
        """Wait for more of what it says; return whether there is some. Raises Died."""
        while True:
            left = None if deadline is None else deadline - clock.monotonic()
            if left is not None and left <= 0:
                return False
            pause = left if self._pidfd is not None else min(_LOOK_SECONDS, left or _LOOK_SECONDS)
            ready = dict(self._poll.poll(None if pause is None else max(1, pause * 1000)))
            if self._channel.descriptor in ready:
                try:
                    self._channel.read()
                except EOFError:
                    self._dies()
                return True
            # Somebody whom it has forked may hold the other end, so that nothing else tells of its end.
            if (self._pidfd in ready or self._pidfd is None) and self._reap(os.WNOHANG):
                self._dies()

    def _dies(self) -> None:
        if not self._has_ended:
            self._end_within(_END_SECONDS)
        raise Died(self.ended)

    @property
    def ended(self) -> str:
        """How it has ended, as a clause."""
        if self._status is None:
            return "ended, nobody knows how"
        code = os.waitstatus_to_exitcode(self._status)
        if code >= 0:
            return f"ended with exit status {code} before the test was over"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def crash(self) -> str:
        """Return the stacks that it has written as it crashed, empty where it has written none."""
        with contextlib.suppress(OSError):
            return stacks.crash(os.pread(self._dump, _MOST_TEXT, 0).decode(errors="backslashreplace"))
        return ""

    def captures(self, descriptors: Mapping[str, int]) -> None:
        """It captures its output by itself, in files that it has open as these."""
        opened = {name: table.open_file(self.process.pid, number) for name, number in descriptors.items()}
        self._captured = {name: number for name, number in opened.items() if number is not None}

    @property
    def capture_files(self) -> Mapping[str, int]:
        """Descriptors of the files into which it captures by itself, by stream; none where this process has them."""
        return self._captured or {}

    def captured(self) -> dict[str, str] | None:
        """Return what it has captured and not reported, by stream; None where this process has it."""
        if self._captured is None:
            return None
        sizes = {name: os.fstat(number).st_size for name, number in self._captured.items()}
        return {
            name: os.pread(number, sizes[name], 0).decode(errors="replace") for name, number in self._captured.items()
        }

    def finish(self) -> None:
        """Let it end by itself, and end what its test has left running."""
        with contextlib.suppress(OSError):
            self._channel.send("end")
        self._end_within(_END_SECONDS)
        self.close()

    def kill(self) -> None:
        """End it with all that it has started."""
        if not self._has_ended:
            termination.end_worker(Worker(self.process, {}), grace=_GRACE_SECONDS)
            self._reap(0)
        self.close()

    def close(self) -> None:
        """Leave nothing of it, but what has left its group."""
        if self._pidfd is None and self._dump < 0:
            return
        self._end_group()
        for descriptor in (self._pidfd, self._dump, *(self._captured or {}).values()):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._channel.close()
        self._pidfd, self._dump = None, -1

    def _end_group(self) -> None:
        try:
            os.killpg(self.process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return  # it is empty, as nearly always
        termination.end_worker(Worker(self.process, {}), grace=_GRACE_SECONDS)

    def _end_within(self, seconds: float) -> None:
        """Wait for its end up to so long, then kill it."""
        deadline = clock.monotonic() + seconds
        while not self._reap(os.WNOHANG):
            left = deadline - clock.monotonic()
            if left <= 0:
                termination.end_worker(Worker(self.process, {}), grace=_GRACE_SECONDS)
                self._reap(0)
                return
            if self._pidfd is None:
                clock.sleep(min(_LOOK_SECONDS, left))
            else:
                end = select.poll()
                end.register(self._pidfd, select.POLLIN)
                end.poll(left * 1000)

    def _reap(self, options: int) -> bool:
        if self._has_ended:
            return True
        try:
            pid, status = os.waitpid(self.process.pid, options)
        except ChildProcessError:  # something here waits for all children
            self._has_ended = True
            return True
        if pid:
            self._has_ended, self._status = True, status
        return self._has_ended

    def _stacks(self) -> str:
        found = stacks.stacks(self.process.pid, self._dump)
        return stacks.folded(found) if found else "(it does not tell)"

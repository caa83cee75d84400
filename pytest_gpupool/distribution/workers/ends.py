"""Ends: when the workers' processes end, what is done about those that do not, and when xdist hears of it.

A thread for each worker waits for its process, so that a death is noticed at once, be the worker's connection held open
by a child that it forked or not. xdist hears of a death when all that the worker left behind is ended: by then its
exit status is known, its devices are free, and nothing has kept xdist's loop from the other workers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...processes import stacks
from ...processes.time_limits import TimeLimits
from ...run.controller import Controller
from .leftovers import WorkerLeftovers
from .member import Member

FINISH_SECONDS = 60.0
"""What a worker may take for ``pytest_sessionfinish`` once its tests are over."""
COLLECT_SECONDS = 60.0
"""What it may take to collect once all tests are over, or to say that it ends when it is told to."""
_CLOSED_SECONDS = 2.0  # what it may take once its connection is closed
_DRAIN_SECONDS = 1.0  # what its last words may take to be read once it has ended
_KILL_SECONDS = 10.0  # who is not gone so long after it was ended waits in the kernel

_COLLECT, _LEAVE, _TEAR_DOWN, _FINISH, _END, _CLOSED = "collect", "leave", "tear-down", "finish", "end", "closed"


class WorkerEnds:
    """What is known of each end. Its methods are for any thread."""

    def __init__(self, controller: Controller, exited: Callable[[str], None]) -> None:
        """``exited(worker)`` is called from another thread when a worker's process is gone with all it left."""
        self._controller = controller
        self._exited = exited
        self._leftovers = WorkerLeftovers(controller)
        self._members: dict[str, Member] = {}
        self._clocks = TimeLimits(self._is_late)
        self._over: set[str] = set()  # whose process has ended, for whom no clock begins any more
        self._changing = threading.Lock()
        self._threads: list[threading.Thread] = []

    def watch(self, member: Member, tell: Callable[[], None]) -> None:
        """See to the end of a worker that has just been started; ``tell()`` is called where it ends without goodbye."""
        self._members[member.name] = member
        self._begin(lambda: self._see_it_end(member, tell))

    def tears_down(self, member: Member, test: str) -> None:
        """A worker tears down what a test shared with others: for that it has as long as for the test."""
        limit = member.limits.get(test)  # by now it may have been given another test
        member.tears_down, member.tear_down_limit = test, limit or 0.0
        if limit:
            self._begin_clock(member, _TEAR_DOWN, limit)
        else:
            self._clocks.end(member.name)

    def goes_on(self, member: Member) -> None:
        """A worker has collected, or is at its next test."""
        member.tears_down = ""
        self._clocks.end(member.name)

    def is_awaited(self, member: Member) -> None:
        """All tests are over that are known, and a worker has not collected yet: something may have stopped it."""
        self._begin_last(member, _COLLECT)

    def is_to_end(self, member: Member) -> None:
        """A worker was told to end, and has no test left; or all is over, and xdist tells the workers so."""
        if not member.tears_down and not member.is_finishing:
            self._begin_last(member, _LEAVE)

    def has_run_its_tests(self, member: Member) -> None:
        """A worker's tests are over: only ``pytest_sessionfinish`` is left."""
        member.is_finishing = True
        self._begin_clock(member, _FINISH, FINISH_SECONDS)

    def has_said_goodbye(self, member: Member) -> None:
        """A worker has finished: its process waits to be let go."""
        member.said_goodbye = True
        self._clocks.end(member.name)

    def is_let_go(self, member: Member) -> None:
        """A worker is told that its process is to end. Until then it is not late: this side may be busy."""
        if member.said_goodbye:
            self._begin_clock(member, _END, member.process.end_seconds)

    def connection_has_ended(self, member: Member) -> None:
        """Nothing more is heard of a worker."""
        if not member.said_goodbye:
            self._begin_clock(member, _CLOSED, _CLOSED_SECONDS)
        member.connection_over.set()

    def wait(self) -> None:
        """Wait until the processes of all workers have ended that were told to, with what they left behind."""
        longest = max((member.process.end_seconds for member in self._members.values()), default=0.0)
        for thread in self._threads:
            thread.join(longest + _KILL_SECONDS)

    def close(self) -> None:
        """All is over."""
        self._clocks.close()

    def where(self, member: Member) -> str:
        """Return where a worker hangs, as a clause that ends a sentence: the user's frames. All are kept in a file."""
        identity = member.identity
        dump = "" if identity is None else member.process.stacks(identity.pid, member.stacks)
        if not dump:
            return ""
        path = self._controller.records.keep_text(f"{member.name}-stacks.txt", dump)
        return f"; its stacks then{'' if path is None else f' (all of them: {path})'}:\n{stacks.folded(dump)}"

    def _begin_last(self, member: Member, phase: str) -> None:
        """Begin the clock of what a worker has to do last, once."""
        if member.last_phase != phase and not member.said_goodbye and not member.gone:
            member.last_phase = phase
            self._begin_clock(member, phase, COLLECT_SECONDS)

    def _begin_clock(self, member: Member, phase: str, limit: float) -> None:
        with self._changing:
            if member.name not in self._over:
                self._clocks.begin(member.name, phase, limit)

    def _begin(self, what: Callable[[], None]) -> None:
        thread = threading.Thread(target=what, name="gpupool-end", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _see_it_end(self, member: Member, tell: Callable[[], None]) -> None:
        member.process.wait()
        with self._changing:
            self._over.add(member.name)
            self._clocks.end(member.name)
        try:
            self._clear_up(member)
        finally:  # whatever is wrong with that: nobody else tells of the end, and the run would wait for ever
            member.has_exited = True
            self._exited(member.name)
            if not member.said_goodbye:
                tell()

    def _clear_up(self, member: Member) -> None:
        # Who forked may have left somebody behind that holds the connection open.
        if not member.connection_over.wait(_DRAIN_SECONDS) and not member.said_goodbye:
            member.process.clear()
            member.connection_over.wait(_KILL_SECONDS)
        member.process.has_ended()
        if member.said_goodbye:
            self._leftovers.has_ended(member)
        else:
            member.process.clear()

    def _is_late(self, worker: str, phase: str) -> None:
        member = self._members[worker]
        self._begin(lambda: self._end(member, phase))  # the clocks of the others go on meanwhile

    def _end(self, member: Member, phase: str) -> None:
        try:
            if phase != _CLOSED:
                member.late = _words(phase, member)
                # Of what is torn down when all is over no test tells.
                self._controller.broken = self._controller.broken or phase == _TEAR_DOWN
                self._controller.console.warn(f"{member.name} {member.late}{self.where(member)}")
        finally:  # whatever is wrong with that: nobody else ends it
            member.process.end()


def _words(phase: str, member: Member) -> str:
    if phase == _COLLECT:
        return f"had not collected {COLLECT_SECONDS:g} s after all tests of the others were over and was ended"
    if phase == _LEAVE:
        return f"did not begin to end in {COLLECT_SECONDS:g} s after it was told to and was ended"
    if phase == _TEAR_DOWN:
        limit = f"{member.tear_down_limit:g} s"
        return f"did not tear down the fixtures that {member.tears_down} used in {limit} and was ended"
    if phase == _FINISH:
        return f"did not come to the end of pytest_sessionfinish in {FINISH_SECONDS:g} s and was ended"
    return f"did not end in {member.process.end_seconds:g} s after it was let go and was ended"

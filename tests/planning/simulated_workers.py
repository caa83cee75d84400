"""Workers and tests, made up for the planner: they do what they please, when they please."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hypothesis import strategies as st
from made_plans import LONG, SHORT, model

from pytest_gpupool.planning.decisions import Assign, Decision, Rest, Retire, Steal
from pytest_gpupool.planning.dispatch.ahead import AHEAD_SECONDS
from pytest_gpupool.planning.tests import Family

STOP = -1
"""What a worker finds in its queue when it was let go."""

WAIT = -2
"""What it finds there when nothing is left for it now."""


@dataclass
class Worker:
    """A worker process as it behaves; what it says and what it is told travel in order."""

    name: str
    gpus: int = 1
    memory: int = 0  # of each device, at least: what it asks for, and has once it is ready
    devices: frozenset[str] = frozenset()
    collection: int = 0
    leased: bool = False
    barred: bool = False  # was given devices that nobody can use
    collects: bool = False
    ready: bool = False
    poisoned: bool = False
    is_alone: bool = False  # was started to share its devices with nobody
    fails: bool = False  # its running test is to run again, in a fresh worker
    ran: int = 0
    told: deque[Decision] = field(default_factory=deque)
    said: deque[tuple[str, object]] = field(default_factory=deque)
    queue: deque[int] = field(default_factory=deque)
    running: int | None = None
    following: int | None = None  # taken out of the queue while the other one still runs
    looking: bool = True
    reported: bool = False
    stopped: bool = False

    def read(self) -> None:
        """Obey the next thing that it was told."""
        match self.told.popleft():
            case Assign(tests=tests):
                self.queue.extend(tests)
            case Steal(tests=tests):
                given = [index for index in self.queue if index in tests]
                self.queue = deque(index for index in self.queue if index not in tests)
                self.said.append(("stolen", given))
            case Retire():
                self.queue.append(STOP)
            case Rest():
                self.queue.append(WAIT)

    def can_step(self) -> bool:
        """Whether it has anything to do."""
        return self.ready and not self.stopped and (self.running is not None or bool(self.queue) or not self.looking)

    def step(self, seconds: float, *, look_first: bool) -> None:
        """End a test, look for the next one, or begin it."""
        if self.running is not None and (self.following is not None or not (look_first or self.looking)):
            self.said.append(("failed" if self.fails else "ended", (self.running, seconds)))
            self.running = None
        elif self.following is not None or self.queue:
            following = self.queue.popleft() if self.following is None else self.following
            if self.running is not None:
                self.following, self.looking = following, False
            else:
                self.begin(following)
        elif not self.looking:
            self.said.append(("asks", None))
            self.looking = True

    def begin(self, index: int) -> None:
        """Start a test, or stop."""
        self.following, self.looking, self.reported = None, False, False
        if index == WAIT:
            self.looking = True  # it was told that nothing is there, so it does not ask
        elif index == STOP:
            self.stopped = True
            self.said.append(("gone", None))
        else:
            self.running = index
            self.ran += 1

    def poison(self, *, fails: bool = False) -> None:
        """Give everything back but the running test, and end after that one, which may have to run again."""
        self.fails = fails and self.running is not None
        given = [*([] if self.following is None else [self.following]), *self.queue]
        self.queue, self.following, self.looking = deque([STOP]), None, True
        self.poisoned = True
        self.said.append(("poisoned", [index for index in given if index >= 0]))

    def report_call(self) -> None:
        """Tell of the call's end, which makes the controller ask on the worker's behalf."""
        self.reported = True
        self.said.append(("asks", None))


PICK = st.integers(0, 5)
SECONDS = st.sampled_from([SHORT, SHORT, 0.0, 0.003, 0.02, AHEAD_SECONDS, LONG])
MEMORY = (8, 16)
"""What devices have; a test asks for one of these, or does not care."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Tests of a function, as they were collected."""

    count: int
    function: str
    group: str | None
    priority: int
    gpus: int
    memory: int
    stage: int
    serial: bool
    locks: frozenset[str]
    known: bool
    set_ups: Family

    def fits(self, devices: Sequence[int]) -> bool:
        """Whether such tests can run on devices with so much memory each."""
        return sum(memory >= self.memory for memory in devices) >= self.gpus


DEAR = model("v")
"""What several tests share, and what takes long to set up."""

COSTS = MappingProxyType({DEAR.key: 3.0})

FAMILIES: Sequence[Family] = ((), (), (DEAR,), (model("w"),), (model("u", "a"),), (DEAR, model("u", "a")))
"""What tests share; of the others nobody knows how long they take."""

BLOCKS = st.lists(
    st.builds(
        Block,
        count=st.integers(1, 30),
        function=st.sampled_from("aaabc"),
        group=st.sampled_from([None] * 6 + ["g", "h"]),
        priority=st.sampled_from([0, 0, 0, 1]),
        gpus=st.sampled_from([1, 1, 1, 1, 0, 2, 4]),
        memory=st.sampled_from([0, 0, 0, *MEMORY]),
        stage=st.sampled_from([0, 0, 0, 1, 2]),
        serial=st.sampled_from([False] * 5 + [True]),
        locks=st.sampled_from([frozenset()] * 5 + [frozenset("x"), frozenset("y"), frozenset("xy")]),
        known=st.booleans(),
        set_ups=st.sampled_from(FAMILIES),
    ),
    min_size=1,
    max_size=5,
)
DEVICES = st.lists(st.sampled_from([*MEMORY, MEMORY[-1]]), min_size=1, max_size=6)

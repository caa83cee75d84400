"""Workers: what is known of each one, from its start to its end, and who of them is in which state.

Pure: standard library only, no clock, no files. The states of a worker:

    coming ──started──▶ starting ──joined──▶ idle ◀──rests / works──▶ busy ──ended──▶ gone
    (announced)         (waits for devices)  (waits for a test)      (has tests)

All but the last are live, until the worker is told to end (retired); it then runs what it has and goes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from ..values.wide_fixture import WideFixture
from .decisions import Retire, Start
from .tests import Collections, Family, Need, Test, WorkUnit

_NOTHING: frozenset[WideFixture] = frozenset()
_NOBODY: dict[str, None] = {}


class Moment(NamedTuple):
    """What time it is, in seconds, how long tests have taken on average, how many workers of each size there are."""

    now: float = 0.0
    mean: float = 1.0
    workers: Mapping[int, int] = MappingProxyType({})


@dataclass(slots=True)
class Worker:
    """One worker, from its start to its end."""

    name: str
    gpus: int = 1
    memory: float = 0.0  # of its smallest device, as far as it is known
    devices: frozenset[str] = frozenset()
    assigned: deque[int] = field(default_factory=deque)  # the test that it runs, then what it was given
    reserved: deque[int] = field(default_factory=deque)  # the rest of its work unit, which it is given later
    locks_held: dict[int, frozenset[str]] = field(default_factory=dict)  # by the last test that needs them
    begun: set[int] = field(default_factory=set)  # assigned tests that it would not give back
    warm: Family = ()  # what the last of them needs
    set_up: frozenset[WideFixture] = _NOTHING  # when it has run all that it was given
    was_set_up: frozenset[WideFixture] = _NOTHING  # when it had run what has ended
    family: Family = ()  # with what it goes on
    level: tuple[int, int] = (0, 1)  # at which it was given that: see families
    free_at: float = 0.0  # when it will have run what it was given, about
    wants_next: bool = False  # its running test nears its end
    collection: int = 0  # the number of what it has collected
    leased: bool = False  # it has its devices
    collects: bool = False  # or is about to: what it finds may be news
    is_last_hope: bool = False  # it came when nobody was left who has some test of its size
    resting: bool = False  # was told to wait for a test
    retired: bool = False  # was told to end
    is_fresh: bool = True  # has run no test, nor been given one
    is_alone: bool = False  # nobody shares its devices, although others share theirs
    is_barred: bool = False  # is not here yet, and was given devices that nobody can use

    @property
    def locks(self) -> frozenset[str]:
        """What its tests hold."""
        return frozenset().union(*self.locks_held.values()) if self.locks_held else frozenset()

    @property
    def tests(self) -> tuple[int, ...]:
        """Every test that nobody else may run: those that it was given, then those it will be given."""
        return (*self.assigned, *self.reserved)

    @property
    def is_busy(self) -> bool:
        """Whether it has any."""
        return bool(self.assigned or self.reserved)

    def rest(self, moment: Moment) -> float:
        """Return the seconds that it will still take for what it was given, about.

        One that is late may be so for as long again: nobody knows in what its test hangs.
        """
        return abs(self.free_at - moment.now)

    def fits(self, need: Need) -> bool:
        """Return whether it has the devices that a test needs: exactly as many, each with enough memory."""
        gpus, memory = need
        return gpus == self.gpus and memory <= self.memory

    def has(self, lacked_by: Collections) -> bool:
        """Return whether it has collected what these collections lack."""
        return self.collection not in lacked_by

    def can_run(self, test: Test, need: Need) -> bool:
        """Return whether it fits what a test needs, and has the test."""
        return self.fits(need) and self.has(test.lacked_by)

    def take_on(self, unit: WorkUnit) -> int:
        """Reserve a work unit for it, taken from the queue; return the first test, which is to be assigned at once."""
        if unit.locks:
            self.locks_held[unit.tests[-1]] = unit.locks
        self.warm = unit.set_ups
        self.reserved.extend(unit.tests[1:])
        return unit.tests[0]


def set_up_after(set_up: frozenset[WideFixture], test: Test) -> frozenset[WideFixture]:
    """Return what is set up on a worker when a test has run there, by pytest's rules.

    What belongs to another module, class or folder is torn down, and so is another instance of the same fixture.
    """
    if set_up.issuperset(test.set_ups) and (not set_up or all(_is_within(test, one) for one in set_up)):
        return set_up
    replaced = {one[:2] + one[3:] for one in test.set_ups}
    kept = (one for one in set_up if _is_within(test, one) and one[:2] + one[3:] not in replaced)
    return frozenset((*kept, *test.set_ups))


def _is_within(test: Test, fixture: WideFixture) -> bool:
    node = fixture.node
    return not node or (test.function.startswith(node) and test.function[len(node) : len(node) + 1] in ("", ":", "/"))


class Names:
    """The workers in one state: their names by size, in the order in which they came into it."""

    def __init__(self) -> None:
        self._by_size: dict[int, dict[str, None]] = {}

    def add(self, worker: Worker) -> None:
        """A worker is in this state now."""
        self._by_size.setdefault(worker.gpus, {})[worker.name] = None

    def discard(self, worker: Worker) -> None:
        """It is not, or no longer."""
        if names := self._by_size.get(worker.gpus):
            names.pop(worker.name, None)

    def of_size(self, gpus: int) -> Collection[str]:
        """Return the names of those of one size: a view, which changes as they do."""
        return self._by_size.get(gpus, _NOBODY).keys()

    def last_first(self, gpus: int) -> Iterator[str]:
        """Yield the same names, those that came last first."""
        return reversed(self._by_size.get(gpus, _NOBODY))

    def __bool__(self) -> bool:
        return any(self._by_size.values())

    def sizes(self) -> list[int]:
        """Return the sizes of which there are any."""
        return [gpus for gpus, names in self._by_size.items() if names]


class Workers:
    """Every worker by its name, and by size those that are live, coming, starting and idle.

    ``capacity`` is how many devices, or slots of them, all live ones together may hold.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.now = 0.0
        """What time it is, in seconds."""
        self.mean = 1.0
        """How long tests have taken on average, in seconds."""
        self.gives_way = False
        """Whether workers are to end after their test where there are more than the capacity."""
        self.lost_devices: frozenset[str] = frozenset()
        """Devices that nobody should use any more."""
        self.live: Counter[int] = Counter()
        """By size: coming, starting, idle or busy, and not told to end."""
        self.coming: Counter[int] = Counter()
        """By size: announced, by Start or since xdist replaces dead ones, and not started yet."""
        self.starting = Names()
        """Started, and not here yet."""
        self.idle = Names()
        """Here, and waiting for a test."""
        self._by_name: dict[str, Worker] = {}
        # Those that wait, or will, for devices of so much memory.
        self._awaiting_memory: set[str] = set()
        self._coming_for_memory = 0

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Worker:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._by_name.values())

    @property
    def moment(self) -> Moment:
        """What is so now."""
        return Moment(self.now, self.mean, self.live)

    @property
    def room(self) -> int:
        """How many devices no live worker holds or will hold; negative where there are too many workers."""
        return self.capacity - sum(gpus * count for gpus, count in self.live.items())

    @property
    def some_await_memory(self) -> bool:
        """Whether a worker waits, or will wait, for devices with enough memory."""
        return bool(self._awaiting_memory) or self._coming_for_memory > 0

    def awaits_memory(self, name: str) -> bool:
        """Return whether a starting worker waits for devices with enough memory."""
        return name in self._awaiting_memory

    def announce(self, gpus: int, memory: int, *, is_alone: bool = False) -> Start:
        """A worker is to be started; return what says so."""
        self.live[gpus] += 1
        self.coming[gpus] += 1
        self._coming_for_memory += bool(memory)
        return Start(gpus, memory, is_alone)

    def started(self, name: str, gpus: int, memory: float = 0.0, *, is_alone: bool = False) -> None:
        """A worker was started that will hold so many devices."""
        if self.coming[gpus]:
            self.coming[gpus] -= 1  # it counts as live already
        else:
            self.live[gpus] += 1
        worker = self._by_name[name] = Worker(name, gpus=gpus, memory=memory, is_alone=is_alone)
        self.starting.add(worker)
        if memory:
            self._awaiting_memory.add(name)
            self._coming_for_memory = max(0, self._coming_for_memory - 1)

    def joined(self, name: str, devices: Iterable[str], memory: float, collection: int = 0) -> Worker:
        """It is ready for its first test, with these devices and what it has collected; return it."""
        if name not in self._by_name:
            self.started(name, 1)
        worker = self._by_name[name]
        worker.devices, worker.memory, worker.collection = frozenset(devices), memory, collection
        self.starting.discard(worker)
        self._awaiting_memory.discard(name)
        return worker

    @property
    def some_come(self) -> bool:
        """Whether a worker is announced, starts, or collects."""
        return bool(self.starting.sizes()) or any(self.coming.values())

    @property
    def all_wait(self) -> bool:
        """Whether nobody has a test, comes, or is told to end."""
        return not self.some_come and not any(worker.is_busy or worker.retired for worker in self)

    def some_have(self, need: Need, lacked_by: Collections) -> bool:
        """Return whether anybody who goes on can run tests of that need, which these collections lack."""
        return any(worker.fits(need) and worker.has(lacked_by) and not worker.retired for worker in self.joined_ones())

    def nobody_has(self, gpus: int, lacked: Iterable[tuple[Need, Collections]]) -> bool:
        """Return whether some need of that size, among what these collections lack, is one that nobody can serve."""
        return any(need[0] == gpus and not self.some_have(need, lacked_by) for need, lacked_by in lacked)

    def joined_ones(self) -> Iterator[Worker]:
        """Yield those that have collected."""
        starting = {name for gpus in self.starting.sizes() for name in self.starting.of_size(gpus)}
        return (worker for worker in self if worker.name not in starting)

    def rests(self, worker: Worker) -> None:
        """It was told to wait, or waits already; without a test it is idle."""
        worker.resting = True
        if not worker.assigned and not worker.retired:
            self.idle.add(worker)

    def works(self, worker: Worker) -> None:
        """It is given a test."""
        worker.resting = worker.is_fresh = False
        self.idle.discard(worker)

    def retire(self, worker: Worker) -> Retire:
        """It is to end; return what says so."""
        if not worker.retired:
            self.live[worker.gpus] -= 1
        worker.retired = True
        self.idle.discard(worker)
        self.starting.discard(worker)
        self._awaiting_memory.discard(worker.name)
        return Retire(worker.name)

    def ended(self, worker: Worker, *, replaced: bool) -> None:
        """Its process is gone; with ``replaced`` another of its size is being started."""
        self.retire(worker)
        if replaced and self.room >= worker.gpus:  # else it is one too many, and let go when it is there
            self.live[worker.gpus] += 1
            self.coming[worker.gpus] += 1
        del self._by_name[worker.name]

"""The planner alone in simulated time: how near to the bound its plans are, and what a decision costs.

    python benchmarks/simulate.py [--devices 8 64 1024] [--tests 100 2000] [--suite NAME …] [--long] [--hosts]

Workers start in 0.5 to 2 s, ask for the next test 10 ms before the present one ends, and hold their devices until they
have ended; nothing else takes time. "÷ bound" is the makespan, from the start of the first workers, over what no
schedule is shorter than: the longest test; a perfect division over the devices; one after another, all tests that need
more than half of the devices, or that share a lock; with stages, the sum over them. Where the bound is a few seconds,
that start makes up most of the ratio. "µs" is processor time per event that the planner handled. How long a
test takes is known exactly but in the suites that say otherwise. A test that crashes may take less than the bound says.

The last table is about the start of a run: what its workers send of their collections before the first test, which is
a digest each, and from one of them the ids with what planning needs to know of the tests.

With ``--hosts`` there is one table, of hosts with 8 devices each, some of which are lost at moments spread over the
run, with all their workers and what these run, which then runs once more; hosts stay away, or come back. A worker's
devices are on one host. What no schedule is shorter than counts the devices that are there at each moment, and no test
twice. "messages" are those between the controller and workers of which a plan takes part: assignments, requests to give
tests back, ends, starts, and what workers say of these, of tests that ended, and when they ask; for each test.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from random import Random
from statistics import fmean
from time import perf_counter, thread_time_ns

from pytest_gpupool.foreign import xdist_protocol
from pytest_gpupool.planning.decisions import Assign, Decision, Rest, Retire, Start, Steal
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.planning.workers import set_up_after
from pytest_gpupool.records import wire
from pytest_gpupool.values import messages
from pytest_gpupool.values.messages import Collected, Items, Message
from pytest_gpupool.values.wide_fixture import WideFixture

START_UP = (0.5, 2.0)
"""Seconds from a worker's start, or from the moment its devices are free, until it can run a test."""

ENDING = 0.2
"""Seconds from a worker's end until its devices are free."""

PER_HOST = 8
"""Devices of a host of a cluster."""

ASKS_BEFORE = 0.01
"""How long before the end of its test a worker asks for the next: a short tear-down."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Tests as a suite has them. ``sizes`` weighs the numbers of devices that they need."""

    median: float = 20.0
    spread: float = 1.0  # of the logarithm of their durations
    sizes: dict[int, float] = field(default_factory=lambda: {1: 1.0})
    unknown: float = 0.0  # the share of tests without a known duration
    noise: float = 0.0  # of the logarithm of the known ones
    crashes: float = 0.0  # how many of the attempts at a test kill the worker
    locked: float = 0.0  # the share of tests that hold one of 8 locks
    common: bool = False  # whether all hold one lock, and each one of its own besides
    stages: int = 1
    families: int = 0  # how many models the tests share, in turn; one is kept set up at a time
    load: float = 0.0  # what it takes to set one up

    def tests(self, number: int, dice: Random) -> tuple[list[Test], list[float]]:
        """Return that many tests, and what each will take."""
        seconds = [self.median * math.exp(dice.gauss(0.0, self.spread)) for _ in range(number)]
        sizes = dice.choices([*self.sizes], [*self.sizes.values()], k=number)
        tests = [
            Test(
                index=index,
                function=f"test_{index % 97}",
                gpus=sizes[index],
                stage=index * self.stages // number,
                locks=self._locks(index, dice),
                seconds=self._known(seconds[index], dice),
                set_ups=(self.model(index),),
            )
            for index in range(number)
        ]
        return tests, seconds

    def model(self, index: int) -> WideFixture:
        """Return what a test shares with others."""
        return WideFixture("model", "", f"m{index % (self.families or 13)}", "")

    def costs(self) -> dict[str, float | None]:
        """Return what it takes to set up each model."""
        return {self.model(index).key: self.load for index in range(self.families or 13)}

    def _locks(self, index: int, dice: Random) -> frozenset[str]:
        if self.common:
            return frozenset({"common", f"own-{index}"})
        return frozenset({f"lock-{index % 8}"}) if dice.random() < self.locked else frozenset()

    def _known(self, seconds: float, dice: Random) -> float | None:
        """Return what earlier runs say of a test that takes so long."""
        return None if dice.random() < self.unknown else seconds * math.exp(dice.gauss(0.0, self.noise))


MIXED = {1: 0.6, 2: 0.2, 4: 0.12, 8: 0.08}

SUITES = {
    "single": Suite(),
    "single, unknown": Suite(unknown=0.3, noise=0.2),
    "single, crashes": Suite(crashes=0.01),
    "single, short": Suite(median=0.02),
    "mixed": Suite(sizes=MIXED),
    "mixed, unknown": Suite(sizes=MIXED, unknown=0.3, noise=0.2),
    "mixed, crashes": Suite(sizes=MIXED, crashes=0.01),
    "mixed, stages": Suite(sizes=MIXED, stages=3),
    "mixed, locks": Suite(sizes=MIXED, locked=0.02),
    "mixed, brief": Suite(sizes=MIXED, median=2.0),
    "single, locks": Suite(locked=0.05),
    "single, common lock": Suite(common=True),
    "mostly large": Suite(sizes={1: 0.1, 2: 0.1, 4: 0.2, 8: 0.6}),
    "8 models": Suite(median=57.0, spread=0.1, families=8, load=180.0),
    "64 models": Suite(median=57.0, spread=0.1, families=64, load=180.0),
}


@dataclass(slots=True)
class Worker:
    """A worker process."""

    name: str
    gpus: int
    devices: list[int] = field(default_factory=list)
    queue: deque[int] = field(default_factory=deque)
    running: int | None = None
    ready: bool = False
    retired: bool = False
    set_up: frozenset[WideFixture] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a simulated run."""

    makespan: float
    bound: float
    micros: Sequence[float]

    @property
    def ratio(self) -> float:
        """The makespan over its lower bound."""
        return self.makespan / self.bound


class Simulation:
    """One run: the planner, workers and a clock."""

    def __init__(self, suite: Suite, *, devices: int, number: int, seed: int = 0) -> None:
        self.suite, self.dice = suite, Random(f"{seed}-{devices}-{number}")
        self.tests, self.seconds = suite.tests(number, self.dice)
        self.capacity = devices
        self.free = list(range(devices))
        self.now = 0.0
        self.end = 0.0
        self.micros: list[float] = []
        self.messages = 0
        self.workers: dict[str, Worker] = {}
        self.starting: deque[Worker] = deque()  # wait for devices, in turn
        self.names = map("gw{}".format, count())
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = count()
        self.loads = 0
        costs = suite.costs()
        self.planner = Planner(self.tests, capacity=devices, asked=devices, costs=costs)

    def run(self) -> Outcome:
        """Let events happen until nobody has anything to do; every test has run then."""
        for _ in range(self.capacity):
            self._start(1, 0)
        while self.events:
            self.now, _, happen = heapq.heappop(self.events)
            happen()
        assert self.planner.finished, "tests are left over"
        return Outcome(makespan=self.end, bound=self._bound(), micros=self.micros)

    def _bound(self) -> float:
        """Return what no schedule is shorter than."""
        stages: dict[int, list[tuple[Test, float]]] = {}
        for test, seconds in zip(self.tests, self.seconds, strict=True):
            stages.setdefault(test.stage, []).append((test, seconds))
        return sum(self._stage_bound(timed) for timed in stages.values())

    def _stage_bound(self, timed: Sequence[tuple[Test, float]]) -> float:
        chains = Counter[str]()
        for test, seconds in timed:
            chains.update(dict.fromkeys(test.locks, seconds))
        return max(
            *(seconds for _, seconds in timed),
            *chains.values(),
            sum(test.gpus * seconds for test, seconds in timed) / self.capacity
            + self.suite.load * self.suite.families / self.capacity,
            sum(seconds for test, seconds in timed if 2 * test.gpus > self.capacity),
        )

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), happen))

    def _later(self, worker: Worker, seconds: float, happen: Callable[[Worker], None]) -> None:
        """Let something happen to a worker, if it is still there then."""
        self._after(seconds, lambda: happen(worker) if worker.name in self.workers else None)

    def _tell(self, event: Callable[[], list[Decision]]) -> None:
        """Have the planner handle an event, and carry out what it decides."""
        self.planner.at(self.now)
        began = thread_time_ns()
        decisions = event()
        self.micros.append((thread_time_ns() - began) / 1000)
        self.messages += 1 + len(decisions)
        for decision in decisions:
            self._carry_out(decision)

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case Start(gpus=gpus, memory=memory):
                self._start(gpus, memory)
            case Assign(worker=name, tests=tests):
                worker = self.workers[name]
                worker.queue.extend(tests)
                self._begin(worker)
            case Steal(worker=name, tests=tests):
                worker = self.workers[name]
                given = [index for index in tests if index in worker.queue]
                worker.queue = deque(index for index in worker.queue if index not in tests)
                self._after(0.0, lambda: self._gave(worker, given))
            case Retire(worker=name):
                worker = self.workers[name]
                worker.retired = True
                if worker in self.starting:
                    self.starting.remove(worker)
                    worker.ready = True
                self._begin(worker)
            case Rest():
                pass

    def _gave(self, worker: Worker, tests: list[int]) -> None:
        if worker.name in self.workers:
            self._tell(lambda: self.planner.stolen(worker.name, tests))

    def _start(self, gpus: int, memory: int) -> None:
        worker = Worker(next(self.names), gpus)
        self.workers[worker.name] = worker
        self.planner.started(worker.name, gpus, memory)
        self.starting.append(worker)
        self._lease()

    def _lease(self) -> None:
        """Give free devices to who waits for them, the first one first."""
        while self.starting and len(self.free) >= self.starting[0].gpus:
            worker = self.starting.popleft()
            worker.devices = [self.free.pop() for _ in range(worker.gpus)]
            self._later(worker, self.dice.uniform(*START_UP), self._join)

    def _join(self, worker: Worker) -> None:
        worker.ready = True
        if worker.retired:
            self._begin(worker)
        else:
            self._tell(lambda: self.planner.joined(worker.name, map(str, worker.devices), math.inf))

    def _begin(self, worker: Worker) -> None:
        """Begin the next test, end, or wait."""
        if worker.running is not None or not worker.ready:
            return
        if not worker.queue:
            if worker.retired:
                worker.ready = False
                self._later(worker, ENDING, self._leave)
            return
        index = worker.running = worker.queue.popleft()
        seconds = self.seconds[index] + self._set_up(worker, self.tests[index])
        if self.dice.random() < self.suite.crashes:
            self._later(worker, seconds * self.dice.random(), partial(self._crash, index=index))
            return
        self._later(worker, max(0.0, seconds - ASKS_BEFORE), self._ask)
        self._later(worker, seconds, partial(self._finish, index=index))

    def _set_up(self, worker: Worker, test: Test) -> float:
        """Set up what a test needs, and return the seconds that it takes."""
        missing = [one for one in test.set_ups if one not in worker.set_up]
        worker.set_up = set_up_after(worker.set_up, test)
        self.loads += len(missing)
        return len(missing) * self.suite.load

    def _ask(self, worker: Worker) -> None:
        if not worker.queue and not worker.retired:
            self._tell(lambda: self.planner.asks(worker.name))

    def _finish(self, worker: Worker, index: int) -> None:
        worker.running = None
        self.end = self.now
        self._begin(worker)
        self._tell(lambda: self.planner.ended(worker.name, index, self.seconds[index]))

    def _leave(self, worker: Worker) -> None:
        del self.workers[worker.name]
        self.free += worker.devices
        self._tell(lambda: self.planner.lost(worker.name, None))
        self._lease()

    def _crash(self, worker: Worker, index: int) -> None:
        """The worker dies; half of such tests run once more, and xdist starts another worker in its place."""
        del self.workers[worker.name]
        self.free += worker.devices
        self.end = self.now
        self._tell(lambda: self.planner.lost(worker.name, index, replaced=not worker.retired))
        if self.dice.random() < 0.5:
            self._tell(lambda: self.planner.again(index, map(str, worker.devices)))
        else:
            self._tell(lambda: self.planner.settled(index))
        if not worker.retired:
            self._start(worker.gpus, 0)
        self._lease()


class Cluster(Simulation):
    """A run on hosts, of which so many are ``lost``; they come ``back`` after so many seconds, with None never."""

    def __init__(self, suite: Suite, *, hosts: int, number: int, lost: int, back: float | None, seed: int = 0) -> None:
        super().__init__(suite, devices=PER_HOST * hosts, number=number, seed=seed)
        self.away: set[int] = set()
        self.again = 0
        self.losses: list[tuple[float, int]] = []
        self.back = math.inf if back is None else back
        span = self._bound()
        moments = sorted(span * self.dice.uniform(0.05, 0.95) for _ in range(lost))
        self.losses = list(zip(moments, self.dice.sample(range(hosts), lost), strict=True))
        for moment, host in self.losses:
            self._after(moment, partial(self._lose, host))
            if back is not None:
                self._after(moment + back, partial(self._return, host))

    def _bound(self) -> float:
        """Return what no schedule is shorter than, with the devices that there are at each moment."""
        changes = [(at, -PER_HOST) for at, _ in self.losses]
        changes += [(at + self.back, PER_HOST) for at, _ in changes if self.back < math.inf]
        work = sum(test.gpus * seconds for test, seconds in zip(self.tests, self.seconds, strict=True))
        devices, now = self.capacity, 0.0
        for moment, more in sorted(changes):
            if work <= devices * (moment - now):
                break
            work -= devices * (moment - now)
            devices, now = devices + more, moment
        return max(now + work / devices, *self.seconds)

    def _lease(self) -> None:
        """Give free devices of one host to who waits for them, the first one first."""
        while self.starting:
            worker = self.starting[0]
            by_host = Counter(device // PER_HOST for device in self.free)
            # Where just enough are free: large ones find a whole host sooner.
            host = min((one for one in by_host if by_host[one] >= worker.gpus), key=by_host.__getitem__, default=None)
            if host is None:
                return
            self.starting.popleft()
            worker.devices = [device for device in self.free if device // PER_HOST == host][: worker.gpus]
            self.free = [device for device in self.free if device not in worker.devices]
            self._later(worker, self.dice.uniform(*START_UP), self._join)

    def _lose(self, host: int) -> None:
        """The host is gone, and all that is on it."""
        self.away.add(host)
        self.free = [device for device in self.free if device // PER_HOST != host]
        for worker in [one for one in self.workers.values() if one.devices and one.devices[0] // PER_HOST == host]:
            del self.workers[worker.name]
            self._tell(partial(self.planner.lost, worker.name, worker.running, room=self._room))
            if worker.running is not None:
                self.again += 1
                self._tell(partial(self.planner.again, worker.running, [*map(str, worker.devices)]))
        self._tell_room()

    def _return(self, host: int) -> None:
        if not self.planner.finished:
            self.away.discard(host)
            self.free += range(PER_HOST * host, PER_HOST * (host + 1))
            self._tell_room()
            self._lease()

    @property
    def _room(self) -> int:
        return self.capacity - PER_HOST * len(self.away)

    def _tell_room(self) -> None:
        gone = [str(PER_HOST * host + number) for host in self.away for number in range(PER_HOST)]
        self._tell(lambda: self.planner.shrunk(self._room, lambda gpus, memory: (gpus, memory), gone))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        yield f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        if number == 0:
            yield f"| {' | '.join('-' * width for width in widths)} |"


def main() -> None:
    """Run what the command line asks for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[8, 64, 1024])
    parser.add_argument("--tests", type=int, nargs="+", default=[100, 2000])
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=[*SUITES])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--long", action="store_true", help="up to 100,000 tests")
    parser.add_argument("--hosts", action="store_true", help="1,024 devices on 128 hosts, some of which are lost")
    given = parser.parse_args()
    if given.hosts:
        print("\n".join(table(clusters(given.seed))))
        return
    numbers = [100, 1000, 10_000, 100_000] if given.long else given.tests
    rows = [["devices", "tests", "suite", "bound s", "÷ bound", "µs mean", "µs 99 %", "real s"]]
    for devices in [8, 32, 128, 1024] if given.long else given.devices:
        for number in numbers:
            rows.extend(measured(name, devices, number, given.seed) for name in given.suite)
    print("\n".join(table(rows)))
    print("\nGrowth of the mean cost at 1024 devices:\n")
    print("\n".join(table(growth(given.seed, given.long))))
    print("\nSent at the start of a run:\n")
    print("\n".join(table(starts())))


def measured(name: str, devices: int, number: int, seed: int) -> list[str]:
    """Return a row of the table."""
    began = perf_counter()
    outcome = Simulation(SUITES[name], devices=devices, number=number, seed=seed).run()
    return [
        f"{devices}",
        f"{number}",
        name,
        f"{outcome.bound:.1f}",
        f"{outcome.ratio:.3f}",
        f"{fmean(outcome.micros):.0f}",
        f"{percentile(outcome.micros, 0.99):.0f}",
        f"{perf_counter() - began:.1f}",
    ]


LOSSES = ((0, None), (1, None), (8, None), (8, 120.0), (32, None), (32, 120.0))
"""How many of 128 hosts are lost, and after how many seconds they are back."""


def clusters(seed: int) -> list[list[str]]:
    """Return the table of runs on 128 hosts."""
    head = ["suite", "tests", "hosts lost", "back after", "bound s", "÷ bound", "run again"]
    rows = [[*head, "µs mean", "µs 99 %", "messages"]]
    number = 20_000
    for name in ("single", "mixed", "mixed, unknown"):
        # Among 20 tests for each device the longest would be all that counts.
        suite = replace(SUITES[name], spread=0.5)
        for lost, back in LOSSES:
            run = Cluster(suite, hosts=128, number=number, lost=lost, back=back, seed=seed)
            outcome = run.run()
            rows.append(
                [
                    *(name, f"{number}", f"{lost}", "–" if back is None else f"{back:.0f} s"),
                    *(f"{outcome.bound:.1f}", f"{outcome.ratio:.3f}", f"{run.again}"),
                    *(f"{fmean(outcome.micros):.0f}", f"{percentile(outcome.micros, 0.99):.0f}"),
                    f"{run.messages / number:.2f}",
                ]
            )
    return rows


def growth(seed: int, long: bool) -> list[list[str]]:
    """Return the table of cost by number of tests."""
    numbers = [100, 1000, 10_000, *([100_000] if long else [])]
    rows = [["suite", *(f"{number} tests, µs" for number in numbers)]]
    for name in ("single", "mixed", "single, common lock"):
        runs = [Simulation(SUITES[name], devices=1024, number=number, seed=seed).run() for number in numbers]
        rows.append([name, *(f"{fmean(run.micros):.0f}" for run in runs)])
    return rows


def starts() -> list[list[str]]:
    """Return the table of what workers send of their collections, in MB in all."""
    rows = [["workers", "tests", "all the same, MB", "all different, MB"]]
    for workers, number in ((8, 10_000), (64, 100_000)):
        ids = [f"evals/test_models_{index % 97}.py::TestAnswers::test_answer[{index}-bf16]" for index in range(number)]
        warm = {index: f"{nodeid.partition('::')[0]}|model{index % 13}" for index, nodeid in enumerate(ids)}
        digest = sent(Collected("0" * 64, "0" * 64, number))
        told = sent(Items.of(ids, None, requirements={}, groups={}, warm=warm))
        rows.append([f"{workers}", f"{number}", f"{workers * digest + told:.1f}", f"{workers * (digest + told):.1f}"])
    return rows


def sent(message: Message) -> float:
    """Return how large a message is on its way to the controller, in MB."""
    return len(wire.dumps([xdist_protocol.unscheduled(messages.to_wire(message))])) / 1e6


if __name__ == "__main__":
    main()

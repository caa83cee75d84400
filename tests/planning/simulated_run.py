"""A run around a planner: what workers say is told to it, and what it decides is checked and carried out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

from made_plans import LONG
from simulated_rules import DEADLINE, Rules
from simulated_workers import Worker

from pytest_gpupool.planning.decisions import Assign, Decision, Rest, Retire, Start, Steal
from pytest_gpupool.planning.tests import Test


class SimulatedRun(Rules):
    """What workers do, what is heard of it, and what the planner makes of that."""

    def start(self, gpus: int, memory: int, *, is_alone: bool = False) -> str:
        name = f"gw{self.numbers}"
        self.numbers += 1
        assert self.numbers <= 100 + 10 * (len(self.tests) + self.losses), "workers come and go without end"
        collection = Random(f"{self.seed}-{name}").randrange(len(self.lacks))
        self.workers[name] = Worker(name, gpus=gpus, memory=memory, collection=collection, is_alone=is_alone)
        self.refused[name] = set()
        self.planner.started(name, gpus, memory, is_alone=is_alone)
        return name

    def free_devices(self, worker: Worker) -> list[str]:
        held = {device for other in self.workers.values() for device in other.devices}
        return [
            device
            for device, memory in self.devices.items()
            if device not in held | self.lost_devices and memory >= worker.memory
        ]

    def can_join(self, worker: Worker) -> bool:
        enough = worker.leased or len(self.free_devices(worker)) >= worker.gpus
        return not worker.ready and not worker.told and not worker.barred and enough

    def come_on(self, worker: Worker) -> None:
        """Lease, collect or be ready, whichever comes next."""
        if not worker.leased:
            worker.devices = frozenset(self.free_devices(worker)[: worker.gpus])
            worker.memory = min((self.devices[device] for device in worker.devices), default=0)
            worker.leased = True
            self.planner.leased(worker.name)
        elif not worker.collects:
            worker.collects = True
            self.planner.collects(worker.name)
        else:
            self.join(worker)

    def bar(self, worker: Worker) -> None:
        worker.barred = True
        self.carry_out(self.planner.is_barred(worker.name))

    def join(self, worker: Worker) -> None:
        worker.ready = True
        if worker.collection not in self.found:
            self.find(worker.collection)
        self.waits.add(worker.name)
        self.questions += 1
        memory = worker.memory if worker.gpus else math.inf
        self.carry_out(self.planner.joined(worker.name, worker.devices, memory, worker.collection))

    def find(self, collection: int) -> None:
        """Workers of this collection have found other tests than those before."""
        more = [replace(test, index=len(self.tests) + at) for at, test in enumerate(self.more[collection])]
        lacks = {*self.lacks[collection], *(index for index in range(self.first, len(self.tests)))}
        self.found.add(collection)
        for index in lacks:
            self.lacked_by[index].add(collection)
        for test in more:
            self.lacked_by[test.index] = self.found - {collection}
        self.tests += more
        self.planner.collected(collection, sorted(lacks), more)

    def can_be_poisoned(self, worker: Worker) -> bool:
        # Two of them are always left: devices of no use to anybody else would be lost to the pool.
        sound = [other for other in self.workers.values() if not other.poisoned]
        return worker.ready and worker in sound and worker.name not in self.retired and self.losses < 20

    def can_run(self, test: Test, devices: Iterable[int]) -> bool:
        memories = list(devices)
        enough = sum(memory >= test.memory for memory in memories) >= test.gpus
        return enough or test.gpus > len(memories)

    def drain(self) -> None:
        """Let everybody go on until nothing moves."""
        for _ in range(40 * len(self.tests) + 400):
            moved = [self.go_on(worker) for worker in list(self.workers.values())] + [self.exit_one()]
            if not any(moved) and not self.give_up_barred():
                return
        left = [test for test in self.tests if test.index not in self.over]
        raise AssertionError(f"it goes on for ever: {self.workers}, {left}")

    def give_up_barred(self) -> bool:
        """The engine takes one away that waits for what nobody can use; say whether there was one."""
        barred = next((worker for worker in self.workers.values() if worker.barred), None)
        if barred is not None:
            self.losses += 1
            self.bury(barred, None)
        return barred is not None

    def go_on(self, worker: Worker, *, stuck: bool = False) -> bool:
        """Hear, read or work, whichever can be done; say whether anything could."""
        if worker.name not in self.workers:
            return False
        if worker.said:
            self.hear(worker)
        elif not worker.ready and worker.told:
            self.bury(worker, None)  # cancelled before it had a device
        elif self.can_join(worker):
            self.come_on(worker)
        elif worker.ready and worker.told:
            worker.read()
        elif worker.can_step() and not stuck:
            self.step(worker, None, look_first=True)
        else:
            return False
        return True

    def stuck(self, pick: int) -> str | None:
        names = list(self.workers)
        return names[pick] if pick < len(names) else None

    def something_happens(self, dice: Random, deaths: bool, stuck: str | None) -> None:
        chance = dice.random()
        if not self.workers:
            return
        worker = dice.choice(list(self.workers.values()))
        fate = dice.choice(["again", "again", "settled", "later"])
        if not worker.ready:
            if chance < 0.2:
                self.go_on(worker)
        elif chance < 0.02:
            if self.blamed:
                self.decide(again=dice.random() < 0.5)
        elif chance < 0.05:
            if self.late:
                self.hear_late()
            self.exit_one()
        elif deaths and chance < 0.06:
            self.kill(worker, keep=dice.random() < 0.8, fate=fate, hung=dice.random() < 0.3)
        elif deaths and chance < 0.065 and self.can_be_poisoned(worker):
            worker.poison(fails=dice.random() < 0.6)
        elif deaths and chance < 0.1 and self.robbed and self.waits:
            self.kill(self.workers[self.robbed[0]], keep=dice.random() < 0.8, fate=fate, hung=False)
        elif chance < 0.11 and self.robbed:
            self.does_not_answer(self.robbed.pop())
        elif chance < 0.15 and worker.running is not None and not worker.reported:
            worker.report_call()
        elif worker.said and chance < 0.4:
            self.hear(worker)
        elif worker.told and chance < 0.6:
            worker.read()
        elif worker.can_step() and worker.name != stuck:
            self.step(worker, LONG if chance > 0.995 else None, look_first=dice.random() < 0.6)

    def step(self, worker: Worker, seconds: float | None, *, look_first: bool) -> None:
        before = worker.running
        usual = 0.0 if before is None else self.seconds[self.tests[before].function]
        worker.step(usual if seconds is None else seconds, look_first=look_first)
        if worker.running is not None and worker.running != before:
            self.check_begun(worker, self.tests[worker.running])

    def hear(self, worker: Worker) -> None:
        kind, value = worker.said.popleft()
        name = worker.name
        match kind, value:
            case "asks", _:
                self.questions += 1
                queue = self.planner.assigned(name)
                if len(queue) <= 1 and name not in self.retired:
                    self.waits.add(name)
                if queue:
                    self.ending.add(name)
                self.carry_out(self.planner.asks(name))
            case "ended", (int(index), float(seconds)):
                self.over.add(index)
                self.ending.discard(name)
                self.functions.setdefault(self.tests[index].function, []).append(seconds)
                decisions = self.planner.ended(name, index, seconds)
                self.carry_out(decisions)
                if not self.robbed and not any(isinstance(decision, Assign) for decision in decisions):
                    self.check_kept()
            case "failed", (int(index), float(seconds)):
                self.hear_failed(name, index, seconds)
            case "stolen", list(given):
                if name in self.robbed or name in self.silent:
                    self.robbed = [robbed for robbed in self.robbed if robbed != name]
                    self.silent.discard(name)
                    self.refused[name] |= self.asked_for.pop(name) - set(given)
                self.carry_out(self.planner.stolen(name, given))
            case "poisoned", list(given):
                self.losses += 1
                self.leaves(name)
                self.retired.add(name)
                self.carry_out(self.planner.poisoned(name, given))
            case "gone", _:
                assert worker.poisoned or self.planner.assigned(name) == ()
                self.bury(worker, None)

    def hear_failed(self, name: str, index: int, seconds: float) -> None:
        """A test has run out of memory, and is to run again in a fresh worker."""
        self.ending.discard(name)
        self.functions.setdefault(self.tests[index].function, []).append(seconds)
        self.carry_out(self.planner.ended(name, index, seconds, is_over=False))
        self.again(index, frozenset(), fresh=True)

    def kill(self, worker: Worker, *, keep: bool, fate: str, hung: bool) -> None:
        while worker.said:
            kind, value = worker.said[0]
            if kind == "gone":
                self.hear(worker)
                return
            if kind == "stolen" and keep:
                assert isinstance(value, list)
                self.late.append((worker.name, value))
                worker.said.popleft()
            else:
                self.hear(worker)
        self.losses += 1
        index, replaced = worker.running, not hung
        if index is not None:
            self.blamed.append((index, worker.devices))
        self.bury(worker, index, replaced=replaced)
        if index is not None and fate == "again":
            # Some of those that die are ended by the kernel, for want of memory.
            fresh = index % 3 == 0
            self.again(index, frozenset() if fresh else worker.devices, fresh=fresh)
        if index is not None and fate != "later":
            self.settle(index)
        if replaced:
            self.unasked.add(self.start(worker.gpus, 0))

    def does_not_answer(self, name: str) -> None:
        """It was asked for tests too long ago."""
        self.silent.add(name)
        self.carry_out(self.planner.has_not_answered(name))

    def leaves(self, name: str) -> None:
        self.silent.discard(name)
        self.waits.discard(name)
        self.resting.discard(name)
        self.unasked.discard(name)
        self.ending.discard(name)
        self.asked_for.pop(name, None)
        self.robbed = [robbed for robbed in self.robbed if robbed != name]
        self.owners = {group: owner for group, owner in self.owners.items() if owner != name}

    def bury(self, worker: Worker, blamed: int | None, *, replaced: bool = False) -> None:
        assert blamed is None or blamed in self.planner.assigned(worker.name)
        del self.workers[worker.name]
        self.leaves(worker.name)
        self.exiting.append(worker.name)
        self.carry_out(self.planner.lost(worker.name, blamed, replaced=replaced, is_ending=True))

    def exit_one(self) -> bool:
        """The process of a worker that is gone has ended; say whether there was one."""
        if not self.exiting:
            return False
        self.carry_out(self.planner.exited(self.exiting.pop(0)))
        return True

    def hear_late(self) -> None:
        """An answer comes of a worker that is dead."""
        name, tests = self.late.pop(0)
        self.carry_out(self.planner.stolen(name, tests))

    def decide(self, *, again: bool) -> None:
        """Others say whether a crashed test runs again."""
        index, devices = self.blamed.pop(0)
        if again:
            self.again(index, devices)
        self.settle(index)

    def settle(self, index: int) -> None:
        self.blamed = [entry for entry in self.blamed if entry[0] != index]
        if index not in self.rerun:
            self.over.add(index)
            self.crashed.add(index)
        self.carry_out(self.planner.settled(index))

    def again(self, index: int, avoid: frozenset[str], *, fresh: bool = False) -> None:
        self.blamed = [entry for entry in self.blamed if entry[0] != index]
        self.crashed.discard(index)
        self.over.discard(index)
        self.rerun.add(index)
        self.agains[index] += 1
        if self.tests[index].group is not None:
            self.split.add(self.kind(self.tests[index]))
        if fresh:
            self.fresh.add(index)
        test, exchanges = self.tests[index], 0 if fresh else self.exchanges
        is_queued = test.group or test.locks or test.serial or any(other.stage for other in self.tests)
        if exchanges and not is_queued:
            self.avoid[index] = avoid  # in the queue nobody looks at that
        self.carry_out(self.planner.again(index, avoid, fresh=fresh, exchanges=exchanges))

    def time_goes_by(self, left: float) -> None:
        """So much of the run's time is left, unless it was less already."""
        self.left = min(self.left, left)
        self.planner.at(DEADLINE - self.left)
        self.carry_out(self.planner.looks_again())

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        self.check_too_late()
        for decision in decisions:
            if isinstance(decision, Start):
                continue
            assert decision.worker in self.workers, "a dead worker is told something"
            assert decision.worker not in self.retired, "a worker that was let go is told something"
            if not (isinstance(decision, Retire) and self.workers[decision.worker].poisoned):
                self.workers[decision.worker].told.append(decision)
        # In two steps: the planner's queues are those after the last decision.
        for decision in decisions:
            match decision:
                case Assign(worker=name, tests=tests):
                    self.check_assigned(name, tests)
                case Steal(worker=name, tests=tests):
                    self.check_steal(name, tests)
                case Rest(worker=name):
                    assert name in self.waits | self.ending, "nobody asked"
                    self.waits.add(name)  # it asked when it had a next test, which was stolen since
                    self.resting.add(name)
                case Retire(worker=name):
                    self.waits.discard(name)
                    self.resting.discard(name)
                    self.retired.add(name)
        for decision in decisions:
            match decision:
                case Start(gpus=gpus, memory=memory, is_alone=is_alone):
                    self.start(gpus, memory, is_alone=is_alone)
                case Retire(worker=name):
                    self.check_retired(self.workers[name], decisions)
        self.check_in_vain()
        self.check_given_up()

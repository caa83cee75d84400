"""The crew: the worker processes of a run as the controller knows them, and what they say."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xdist.workermanage import WorkerController

from ..devices.health import Health
from ..planning.demands import Told, planned_tests, possible
from ..planning.tests import Test
from ..processes.guardian import Guardian
from ..run.controller import Controller
from ..values.device import Device
from ..values.texts import iso
from ..worker import remote
from ..worker.interactor import DESCRIBE
from ..worker.resume import WholeCollection
from . import process_ends
from .each import EachLeasedScheduling
from .lease_waits import Patience
from .member import Member
from .nodes import Message
from .scheduler import LateScheduling
from .timekeeper import Timekeeper


@dataclass(frozen=True, slots=True)
class _Shape:
    gpus: int = 1
    memory: int = 0
    avoid: tuple[str, ...] = ()


class Crew:
    """The workers of a run; what the scheduler asks of them is in ``nodes.Nodes``."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.asked = 1
        self.scheduler: LateScheduling | EachLeasedScheduling | None = None
        self.guardian = Guardian()
        controller.config.add_cleanup(self.guardian.dismiss)
        self.time = Timekeeper(controller.records.run_id, self._overdue)
        self.health = Health(
            controller.devices.pool.devices, controller.devices.memory_after_death(), self._device_failed
        )
        self._members: dict[str, Member] = {}
        self._patience = Patience(controller, self._members.values(), self._go_on_without)
        self._died: set[str] = set()
        self._left_out: set[str] = set()
        self._wanted: _Shape | None = None  # of the worker that is being started
        self._replacing = _Shape()  # of the one that xdist starts in a dead one's place
        self._describer: WorkerController | None = None
        self._described = False
        self._needed = 1  # how many devices the largest test asks for
        self._largest = len(controller.devices.pool.devices)  # how many are to be had together

    # Coming and going

    def enlist(self, node: WorkerController) -> None:
        """A worker is about to be started: decide what it shall hold, and give it its orders."""
        shape = self._wanted or self._replacing
        if self._wanted is None:
            self._replacing = _Shape()
        places = self._free_places(shape.gpus)
        self._members[node.gateway.id] = Member(node, places, gpus=shape.gpus, memory=shape.memory)
        orders = self.controller.orders.at(places, gpus=shape.gpus, memory=shape.memory, avoid=shape.avoid)
        node.workerinput["gpupool"] = orders.to_wire()
        node.workerinput["gpupool_root"] = str(Path(remote.__file__).parents[2])  # where the package lies
        self.guardian.watch(process_ends.pid(node), process_ends.marks(node, self.controller.records.run_id))
        if isinstance(self.scheduler, LateScheduling):
            self.scheduler.started(node, shape.gpus, shape.memory)

    def dismiss(self, node: WorkerController, error: object) -> Member | None:
        """A worker has ended; return what is known of it, None where that was said before."""
        member = self._members.get(node.gateway.id)
        if member is None or member.gone:
            return None
        member.gone = True
        self.time.ends(node.gateway.id)
        if error:
            self._died.add(node.gateway.id)
            self._replacing = _Shape(member.gpus, member.memory, member.devices)
        if self._describer is node and not self._described:
            self._ask_for_params(next((other.node for other in self._present() if other.collected), None))
        if member.leased and (error or member.overdue):
            self.health.after_death(member.devices)
        if not error:  # else xdist starts another one
            self.soon({"kind": "fewer"})
        return member

    def start(self, gpus: int, memory: int, avoid: Sequence[str]) -> None:
        """Start a worker that leases so many devices of at least so much memory, others than these if possible."""
        session = self._session
        if session.shuttingdown:
            return
        self._wanted = _Shape(gpus, memory, tuple(avoid))
        # As xdist does it for a worker that crashed.
        manager = session.nodemanager
        spec = copy.copy(manager.specs[0])
        spec.id = None
        manager.group.allocate_id(spec)
        session._active_nodes.add(manager.setup_node(spec, session.queue.put))
        self._wanted = None

    def retire(self, node: WorkerController) -> None:
        """Let a worker finish."""
        self._members[node.gateway.id].retired = True
        node.shutdown()

    def live(self) -> list[WorkerController]:
        """Every worker that was started and has not ended, with or without a lease."""
        return [member.node for member in self._present()]

    def sizes(self) -> list[tuple[WorkerController, int, int]]:
        """Return every live worker with the number of its devices and the bytes that each has at least."""
        return [(member.node, member.gpus, member.memory) for member in self._present()]

    def devices(self, node: WorkerController) -> tuple[tuple[str, ...], float]:
        """Return the ids of a worker's devices and the bytes of the smallest, infinity where that is not known."""
        ids = self._members[node.gateway.id].devices
        totals = [device.memory_total for device in self.controller.devices.pool.devices if device.id in ids]
        return ids, min((total for total in totals if total is not None), default=math.inf)

    def has_failed(self, node: WorkerController) -> bool:
        """Return whether a worker died."""
        return node.gateway.id in self._died

    def was_ended(self, node: WorkerController) -> bool:
        """Return whether it was we who ended a worker, because its test took too long."""
        return self._members[node.gateway.id].overdue is not None

    def close(self) -> None:
        """No more tests are given out: stop what goes on beside them, and see once more how the devices are."""
        self.time.close()
        if self.health.close() and self.scheduler is not None:
            for device, reason in self.health.look():
                self.controller.devices.quarantine(device.id, reason)

    # What is planned

    @property
    def longest_first(self) -> bool:
        """Whether the longest test starts first."""
        return self.controller.options.longest_first

    def room(self, largest: int) -> int:
        """Return how many devices, or slots, the run may hold where its largest test asks for so many."""
        return max(min(self.asked, self.controller.devices.places() or self.asked), largest)

    @property
    def timeout(self) -> float | None:
        """The longest a test may take that names no limit, in seconds."""
        return self.controller.options.timeout

    def plan(self, tests: Sequence[str], told: Told) -> list[Test]:
        """Return the tests as the pool can run them, with the seconds that each will take."""
        controller = self.controller
        mode, devices = controller.config.getvalue("dist"), controller.devices.pool.devices
        planned = planned_tests(
            tests, told, controller.history.known(), devices=devices, timeout=self.timeout, mode=mode
        )
        self._needed = max((test.gpus for test in planned), default=1)
        return planned

    def collected(self, node: WorkerController, tests: Sequence[str], left: str | None) -> None:
        """A worker's collection is what the run will run; its tests' parameters follow on demand."""
        told = None if left is None else WholeCollection.from_wire(left)
        self.controller.collected(node.gateway.id, [(nodeid, {}) for nodeid in tests], told)
        self._ask_for_params(node)

    def attempts(self, test: str) -> int:
        """Return how often a test was tried so far."""
        result = self.controller.records.results.get(test, "")
        return 0 if result is None else result.attempt

    def has_collected(self, node: WorkerController) -> None:
        """A worker has collected: from now on it hears commands."""
        self._members[node.gateway.id].collected = True

    # Time

    def runs(self, node: WorkerController, test: str | None, limit: float | None) -> None:
        """A worker runs this test now, for so many seconds at most."""
        self.time.runs(self._members[node.gateway.id], test, limit)

    def soon(self, message: Message) -> None:
        """Hear this message once the present event is over; may be called from any thread."""
        self._session.queue.put(("unscheduled", {"node": None, "indices": [message]}))

    def _overdue(self, worker: str, test: str) -> None:
        self.soon({"kind": "overdue", "worker": worker, "test": test})

    def _cut_off(self, member: Member, test: str) -> None:
        """A test takes too long, or did when that was seen."""
        queue = self.scheduler.queue(member.node) if self.scheduler is not None else []
        if not (member.gone or member.overdue) and test in queue[:1]:  # else it has ended by now
            self.time.cut_off(member, test)

    # What became of tests and devices

    def crashed(self, node: WorkerController, queue: Sequence[str]) -> tuple[str | None, list[str]]:
        """A worker died; say which test of its queue it was running, and blame that one, and which had ended."""
        worker = node.gateway.id
        member = self._members[worker]
        begun = self.controller.records.last_attempts(worker)
        over = [nodeid for nodeid in queue if self.controller.records.has_result(worker, nodeid, begun)]
        left = [nodeid for nodeid in queue if nodeid not in over and (begun is None or nodeid in begun)]
        running = left[0] if left else None
        if running is not None and member.overdue in (None, running):
            # Metrics of a test that died with its worker are in the journal alone.
            self.controller.records.results.add_all([] if begun is None else begun[running])
            kind, message = (
                ("crash", member.crash_text()) if member.overdue is None else ("timeout", member.limit_text())
            )
            started = begun[running][0]["started"] if begun else None
            self.controller.records.write(
                kind, worker=worker, test=running, started=started, ended=iso(time.time()), message=message
            )
            return running, over
        return None, over  # that it was ended was meant for another test

    def left_out(self, node: WorkerController, difference: str) -> None:
        """A worker's collection differs from the run's: it gets no tests."""
        text = f"{node.gateway.id} collected other tests than the first worker and is left out:\n{difference}"
        self._left_out.add(node.gateway.id)
        others = [member for member in self._present() if member.name not in self._left_out]
        # Those that are started in the place of others will hardly do better than all before them.
        if not others or (len(self._left_out) >= self.asked and not any(other.collected for other in others)):
            self.controller.console.stop(f"{text}\nNo other worker is left.", pytest.ExitCode.TESTS_FAILED)
        self.controller.console.warn(text)

    def quit(self, node: WorkerController, queue: Sequence[str]) -> None:
        """A worker ended its session before its tests had ended, as pytest.exit makes it: that ends the run."""
        if node.workeroutput["shouldfail"] or node.workeroutput["shouldstop"]:
            return  # -x, for instance, of which xdist knows
        if node.workeroutput["exitstatus"] == pytest.ExitCode.INTERRUPTED:
            return
        status = node.workeroutput["exitstatus"] or pytest.ExitCode.TESTS_FAILED
        self.controller.console.stop(f"{node.gateway.id} ended the session in {queue[0]}", status)

    def replaces(self, node: WorkerController, dead: WorkerController) -> None:
        """With ``--dist each`` a worker goes on with a dead one's tests."""
        self.controller.records.write("replaces", worker=node.gateway.id, dead=dead.gateway.id)

    def _device_failed(self, device: Device, reason: str) -> None:
        self.soon({"kind": "device-failed", "device": device.id, "reason": reason})

    def quarantine(self, device: str, reason: str) -> None:
        """A device is no good any more: the run goes on with the others, if there are any."""
        controller = self.controller
        if not controller.devices.quarantine(device, reason):
            return
        if not controller.devices.usable():
            self._patience.stop("no device is left")
        self._shrink()

    # What workers say

    def heard(self, node: WorkerController | None, message: Message) -> None:
        """A worker, or one of our threads, has something to say that is not about scheduling."""
        match message["kind"]:
            case "overdue":
                self._cut_off(self._members[message["worker"]], message["test"])
            case "fewer":
                if self.scheduler is not None and not self.scheduler.tests_finished:
                    self._patience.reconsider()
            case "device-failed":
                self.quarantine(message["device"], message["reason"])
            case kind if node is not None and not (member := self._members[node.gateway.id]).gone:
                self._heard(kind, member, message)

    def _heard(self, kind: str, member: Member, message: Message) -> None:
        worker = member.node.gateway.id
        match kind:
            case "leased":
                self._has_lease(member, message)
            case "waiting":
                self._patience.tell(member.waits_text(), message["blockers"])
            case "held-up":
                self.time.hold(worker, message["test"])
                self._patience.tell(f"{worker} waits for memory for {message['test']}", message["blockers"])
            case "let-in":
                self.time.restart(worker, message["test"])
            case "poisoned":
                self.controller.console.warn(
                    f"{worker} ran no more tests after {message['test']}, since its process can use CUDA no more: "
                    f"{message['why']}"
                )
            case "broken":
                self.controller.broken = True
                self.controller.console.warn(f"{worker} did not end well: {message['text']}")
            case "records":
                for line in message["lines"]:
                    self.controller.records.take(line)
            case "params":
                self._described = True
                self.controller.records.write("collected", worker=worker, tests=json.loads(message["text"]))
            case "expired":
                self._patience.ends(member, message)
            case "failed" if any(other.leased for other in self._present()):
                # The others' work is not to be lost for it.
                self.controller.console.warn(f"{worker} is left out: {message['text']}")
                self.retire(member.node)
            case "failed":
                self.controller.console.stop(message["text"], message["status"])

    def _has_lease(self, member: Member, message: Message) -> None:
        record = message["record"]
        member.leased, member.expired = True, None
        member.devices, member.pid, member.stacks = tuple(record["devices"]), record["pid"], message["stacks"]
        self.controller.records.results.add(record)
        if record["lease_wait_s"] >= 1.0:
            waited, devices = record["lease_wait_s"], ", ".join(record["devices"])
            self.controller.console.tell(f"{record['worker']} leased {devices} after {waited:.0f} s")

    def _go_on_without(self, gpus: int) -> None:
        """So many devices together are not to be had: the tests that need them fail, the others run."""
        self._largest = gpus - 1
        self._shrink()

    def _shrink(self) -> None:
        left = self.controller.devices.usable()
        fits = functools.partial(possible, devices=left, largest=self._largest)
        if isinstance(self.scheduler, LateScheduling):
            needed = min(self._needed, self._largest, len(left))
            self.scheduler.shrunk(self.room(needed), fits, self.controller.records.results.quarantined)

    def _ask_for_params(self, node: WorkerController | None) -> None:
        self._describer = node
        if node is not None:
            with contextlib.suppress(OSError):  # it has died, which is heard next
                node.sendcommand(DESCRIBE)

    def _present(self) -> list[Member]:
        return [member for member in self._members.values() if not member.gone]

    def _free_places(self, gpus: int) -> tuple[int, ...]:
        taken = {place for member in self._present() if not member.retired for place in member.places}
        free = (number for number in itertools.count() if number not in taken)
        return tuple(itertools.islice(free, max(1, gpus)))

    @property
    def _session(self) -> Any:
        return self.controller.config.pluginmanager.getplugin("dsession")

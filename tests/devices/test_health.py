"""A device that is lost, or that keeps a dead worker's memory, is told of once; the pool goes on with the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from standin import Driver, Gpu, Mig, fake_uuid

GIB = 2**30
GPU_IS_LOST, RESET_REQUIRED, UNKNOWN = 15, 16, 999
HANGS = 120.0
"""Seconds that nothing takes which works."""

LOST = "is lost (it fell off the bus: see 'dmesg', then reset or reboot)"
KEPT = "did not give its memory back after its worker died: "

# Once its devices are known: an expression a line in, as JSON; its value a line out.
CHILD = """
import json, os, subprocess, sys, threading
from pytest_gpupool.devices.health import Health
from pytest_gpupool.processes import table
from pytest_gpupool.processes.termination import Worker
from pytest_gpupool.values.device import Device, Size

wire, allowed, keys = map(json.loads, sys.argv[1:])
devices = [Device.from_wire(device) for device in wire]
told, failures, held = [], [], set()
dead = subprocess.Popen(["sleep", "600"])
worker = Worker(table.identity(dead.pid), {"GPUPOOL_RUN": "the dead one's"})
dead.kill()
dead.wait()
threading.excepthook = lambda failure: failures.append(repr(failure.exc_value))
health = Health(
    devices, None if allowed is None else Size.parse(allowed), lambda *call: told.append(call), **keys
)

def calls():
    return [[device.id, reason] for device, reason in told]

def look():
    return [[device.id, reason] for device, reason in health.look()]

def threads():
    return sum(thread.name == "gpupool-health" for thread in threading.enumerate())

for line in sys.stdin:
    print(json.dumps(eval(json.loads(line))), flush=True)
"""


class Keeper:
    """A process of a user, the controller, which looks after the devices of a driver."""

    def __init__(self, driver: Driver, allowed: str | None = "512MiB", **keys: float) -> None:
        wire = [device for gpu in driver.gpus for device in devices_of(driver, gpu)]
        args = [json.dumps(value) for value in (wire, allowed, {"look_seconds": 0.01, **keys})]
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *args],
            env=driver.environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, expression: str) -> Any:
        """The value of an expression, as JSON has it."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps(expression), file=self._child.stdin, flush=True)
        return json.loads(self._child.stdout.readline())

    def start(self) -> None:
        """Begin to look again and again."""
        self.ask("health.start()")

    def look(self) -> Any:
        """Look once."""
        return self.ask("look()")

    def told(self) -> Any:
        """What the controller was told so far."""
        return self.ask("calls()")

    def tells(self, count: int = 1) -> Any:
        """Wait until so much was told, and return it."""
        return self._until("calls()", lambda told: len(told) >= count)

    def forgets(self) -> None:
        """Wait until the devices of dead workers are not looked at any more."""
        self._until("threads()", lambda threads: threads == 0)

    def dies(self, *ids: str) -> None:
        """A worker dies that held these devices."""
        self.ask(f"health.after_death({list(ids)!r}, worker, held.__contains__)")

    def kill(self) -> None:
        """End it."""
        self._child.kill()
        self._child.communicate()

    def _until(self, expression: str, holds: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + HANGS
        while not holds(answer := self.ask(expression)):
            assert time.monotonic() < deadline, answer
            time.sleep(0.01)
        return answer


def devices_of(driver: Driver, gpu: Gpu) -> Iterator[Mapping[str, Any]]:
    """The devices of a GPU as the pool has them."""
    index = driver.uuids.index(gpu.uuid)
    for one in gpu.mig or (gpu,):
        kind = "mig" if gpu.mig else "gpu"
        yield {"id": one.uuid, "kind": kind, "index": index, "name": one.name, "memory_total": one.memory}


@pytest.fixture
def keeper() -> Iterator[Callable[..., Keeper]]:
    """Starts processes, and ends them after the test, in which no thread of theirs may have failed."""
    started = []
    with ExitStack() as stack:

        def start(driver: Driver, allowed: str | None = "512MiB", **keys: float) -> Keeper:
            keeper = Keeper(driver, allowed, **keys)
            started.append(keeper)
            stack.callback(keeper.kill)
            return keeper

        yield start
        assert [keeper.ask("failures") for keeper in started] == [[]] * len(started)


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of three GPUs."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 3)


class TestAsked:
    """Whether a device has failed, once a worker on it has died."""

    def test_a_lost_device_has_failed(self, keeper: Callable[..., Keeper], driver: Driver) -> None:
        """It is told of once, as when it is found by chance; of others nothing is said."""
        keeps = keeper(driver)
        driver.lose(1)
        first, second, _ = driver.uuids
        assert keeps.ask(f"health.have_failed([{first!r}])") is False
        assert keeps.ask(f"health.have_failed([{first!r}, {second!r}])") is True
        assert keeps.ask(f"health.have_failed([{second!r}])") is True
        assert keeps.told() == [[second, LOST]]

    def test_a_driver_that_hangs_does_not_answer(self, keeper: Callable[..., Keeper], driver: Driver) -> None:
        """Nobody waits for it; a device that is not the pool's is not asked."""
        keeps = keeper(driver)
        assert keeps.ask("health.have_failed(['cpu:0'])") is False
        driver.hang(0, "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2")
        assert keeps.ask(f"health.have_failed([{driver.uuids[0]!r}], 0.1)") is False


class TestLost:
    """A device that does not answer any more."""

    def test_a_lost_one_is_told_once(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """However often it is looked at; it stays lost though it may answer again."""
        controller = keeper(driver)
        controller.start()
        driver.lose(1)
        assert controller.tells() == [[driver.uuids[1], LOST]]
        driver.find(1)
        driver.lose(1, RESET_REQUIRED)
        driver.lose(2)  # is told by a later look
        assert controller.tells(2) == [[driver.uuids[1], LOST], [driver.uuids[2], LOST]]

    @pytest.mark.parametrize(
        ("code", "reason"), [(GPU_IS_LOST, LOST), (RESET_REQUIRED, "needs a reset ('nvidia-smi --gpu-reset')")]
    )
    def test_the_reason_is_nvmls(self, driver: Driver, keeper: Callable[..., Keeper], code: int, reason: str) -> None:
        """In words that say what to do."""
        controller = keeper(driver)
        driver.lose(0, code)
        assert controller.look() == [[driver.uuids[0], reason]]

    def test_one_that_was_taken_out(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """While the run goes on."""
        controller = keeper(driver)
        first, *others = driver.gpus
        driver.gpus = others
        assert controller.look() == [[first.uuid, "is gone"]]

    def test_what_may_pass_is_not_told(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """An error that says nothing of the device's end, or an NVML that does not start."""
        controller = keeper(driver)
        driver.lose(0, UNKNOWN)
        assert controller.look() == []
        driver.fail_init(UNKNOWN)
        driver.lose(1)
        assert controller.look() == []
        driver.fail_init(0)
        assert controller.look() == [[driver.uuids[1], LOST]]

    def test_an_nvml_that_starts_late_is_no_reason_to_stop_looking(
        self, driver: Driver, keeper: Callable[..., Keeper]
    ) -> None:
        """It did not when the run began."""
        driver.fail_init(UNKNOWN)
        controller = keeper(driver)
        controller.start()
        driver.lose(0)
        driver.fail_init(0)
        assert controller.tells() == [[driver.uuids[0], LOST]]

    def test_every_device_is_looked_at_once_more_on_demand(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """As at the end of a run, which may come between two looks; that tells nobody, and starts no thread."""
        controller = keeper(driver)
        assert controller.look() == []
        driver.lose(0)
        driver.lose(2)
        assert controller.look() == [[driver.uuids[0], LOST], [driver.uuids[2], LOST]]
        assert controller.told() == []
        assert controller.ask("threads()") == 0

    def test_a_mig_instance(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """It is lost with its GPU, as are the others there."""
        driver.replace(0, mig_enabled=True, mig=(Mig(fake_uuid("MIG", 0)), Mig(fake_uuid("MIG", 1), ci=1)))
        controller = keeper(driver)
        assert controller.look() == []
        driver.lose(0)
        assert {uuid for uuid, _ in controller.look()} == {fake_uuid("MIG", 0), fake_uuid("MIG", 1)}


class TestMemory:
    """What a dead worker had must come back."""

    def test_what_comes_back_late_is_no_failure(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """The driver takes its time to free it."""
        driver.replace(0, used=40 * GIB, processes=((5000815, 40 * GIB),))
        controller = keeper(driver, return_seconds=HANGS)
        controller.dies(driver.uuids[0])
        assert controller.ask("threads()") == 1
        driver.replace(0, used=GIB // 4, processes=())
        controller.forgets()
        assert controller.told() == []

    def test_what_a_desktop_holds_is_nobodys_to_give_back(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """It was there before."""
        driver.replace(0, used=2 * GIB, graphics=((77, 2 * GIB),))
        controller = keeper(driver, return_seconds=0)
        controller.dies(driver.uuids[0])
        controller.forgets()
        assert controller.told() == []

    @pytest.mark.parametrize(
        ("processes", "who"),
        [
            (((5000815, 3 * GIB), (5000816, None)), "NVML names pid 5000815, 5000816"),
            (((5000815, 3 * GIB),), "NVML names pid 5000815"),
            ((), "NVML names no process"),
        ],
    )
    def test_what_is_kept_is_told_with_who_keeps_it(
        self, driver: Driver, keeper: Callable[..., Keeper], processes: Any, who: str
    ) -> None:
        """As far as NVML names them: in a container it may not."""
        driver.replace(1, used=3 * GIB, processes=processes)
        controller = keeper(driver, return_seconds=0.0)
        controller.dies(driver.uuids[1])
        assert controller.tells() == [[driver.uuids[1], f"{KEPT}3.0 GiB are still in use ({who})"]]

    def test_what_others_have_is_not_its(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """Here this process, which came when the device was free; nor does it count where its memory is not told."""
        controller = keeper(driver, return_seconds=0.0)
        for others in ((os.getpid(), 40 * GIB), (os.getpid(), None)):
            driver.replace(0, used=40 * GIB, processes=(others,))
            controller.dies(driver.uuids[0])
            controller.forgets()
        assert controller.told() == []
        driver.replace(0, used=43 * GIB, processes=((os.getpid(), 40 * GIB),))
        controller.dies(driver.uuids[0])
        assert controller.tells() == [[driver.uuids[0], f"{KEPT}3.0 GiB are still in use (NVML names no process)"]]

    def test_what_its_family_has_counts(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """By its marks, be it that its worker has died."""
        environ = {**os.environ, "GPUPOOL_RUN": "the dead one's"}
        with subprocess.Popen(["sleep", "600"], env=environ) as left:
            try:
                driver.replace(0, used=43 * GIB, processes=((os.getpid(), 40 * GIB), (left.pid, 3 * GIB)))
                controller = keeper(driver, return_seconds=0.0)
                controller.dies(driver.uuids[0])
                told = f"{KEPT}3.0 GiB are still in use (NVML names pid {left.pid})"
                assert controller.tells() == [[driver.uuids[0], told]]
            finally:
                left.kill()

    def test_once_another_has_leased_it_nothing_is_told(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """It found the device free."""
        driver.replace(0, used=40 * GIB)
        controller = keeper(driver, return_seconds=HANGS)
        controller.dies(driver.uuids[0])
        controller.ask(f"held.add({driver.uuids[0]!r})")
        controller.forgets()
        assert controller.told() == []

    def test_it_is_told_once(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """Though two workers died on it, and it is lost in the end."""
        driver.replace(0, used=3 * GIB)
        controller = keeper(driver, return_seconds=0.0)
        for _ in range(2):
            controller.dies(driver.uuids[0])
            controller.forgets()
        controller.start()
        driver.lose(0)
        driver.lose(1)
        told = controller.tells(2)
        assert [uuid for uuid, _ in told] == list(driver.uuids[:2])
        assert told[0][1].startswith(KEPT)

    def test_each_device_of_a_dead_worker_is_looked_at(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """Those alone, and those alone that the pool has."""
        for index in range(3):
            driver.replace(index, used=3 * GIB)
        controller = keeper(driver, return_seconds=0.0)
        controller.dies(driver.uuids[0], driver.uuids[2], "cpu:0")
        assert {uuid for uuid, _ in controller.tells(2)} == {driver.uuids[0], driver.uuids[2]}

    def test_as_much_as_a_free_device_may_have_is_enough(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """``--gpupool-busy-memory``, be it a part of the device."""
        driver.replace(0, used=8 * GIB)
        controller = keeper(driver, "0.1", return_seconds=0.0)
        controller.dies(driver.uuids[0])
        controller.forgets()
        assert controller.told() == []
        driver.replace(0, used=8 * GIB + 1)
        controller.dies(driver.uuids[0])
        assert len(controller.tells()) == 1

    def test_where_busy_devices_are_leased_it_cannot_be_told(
        self, driver: Driver, keeper: Callable[..., Keeper]
    ) -> None:
        """Nor where workers share a device: what is in use may be others'."""
        driver.replace(0, used=60 * GIB)
        controller = keeper(driver, None, return_seconds=0.0)
        controller.dies(driver.uuids[0])
        assert controller.ask("threads()") == 0

    def test_where_the_driver_cannot_tell_nothing_is_said(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """Before R510, or for a device that fails at that moment: the next look tells of that."""
        driver.unsupported("nvmlDeviceGetMemoryInfo_v2")
        controller = keeper(driver, return_seconds=0.0)
        controller.dies(driver.uuids[0])
        controller.forgets()
        driver.lose(1)
        controller.dies(driver.uuids[1])
        controller.forgets()
        assert controller.told() == []


class TestClose:
    """The end of a run."""

    def test_every_thread_ends(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """One that looks, and those that wait for memory; nothing is told any more."""
        driver.replace(0, used=3 * GIB)
        driver.replace(1, used=3 * GIB)
        controller = keeper(driver, look_seconds=HANGS, return_seconds=HANGS)
        controller.start()
        controller.dies(driver.uuids[0])
        controller.dies(driver.uuids[1])
        assert controller.ask("threads()") == 3
        driver.lose(2)
        assert controller.ask("[health.close(), threads()]") == [True, 0]
        assert controller.told() == []

    def test_what_was_never_started_can_be_closed(self, driver: Driver, keeper: Callable[..., Keeper]) -> None:
        """As where the run ends before its first test; a second time, too."""
        assert keeper(driver).ask("[health.close(), health.close(), threads()]") == [True, True, 0]

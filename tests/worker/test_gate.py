"""A test starts once its worker has devices enough for it, and the memory that it needs is free on them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_gpupool.leases.admission import Blocker
from pytest_gpupool.records import durations
from pytest_gpupool.values.device import Device, Size, cpu_device
from pytest_gpupool.values.messages import HeldUp, LetIn, Message
from pytest_gpupool.values.orders import Orders
from pytest_gpupool.values.requirement import Requirement
from pytest_gpupool.worker.leased.gate import Gate

GIB = 2**30

GPUS = tuple(
    Device(id=f"GPU-{number}", kind="gpu", index=number, name="NVIDIA H200", memory_total=80 * GIB)
    for number in range(4)
)
SLOT = cpu_device(0)

TEST = "test_a.py::test_a"

BUSY = (Blocker(device=GPUS[0], reason="29.5 GiB free, 40.0 GiB needed", pid=815),)
SMALL = (Blocker(device=GPUS[0], reason="too small", for_good=True),)
FREE: tuple[Blocker, ...] = ()


class Lease:
    """A lease that records what was asked of it; it answers as told, and the last answer for good."""

    def __init__(self, devices: Sequence[Device], answers: Iterable[tuple[Blocker, ...]] = (FREE,)) -> None:
        self.devices = tuple(devices)
        self.lost: str | None = None
        self.calls: list[object] = []
        self._answers = list(answers)

    def restore(self) -> str | None:
        """Why its lock files cannot be put back."""
        return self.lost

    def note(self, test: str | None) -> None:
        """Which test runs."""
        self.calls.append(test)

    def admit(self, need: Size, probe: object) -> tuple[Blocker, ...]:
        """Whether so much memory is free."""
        assert hasattr(probe, "usage")
        self.calls.append(need)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 50.0

    def clock(self) -> float:
        """What it shows."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it go on."""
        assert seconds > 0
        self.now += seconds


class Controller:
    """What a worker says to the controller."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def __call__(self, message: Message) -> None:
        self.heard.append(message)


class Torch(ModuleType):
    """torch.cuda, which has initialised CUDA on one device; records what was asked of it."""

    def __init__(self) -> None:
        super().__init__("torch.cuda")
        self.calls: list[Any] = []

    def is_initialized(self) -> bool:
        """As torch's."""
        return True

    def device_count(self) -> int:
        """As torch's."""
        return 1

    def set_per_process_memory_fraction(self, fraction: float, number: int) -> None:
        """As torch's."""
        self.calls.append((fraction, number))

    def reset_peak_memory_stats(self, number: int) -> None:
        """As torch's."""
        self.calls.append(f"forget {number}")

    def empty_cache(self) -> None:
        """As torch's."""
        self.calls.append("empty")


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Torch:
    """A torch that this process has loaded."""
    torch = Torch()
    monkeypatch.setitem(sys.modules, "torch.cuda", torch)
    return torch


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests have loaded."""
    monkeypatch.delitem(sys.modules, "torch.cuda", raising=False)


def orders(directory: Path | str = "/nowhere", *, slots: int = 1, wait: float = 60.0, pool: int = 4) -> Orders:
    """What the controller has told the worker."""
    return Orders(
        run="run-1",
        run_dir=None,
        durations=str(Path(directory) / durations.NAME),
        lock_dir="/locks",
        devices=GPUS,
        number=0,
        wait=wait,
        export="index",
        busy_memory=None,
        threads=1,
        slots=slots,
        pool=pool,
    )


class Door:
    """A gate with all that is around it."""

    def __init__(self, lease: Lease, given: Orders | None = None) -> None:
        self.lease = lease
        self.time = Time()
        self.controller = Controller()
        self.gate = Gate(lease, given or orders(), clock=self.time.clock, sleep=self.time.sleep)  # type: ignore[arg-type]
        self.gate.tell = self.controller

    def enter(self, test: str = TEST, **keys: object) -> str | None:
        """Let a test with this mark in."""
        return self.gate.enter(test, Requirement.from_markers([((), keys)]))

    @property
    def kinds(self) -> list[type[Message]]:
        """What the controller has heard of."""
        return [type(message) for message in self.controller.heard]


def remember(directory: Path, peaks: Mapping[str, int | None], kind: str = "NVIDIA H200") -> None:
    """What earlier runs measured."""
    observed = [durations.Observed(test, kind, 1.0, peak) for test, peak in peaks.items()]
    assert durations.save(directory / durations.NAME, observed) is None


def test_a_lease_that_is_lost_lets_nobody_in() -> None:
    """Others may use its devices by now."""
    door = Door(Lease(GPUS[:1]))
    assert door.enter() is None
    assert door.gate.lost is None
    door.lease.lost = "/locks/GPU-0.lock was removed while it was locked, and another process has locked a new one"
    assert door.enter() == f"this worker's lease is lost: {door.lease.lost}"
    assert door.gate.lost == door.lease.lost


class TestDevices:
    """How many the test needs."""

    @pytest.mark.parametrize("devices", [(), GPUS[:1], GPUS[:2], (SLOT,)], ids=["none", "one", "two", "cpu"])
    def test_one_that_needs_none_runs_anywhere(self, devices: tuple[Device, ...]) -> None:
        """And no memory is asked for."""
        door = Door(Lease(devices))
        assert door.enter(gpus=0, memory="40GiB") is None
        assert door.lease.calls == [TEST]

    def test_enough_are_enough(self) -> None:
        """More than it asks for are no hindrance."""
        door = Door(Lease(GPUS[:2]))
        assert door.enter(gpus=1) is None
        assert door.enter(gpus=2) is None

    def test_more_than_the_pool_has_are_not_to_be_had(self) -> None:
        """No worker is formed for such a test: whichever gets it says so."""
        door = Door(Lease(GPUS[:1]))
        assert door.enter(gpus=5) == "this test asks for 5 devices, but the pool has 4"
        assert door.lease.calls == [TEST]
        assert door.kinds == []

    def test_more_than_its_worker_has(self) -> None:
        """As with --dist each, or after devices were lost."""
        assert Door(Lease(GPUS[:1])).enter(gpus=2) == (
            "this test asks for 2 devices, but its worker holds 1: the others of the pool's 4 are not to be had in "
            "this run"
        )

    def test_a_worker_without_a_device(self) -> None:
        """One that tests which need none have for themselves."""
        assert str(Door(Lease(())).enter()).startswith(
            "this test asks for a device, but its worker holds 0: the others"
        )

    def test_cpu_slots_have_no_number(self) -> None:
        """There are as many as are asked for."""
        door = Door(Lease([SLOT]), orders(pool=0))
        assert door.enter(gpus=2) == "this test asks for 2 devices, but its worker holds 1"
        assert door.enter(gpus=1, memory="40GiB") is None
        assert door.lease.calls == [TEST, TEST]


class TestMemory:
    """What must be free on each device before the test starts."""

    @pytest.mark.parametrize(
        ("memory", "need"),
        [("40GiB", Size(40 * GIB)), (0.5, Size(0.5, relative=True)), (0, Size(0)), (1024, Size(1024))],
    )
    def test_it_is_asked_for_as_it_was_written(self, memory: object, need: Size) -> None:
        """A part of the device is a part of each device."""
        door = Door(Lease(GPUS[:1]))
        assert door.enter(memory=memory) is None
        assert door.lease.calls == [TEST, need]
        assert door.kinds == []

    def test_one_that_asks_for_none_is_let_in(self) -> None:
        """On a device of its own, whatever is known of it."""
        door = Door(Lease(GPUS[:1], [BUSY]))
        assert door.enter() is None
        assert door.lease.calls == [TEST]

    def test_it_waits_until_it_is_free(self) -> None:
        """The controller hears once that it waits, with what is in the way, and once that it does no more."""
        door = Door(Lease(GPUS[:1], [BUSY, BUSY, BUSY, FREE]))
        assert door.enter(memory="40GiB") is None
        assert door.lease.calls == [TEST, *[Size(40 * GIB)] * 4]
        assert door.controller.heard == [
            HeldUp(TEST, ["GPU 0  NVIDIA H200  29.5 GiB free, 40.0 GiB needed"]),
            LetIn(TEST),
        ]

    def test_what_never_comes_free_is_its_error(self) -> None:
        """At the end of --gpupool-wait, with what was in the way at the last."""
        door = Door(Lease(GPUS[:1], [BUSY]), orders(wait=60.0))
        began = door.time.now
        assert door.enter(memory="40GiB") == (
            "this test asks for 40.0 GiB, which did not come free in 60 s:\n"
            "  GPU 0  NVIDIA H200  29.5 GiB free, 40.0 GiB needed"
        )
        assert door.time.now - began == pytest.approx(60, abs=1)
        assert door.kinds == [HeldUp]

    def test_without_waiting(self) -> None:
        """--gpupool-wait=0 tries once."""
        door = Door(Lease(GPUS[:1], [BUSY]), orders(wait=0.0))
        text = door.enter(memory=0.5)
        assert text == (
            "this test asks for 50% of the device's memory, which did not come free:\n"
            "  GPU 0  NVIDIA H200  29.5 GiB free, 40.0 GiB needed"
        )
        assert door.lease.calls == [TEST, Size(0.5, relative=True)]
        assert door.kinds == []

    def test_for_what_can_never_be_free_nobody_waits(self) -> None:
        """Each device that is in the way is named."""
        other = Blocker(device=GPUS[1], reason="29.5 GiB free, 200.0 GiB needed")
        door = Door(Lease(GPUS[:2], [(*SMALL, other)]))
        assert door.enter(gpus=2, memory="200GiB") == (
            "this test asks for 200.0 GiB, which did not come free:\n"
            "  GPU 0  NVIDIA H200  too small\n"
            "  GPU 1  NVIDIA H200  29.5 GiB free, 200.0 GiB needed"
        )
        assert door.kinds == []

    def test_what_turns_out_never_to_be_free_ends_the_wait(self) -> None:
        """As where the device is lost meanwhile."""
        door = Door(Lease(GPUS[:1], [BUSY, BUSY, SMALL]))
        text = door.enter(memory="40GiB")
        assert text is not None
        assert text.endswith("too small")
        assert door.kinds == [HeldUp]

    def test_without_a_controller_nobody_is_told(self) -> None:
        """As where the one process is both."""
        door = Door(Lease(GPUS[:1], [BUSY, FREE]))
        door.gate.tell = None
        assert door.enter(memory="40GiB") is None


class TestNotes:
    """What stands beside the lock, for other runs and for ``gpupool status``."""

    def test_the_test_stands_there_while_it_runs(self) -> None:
        """Before it is asked for memory, which others count by it; and no longer."""
        door = Door(Lease(GPUS[:1]))
        door.enter(memory="40GiB")
        door.gate.leave()
        door.enter("test_a.py::test_b")
        door.gate.leave()
        assert door.lease.calls == [TEST, Size(40 * GIB), None, "test_a.py::test_b", None]


class TestShared:
    """Several workers on one device."""

    def test_it_waits_for_what_it_took_in_earlier_runs(self, tmp_path: Path) -> None:
        """Where it does not say what it needs."""
        remember(tmp_path, {TEST: 30 * GIB, "test_a.py::test_b": None})
        door = Door(Lease(GPUS[:1], [BUSY, FREE]), orders(tmp_path, slots=2))
        assert door.enter() is None
        assert door.lease.calls == [TEST, Size(30 * GIB), Size(30 * GIB)]
        assert door.kinds == [HeldUp, LetIn]

    @pytest.mark.parametrize("test", ["test_a.py::test_b", "test_a.py::test_new"])
    def test_one_of_which_nothing_is_known_is_let_in(self, tmp_path: Path, test: str) -> None:
        """A sibling's peak is no guess at its own."""
        remember(tmp_path, {TEST: 30 * GIB, "test_a.py::test_b": None})
        door = Door(Lease(GPUS[:1], [BUSY]), orders(tmp_path, slots=2))
        assert door.enter(test) is None
        assert door.lease.calls == [test]

    def test_what_it_says_goes_before_what_it_took(self, tmp_path: Path) -> None:
        """Also where that was more."""
        remember(tmp_path, {TEST: 30 * GIB})
        door = Door(Lease(GPUS[:1]), orders(tmp_path, slots=2))
        assert door.enter(memory="1GiB") is None
        assert door.lease.calls == [TEST, Size(GIB)]

    def test_more_than_the_device_has_is_all_of_it(self, tmp_path: Path) -> None:
        """It was measured on a larger one."""
        remember(tmp_path, {TEST: 140 * GIB}, kind="NVIDIA B200")
        door = Door(Lease(GPUS[:1]), orders(tmp_path, slots=2))
        assert door.enter() is None
        assert door.lease.calls == [TEST, Size(80 * GIB)]

    @pytest.mark.parametrize("blockers", [BUSY, SMALL], ids=["late", "never"])
    def test_an_estimate_that_is_not_to_be_had_keeps_nobody_out(
        self, tmp_path: Path, blockers: tuple[Blocker, ...]
    ) -> None:
        """It is no promise that the test needs as much; if it was held up its clock runs again."""
        remember(tmp_path, {TEST: 30 * GIB})
        door = Door(Lease(GPUS[:1], [BUSY, blockers]), orders(tmp_path, slots=2))
        assert door.enter() is None
        assert door.kinds == [HeldUp, LetIn]

    def test_on_a_device_of_ones_own_no_estimate_counts(self, tmp_path: Path) -> None:
        """Nobody else of the pool takes it."""
        remember(tmp_path, {TEST: 30 * GIB})
        door = Door(Lease(GPUS[:1], [BUSY]), orders(tmp_path))
        assert door.enter() is None
        assert door.lease.calls == [TEST]

    @pytest.mark.parametrize("content", [None, "not JSON", json.dumps({"format": "gpupool-durations", "version": 1})])
    def test_without_a_file_of_durations_nothing_is_known(self, tmp_path: Path, content: str | None) -> None:
        """A damaged one is the controller's to speak of."""
        if content is not None:
            (tmp_path / durations.NAME).write_text(content)
        door = Door(Lease(GPUS[:1], [BUSY]), orders(tmp_path, slots=2))
        assert door.enter() is None
        assert door.lease.calls == [TEST]

    def test_the_file_is_read_once(self, tmp_path: Path) -> None:
        """It holds all tests of all runs, and changes only at a run's end."""
        remember(tmp_path, {TEST: 30 * GIB})
        door = Door(Lease(GPUS[:1]), orders(tmp_path, slots=2))
        door.enter()
        (tmp_path / durations.NAME).unlink()
        door.enter()
        assert door.lease.calls == [TEST, Size(30 * GIB), TEST, Size(30 * GIB)]


class TestTorch:
    """What torch is told before and after a test."""

    def test_each_test_has_a_peak_of_its_own(self, torch: Torch) -> None:
        """On a device of one's own torch is told no more than that."""
        door = Door(Lease(GPUS[:1]))
        door.enter(memory="40GiB")
        door.gate.leave()
        assert torch.calls == ["forget 0"]

    @pytest.mark.parametrize("keys", [{"gpus": 0}, {"gpus": 5}], ids=["none", "too many"])
    def test_one_that_uses_no_device_does_not_touch_it(self, torch: Torch, keys: Any) -> None:
        """torch may take long to answer."""
        Door(Lease(GPUS[:1]), orders(slots=2)).enter(**keys)
        assert torch.calls == []

    def test_on_a_shared_device_it_is_held_to_its_share(self, torch: Torch) -> None:
        """Once, and what it keeps is given back after each test."""
        door = Door(Lease(GPUS[:1]), orders(slots=4))
        for _ in range(2):
            door.enter()
            door.gate.leave()
        assert torch.calls == [(0.25, 0), "forget 0", "empty", "forget 0", "empty"]

    @pytest.mark.parametrize(
        ("keys", "share"),
        [({}, 0.25), ({"memory": "10GiB"}, 0.25), ({"memory": "40GiB"}, 0.5), ({"memory": 0.75}, 0.75),
         ({"memory": "200GiB"}, 1.0)],
    )  # fmt: skip
    def test_who_says_that_it_needs_more_may_have_more(self, torch: Torch, keys: Any, share: float) -> None:
        """It has waited for that; never more than there is."""
        Door(Lease(GPUS[:1]), orders(slots=4)).enter(**keys)
        assert torch.calls[0] == (share, 0) if share < 1 else (1.0, 0) not in torch.calls

    def test_the_next_test_has_its_own_share(self, torch: Torch) -> None:
        """Larger or smaller than the one before."""
        door = Door(Lease(GPUS[:1]), orders(slots=4))
        for keys in ({"memory": "40GiB"}, {}, {"memory": "80GiB"}, {}):
            door.enter(**keys)
        assert [call for call in torch.calls if isinstance(call, tuple)] == [(0.5, 0), (0.25, 0), (1.0, 0), (0.25, 0)]

    def test_a_torch_that_comes_later_is_told_before_the_next_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Most suites import it in their first test, or as they are collected."""
        door = Door(Lease(GPUS[:1]), orders(slots=4))
        door.enter()
        torch = Torch()
        monkeypatch.setitem(sys.modules, "torch.cuda", torch)
        door.enter()
        assert (0.25, 0) in torch.calls

    def test_what_it_took_in_earlier_runs_is_its_share(self, tmp_path: Path, torch: Torch) -> None:
        """Or its share of the device, where that is more."""
        remember(tmp_path, {TEST: 40 * GIB, "test_a.py::test_b": GIB})
        door = Door(Lease(GPUS[:1]), orders(tmp_path, slots=4))
        door.enter()
        door.enter("test_a.py::test_b")
        assert [call for call in torch.calls if isinstance(call, tuple)] == [(0.5, 0), (0.25, 0)]

"""Whether CUDA is initialised, who imported torch and what memory torch takes are told without loading anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from standin import TORCH_PATH, Driver, Gpu, Mig, fake_uuid

from pytest_gpupool.devices.nvidia.cuda import is_initialised
from pytest_gpupool.devices.nvidia.visible import shows_exactly
from pytest_gpupool.devices.torch.memory import cap_memory, forget_peak, give_back_cache, torch_peak
from pytest_gpupool.devices.torch.presence import has_torch, importer_of_torch
from pytest_gpupool.values.device import Device, cpu_device

ASK = """
import json, sys
from pytest_gpupool.devices.nvidia.cuda import is_initialised, strangers
from pytest_gpupool.devices.nvidia.nvml import survey
from pytest_gpupool.devices.torch.presence import importer_of_torch
print(json.dumps([{value}]))
"""


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of one GPU, whose CUDA library can be loaded."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 1)


def answer(before: str, value: str, environ: dict[str, str] | None = None, *paths: Path) -> Any:
    """What a process finds that has done something before."""
    environ = {**(environ or os.environ), "PYTHONPATH": os.pathsep.join(map(str, [TORCH_PATH, *paths]))}
    environ.pop("GPUPOOL_STANDIN_TORCH_LOG", None)
    source = before + ASK.format(value=value)
    done = subprocess.run([sys.executable, "-c", source], env=environ, check=True, capture_output=True, text=True)
    (value,) = json.loads(done.stdout)
    return value


class TestDriver:
    """libcuda, whoever loads it."""

    LOADED = 'import ctypes\nlibrary = ctypes.CDLL("libcuda.so.1")\n'

    def test_after_cuinit_it_is_initialised(self, driver: Driver) -> None:
        """Also where torch is not."""
        assert answer(self.LOADED + "assert library.cuInit(0) == 0\n", "is_initialised()", driver.environ()) is True

    def test_loaded_alone_it_is_not(self, driver: Driver) -> None:
        """Environment variables still count."""
        assert answer(self.LOADED, "is_initialised()", driver.environ()) is False

    def test_with_every_gpu_hidden_it_is(self, driver: Driver) -> None:
        """cuInit fixes what is seen, that it is nothing too."""
        environ = {**driver.environ(), "CUDA_VISIBLE_DEVICES": "-1"}
        assert answer(self.LOADED + "library.cuInit(0)\n", "is_initialised()", environ) is True

    def test_asking_loads_nothing(self, driver: Driver) -> None:
        """Neither the driver's library nor torch."""
        value = (
            "[is_initialised(), 'libcuda' in open('/proc/self/maps').read(),"
            " any(name.startswith('torch') for name in sys.modules)]"
        )
        assert answer("", value, driver.environ()) == [False, False, False]


class TestStrangers:
    """The devices that CUDA sees in a process, beside those that it has leased."""

    INITIALISED = TestDriver.LOADED + "library.cuInit(0)\n"

    @pytest.fixture
    def driver(self, libraries: Path, tmp_path: Path) -> Driver:
        """A driver of two GPUs, and of two MIG instances on a third one."""
        mig = tuple(Mig(fake_uuid("MIG", number), gi=number) for number in (1, 2))
        third = Gpu(fake_uuid("GPU", 2), mig_enabled=True, mig=mig)
        return Driver(libraries, tmp_path / "nvml", [*(Gpu(fake_uuid("GPU", number)) for number in (0, 1)), third])

    def asked(self, driver: Driver, visible: str, leased: str, before: str = INITIALISED) -> Any:
        """What is said with these visible, and these of the devices leased."""
        environ = {**driver.environ(), "CUDA_VISIBLE_DEVICES": visible}
        return answer(before, f"strangers(survey().devices[{leased}])", environ)

    def test_before_cuda_is_initialised_none_is_known(self, driver: Driver) -> None:
        """Nor is the library loaded for it."""
        assert self.asked(driver, "0", "1:2", TestDriver.LOADED) is None
        assert self.asked(driver, "0", "1:2", "") is None

    @pytest.mark.parametrize(("visible", "leased"), [("1", "1:2"), ("1,0", ":2"), ("0", ":2"), ("-1", "1:2")])
    def test_who_sees_no_more_than_its_lease_sees_no_stranger(self, driver: Driver, visible: str, leased: str) -> None:
        """In whatever order."""
        assert self.asked(driver, visible, leased) == []

    def test_a_gpu_outside_the_lease_is_named(self, driver: Driver) -> None:
        """By its id, those that are leased are not."""
        assert self.asked(driver, "0", "1:2") == [driver.uuids[0]]
        assert self.asked(driver, "1,0", "1:2") == [driver.uuids[0]]
        assert self.asked(driver, "0,1", ":0") == [*driver.uuids[:2]]

    def test_an_instance_is_told_from_its_neighbour(self, driver: Driver) -> None:
        """Both are on one GPU."""
        first, second = (instance.uuid for instance in driver.gpus[2].mig)
        assert self.asked(driver, first, "2:3") == []
        assert self.asked(driver, second, "2:3") == [second]


GPUS = tuple(
    Device(id=f"GPU-{number}0000000-0000-4000-8000-000000000000", kind="gpu", index=number, name="H200")
    for number in range(3)
)
INSTANCE = Device(id="MIG-30000000-0000-4000-8000-000000000000", kind="mig", index=0, name="H200 MIG")
PCI = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


class TestSpelling:
    """Whether an environment shows CUDA some devices and no others."""

    @pytest.mark.parametrize(
        ("devices", "listed", "order"),
        [
            (GPUS[1:2], "1", PCI),
            (GPUS[1:], " 1, 2", PCI),
            (GPUS[1:2], GPUS[1].id, {}),
            ((INSTANCE,), INSTANCE.id, {}),
            ((), "-1", {}),
            ((), "", {}),
            ((cpu_device(0),), "NoDevFiles", {}),
        ],
    )
    def test_these_do(self, devices: tuple[Device, ...], listed: str, order: dict[str, str]) -> None:
        """By index, by UUID, or by what hides all."""
        assert shows_exactly(devices, {"CUDA_VISIBLE_DEVICES": listed, **order})

    @pytest.mark.parametrize(
        ("devices", "listed", "order"),
        [
            (GPUS[1:2], "0", PCI),
            (GPUS[1:2], "1", {}),  # CUDA's own order is another one
            (GPUS[1:2], "1", {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}),
            (GPUS[1:], "2,1", PCI),
            (GPUS[1:], "1", PCI),
            (GPUS[1:2], "1,2", PCI),
            (GPUS[1:2], GPUS[1].id[:8], {}),  # which may be another one's beginning too
            (GPUS[1:2], "-1", PCI),
            ((INSTANCE,), "0", PCI),  # every instance of that GPU
            ((), "0", PCI),
            ((), None, {}),
            (GPUS[:1], None, PCI),
        ],
    )
    def test_these_do_not(self, devices: tuple[Device, ...], listed: str | None, order: dict[str, str]) -> None:
        """Others, fewer, another order, or what cannot be told."""
        assert not shows_exactly(devices, {"CUDA_VISIBLE_DEVICES": listed, **order})


class TestTorch:
    """torch, as far as it is loaded."""

    def test_after_its_init_it_is_initialised(self) -> None:
        """torch itself says so."""
        assert answer("import torch\ntorch.cuda.init()\n", "is_initialised()") is True

    @pytest.mark.parametrize("before", ["", "import torch\n", "import torch.cuda\ntorch.cuda.device_count()\n"])
    def test_before_it_is_not(self, before: str) -> None:
        """An import and a count fix nothing."""
        assert answer(before, "is_initialised()") is False

    def test_a_torch_without_cuda_is_not(self) -> None:
        """Nor a part of it that is only half imported."""
        torch = ModuleType("torch")
        assert is_initialised({"torch": torch}) is False
        assert is_initialised({"torch": torch, "torch.cuda": ModuleType("torch.cuda")}) is False


class TestImporter:
    """Who imported torch."""

    @pytest.mark.parametrize(
        "statement",
        [
            "import torch",
            "import torch as t",
            "import torch.cuda",
            "from torch import cuda",
            "import torch.cuda as gpu",
            "from torch.cuda import is_available",
            "try:\n    import torch\nexcept ImportError:\n    torch = None",
        ],
    )
    def test_the_module_is_named(self, tmp_path: Path, statement: str) -> None:
        """Whichever way it imports; not who imported that module."""
        (tmp_path / "culprit.py").write_text(statement + "\n")
        (tmp_path / "outer.py").write_text("import culprit\n")
        assert answer("import json, outer\n", "importer_of_torch()", None, tmp_path) == "culprit"

    def test_of_two_importers_it_is_the_first(self, tmp_path: Path) -> None:
        """The second found it loaded."""
        (tmp_path / "first.py").write_text("import torch\n")
        (tmp_path / "second.py").write_text("import torch\n")
        assert answer("import first, second\n", "importer_of_torch()", None, tmp_path) == "first"

    def test_a_module_that_goes_on_importing_is_named(self, tmp_path: Path) -> None:
        """As a conftest.py that asks for a GPU at its end."""
        (tmp_path / "culprit.py").write_text("import torch\n" + ASK.format(value="importer_of_torch()"))
        assert answer("import culprit\nimport os; sys = os.sys; sys.exit()\n", "0", None, tmp_path) == "culprit"

    def test_without_torch_nobody_is(self) -> None:
        """There is nothing to tell."""
        assert answer("", "importer_of_torch()") is None

    def test_an_import_that_left_no_name_cannot_be_told(self, tmp_path: Path) -> None:
        """As one within a function."""
        (tmp_path / "culprit.py").write_text("def load():\n    import torch\nload()\n")
        assert answer("import culprit\n", "importer_of_torch()", None, tmp_path) is None

    def test_modules_that_are_no_modules_are_passed_over(self) -> None:
        """None blocks an import; others put whatever they like in sys.modules."""
        torch, culprit = ModuleType("torch"), ModuleType("culprit")
        vars(culprit)["torch"] = torch
        modules: dict[str, Any] = {
            "blocked": None,
            "torch": torch,
            "slotted": object(),
            "also_blocked": None,
            "culprit": culprit,
        }
        assert importer_of_torch(modules) == "culprit"

    def test_values_that_will_not_be_looked_at_are_passed_over(self) -> None:
        """A module may hold proxies that fail at any question."""

        class Proxy:
            def __getattribute__(self, name: str) -> Any:
                raise RuntimeError(f"working outside of context: {name}")

        torch, lazy, culprit = ModuleType("torch"), ModuleType("lazy"), ModuleType("culprit")
        vars(lazy)["request"] = Proxy()
        vars(culprit)["torch"] = torch
        assert importer_of_torch({"torch": torch, "lazy": lazy, "culprit": culprit}) == "culprit"

    def test_a_value_that_only_has_a_name_is_not_of_torch(self) -> None:
        """Its module counts, where that is a text."""
        torch, other = ModuleType("torch"), ModuleType("other")
        vars(other).update(name="torch", thing=SimpleNamespace(__module__=3), torch_like=ModuleType("torchmetrics"))
        assert importer_of_torch({"torch": torch, "other": other}) is None


class TorchCuda(ModuleType):
    """torch.cuda on devices whose peaks are as told; records what was asked of it."""

    def __init__(self, *peaks: int, initialised: bool = True) -> None:
        super().__init__("torch.cuda")
        self.initialised = initialised
        self.calls: list[str] = []
        self.queued: list[Callable[[], None]] = []
        self._peaks = peaks

    def is_initialized(self) -> bool:
        """As torch's."""
        return self.initialised

    def device_count(self) -> int:
        """As torch's."""
        return len(self._peaks)

    def max_memory_reserved(self, number: int) -> int:
        """As torch's."""
        return self._peaks[number]

    def reset_peak_memory_stats(self, number: int) -> None:
        """As torch's."""
        self.calls.append(f"forget {number}")

    def empty_cache(self) -> None:
        """As torch's."""
        self.calls.append("empty")

    def set_per_process_memory_fraction(self, fraction: float, number: int) -> None:
        """As torch's."""
        assert self.initialised
        self.calls.append(f"{fraction} of {number}")

    def _lazy_call(self, call: Callable[[], None]) -> None:
        self.queued.append(call)

    def init(self) -> None:
        """As torch's."""
        self.initialised = True
        for call in self.queued:
            call()


class Lost(TorchCuda):
    """torch.cuda after an error after which every call fails, or one of them; records what was asked of it."""

    def __init__(self, fails_on: str = "everything", *, initialised: bool = True) -> None:
        super().__init__(7, initialised=initialised)
        self.fails_on = fails_on

    def _asked(self, name: str) -> None:
        self.calls.append(name)
        if self.fails_on in ("everything", name):
            raise RuntimeError("CUDA error: device-side assert triggered")

    def device_count(self) -> int:
        """As torch's."""
        self._asked("device_count")
        return 1

    def max_memory_reserved(self, number: int) -> int:
        """As torch's."""
        self._asked("max_memory_reserved")
        return 7

    def reset_peak_memory_stats(self, number: int) -> None:
        """As torch's."""
        self._asked("reset_peak_memory_stats")

    def empty_cache(self) -> None:
        """As torch's."""
        self._asked("empty_cache")

    def set_per_process_memory_fraction(self, fraction: float, number: int) -> None:
        """As torch's."""
        self._asked("set_per_process_memory_fraction")


def loaded(cuda: ModuleType | None) -> dict[str, Any]:
    """A process in which torch is loaded."""
    return {"torch": ModuleType("torch"), "torch.cuda": cuda}


NO_CUDA: dict[str, dict[str, Any]] = {
    "not loaded": {},
    "without CUDA": {"torch": ModuleType("torch")},
    "half imported": loaded(ModuleType("torch.cuda")),
    "blocked": loaded(None),
    "not initialised": loaded(TorchCuda(5, initialised=False)),
}
"""Processes in which torch holds no memory of a device."""


class TestMemory:
    """The memory that torch takes."""

    @pytest.mark.parametrize(("peaks", "most"), [((5,), 5), ((5, 9, 7), 9), ((0, 0), 0), ((), None)])
    def test_the_peak_is_that_of_the_fullest_device(self, peaks: tuple[int, ...], most: int | None) -> None:
        """Nothing is a peak; where torch sees no device there is none."""
        assert torch_peak(loaded(TorchCuda(*peaks))) == most

    def test_a_new_peak_begins_on_every_device(self) -> None:
        """Each has its own."""
        cuda = TorchCuda(5, 9)
        forget_peak(loaded(cuda))
        assert cuda.calls == ["forget 0", "forget 1"]

    def test_what_torch_keeps_is_given_back(self) -> None:
        """That of all devices at once."""
        cuda = TorchCuda(5, 9)
        give_back_cache(loaded(cuda))
        assert cuda.calls == ["empty"]

    @pytest.mark.parametrize("modules", NO_CUDA.values(), ids=NO_CUDA)
    def test_where_torch_uses_no_device_nothing_is_known(self, modules: dict[str, Any]) -> None:
        """And nothing is asked of it that would initialise CUDA."""
        assert torch_peak(modules) is None
        forget_peak(modules)
        give_back_cache(modules)
        assert getattr(modules.get("torch.cuda"), "calls", []) == []

    def test_an_error_of_torch_is_not_the_tests(self) -> None:
        """After a sticky one every call may fail."""
        cuda = Lost()
        assert torch_peak(loaded(cuda)) is None
        forget_peak(loaded(cuda))
        give_back_cache(loaded(cuda))
        assert cuda.calls == ["device_count", "device_count", "empty_cache"]

    @pytest.mark.parametrize(("fails_on", "peak"), [("max_memory_reserved", None), ("reset_peak_memory_stats", 7)])
    def test_nor_is_one_that_comes_late(self, fails_on: str, peak: int | None) -> None:
        """With the number of devices known."""
        cuda = Lost(fails_on)
        assert torch_peak(loaded(cuda)) == peak
        forget_peak(loaded(cuda))
        assert fails_on in cuda.calls

    def test_a_torch_that_is_loaded(self) -> None:
        """Whether or not it has a device."""
        assert has_torch(loaded(TorchCuda()))
        assert not has_torch({"torch": ModuleType("torch")})


class TestCap:
    """torch is held to a part of each device."""

    def test_on_every_device(self) -> None:
        """At once, where CUDA is initialised."""
        cuda = TorchCuda(0, 0)
        cap_memory(0.25, loaded(cuda))
        assert (cuda.calls, cuda.queued) == (["0.25 of 0", "0.25 of 1"], [])

    def test_before_cuda_is_initialised_it_waits(self) -> None:
        """It would initialise CUDA for a test that may never use it; the last of several counts."""
        cuda = TorchCuda(0, initialised=False)
        cap_memory(0.25, loaded(cuda))
        cap_memory(0.5, loaded(cuda))
        assert cuda.calls == []
        cuda.init()
        assert cuda.calls == ["0.25 of 0", "0.5 of 0"]

    @pytest.mark.parametrize("name", ["not loaded", "without CUDA", "half imported", "blocked"])
    def test_without_torch_there_is_nothing_to_hold(self, name: str) -> None:
        """Nothing is imported for it."""
        before = dict(NO_CUDA[name])
        cap_memory(0.25, NO_CUDA[name])
        assert NO_CUDA[name] == before

    @pytest.mark.parametrize("fails_on", ["everything", "set_per_process_memory_fraction"])
    def test_an_error_of_torch_is_not_the_tests(self, fails_on: str) -> None:
        """Neither at once nor later, when the test initialises CUDA."""
        now, later = Lost(fails_on), Lost(fails_on, initialised=False)
        cap_memory(0.25, loaded(now))
        cap_memory(0.25, loaded(later))
        assert later.calls == []
        later.init()
        assert later.calls == now.calls
        assert now.calls[0] == "device_count"

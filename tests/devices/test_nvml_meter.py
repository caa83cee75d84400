"""What NVML says of devices again and again, through the real pynvml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin import Driver, Gpu, Mig, fake_uuid
from standin.asker import Asker

GIB = 2**30
NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED = 3, 4, 6, 13, 15, 16
UNKNOWN = 999

PRELUDE = """
from pytest_gpupool.devices.nvidia.meter import THROTTLING, Meter
from pytest_gpupool.values.device import Device
from pytest_gpupool.devices.nvidia.nvml import survey

now = [7.0]
meter = Meter([])

def fresh(devices=None):
    global meter
    meter.close()
    meter = Meter(survey().devices if devices is None else devices, clock=lambda: now[0])
    meter.open()

def levels():
    return {id_: levels._asdict() for id_, levels in meter.levels().items()}

def processes():
    return {id_: [[one.pid, one.memory] for one in listed] for id_, listed in meter.processes().items()}
"""
FIRST, SECOND = fake_uuid("GPU", 0), fake_uuid("GPU", 1)
MIG = fake_uuid("MIG", 0)

BUSY = {"used": 3 * GIB, "utilization": 97, "temperature": 66, "power": 350_000, "energy": 5_000, "reasons": 4}
SEEN = {"memory": 3 * GIB, "utilization": 97.0, "temperature": 66, "throttled": False}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tells the driver's library of its GPUs."""
    return tmp_path_factory.mktemp("meter") / "nvml"


@pytest.fixture
def driver(libraries: Path, state: Path) -> Driver:
    """A driver of one GPU at work."""
    return Driver(libraries, state, [Gpu(FIRST, **BUSY)])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def process(libraries: Path, state: Path) -> Iterator[Asker]:
    """A process that has such a driver."""
    asker = Asker(Driver(libraries, state).environ(), PRELUDE)
    yield asker
    asker.end()


@pytest.fixture
def meter(driver: Driver, process: Asker) -> Asker:
    """One with a meter of all devices."""
    process.ask("fresh()")
    return process


class TestLevels:
    """What a device says at a moment."""

    def test_a_gpu(self, meter: Asker) -> None:
        """Bytes without what the driver keeps, per cent, °C."""
        assert meter.ask("levels()") == {FIRST: SEEN}
        assert meter.ask("meter.energy()") == {FIRST: [7.0, 5.0, None]}
        assert meter.ask("processes()") == {FIRST: []}
        assert meter.ask("meter.lost") is False

    def test_each_gpu_that_it_was_given(self, driver: Driver, process: Asker) -> None:
        """And no other."""
        driver.gpus = (*driver.gpus, Gpu(SECOND, temperature=30), Gpu(fake_uuid("GPU", 2)))
        process.ask("fresh(survey().devices[:2])")
        assert {id_: seen["temperature"] for id_, seen in process.ask("levels()").items()} == {FIRST: 66, SECOND: 30}
        assert set(process.ask("meter.energy()")) == {FIRST, SECOND}

    def test_it_sees_changes(self, driver: Driver, meter: Asker) -> None:
        """At each look."""
        assert meter.ask("levels()") == {FIRST: SEEN}
        driver.replace(0, used=GIB, utilization=5, temperature=40)
        driver.processes(0, (815, GIB), (816, None))
        seen = {"memory": GIB, "utilization": 5.0, "temperature": 40, "throttled": False}
        assert meter.ask("levels()") == {FIRST: seen}
        assert meter.ask("processes()") == {FIRST: [[815, GIB], [816, None]]}

    def test_a_display_is_no_compute_process(self, driver: Driver, meter: Asker) -> None:
        """It has a context of graphics."""
        driver.replace(0, graphics=((900, GIB),))
        assert meter.ask("processes()") == {FIRST: []}

    def test_a_mig_instance(self, driver: Driver, process: Asker) -> None:
        """Its own memory and processes; the rest would be the whole GPU's."""
        instance = Mig(MIG, used=2 * GIB, processes=((815, GIB),))
        driver.replace(0, used=0, mig_enabled=True, mig=(instance,))
        process.ask("fresh()")
        nothing = dict.fromkeys(("utilization", "temperature", "throttled"))
        assert process.ask("levels()") == {MIG: {"memory": 2 * GIB, **nothing}}
        assert process.ask("processes()") == {MIG: [[815, GIB]]}
        assert process.ask("meter.energy()") == {}


class TestThrottling:
    """Which reasons for other clocks say that something is wrong."""

    @pytest.mark.parametrize(
        ("bits", "throttled"),
        [
            (0x000, False),  # none
            (0x001, False),  # idle
            (0x002, False),  # applications clocks
            (0x004, False),  # power limit
            (0x008, True),  # hardware slowdown
            (0x010, False),  # sync boost
            (0x020, True),  # software thermal slowdown
            (0x040, True),  # hardware thermal slowdown
            (0x080, True),  # hardware power brake
            (0x100, False),  # display clocks
            (0x200, False),  # board limit
            (0x400, False),  # reliability
            (0x117, False),
            (0x044, True),
            (1 << 40, False),  # unknown today
        ],
    )
    def test_by_bit(self, driver: Driver, meter: Asker, bits: int, throttled: bool) -> None:
        """As NVML's API reference names them."""
        driver.replace(0, reasons=bits)
        assert meter.ask("levels()")[FIRST]["throttled"] is throttled

    def test_the_bits_are_pynvmls(self, process: Asker) -> None:
        """Each by its name there."""
        names = ("HwSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "SwThermalSlowdown")
        process.ask("import pynvml")
        bits = process.ask(f"[getattr(pynvml, 'nvmlClocksThrottleReason' + name) for name in {names}]")
        assert sorted(bits) == sorted(process.ask("list(THROTTLING)"))


QUERIES = {
    "nvmlDeviceGetMemoryInfo_v2": "memory",
    "nvmlDeviceGetUtilizationRates": "utilization",
    "nvmlDeviceGetTemperature": "temperature",
}


class TestMissing:
    """A question that has no answer."""

    @pytest.mark.parametrize("function", QUERIES)
    @pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND, NO_PERMISSION])
    def test_one_that_is_not_supported_is_asked_once(
        self, driver: Driver, meter: Asker, function: str, code: int
    ) -> None:
        """The others are answered."""
        driver.fault(function, code, 0)
        if function == "nvmlDeviceGetTemperature":
            driver.fault("nvmlDeviceGetTemperatureV", code, 0)
        assert meter.ask("levels()") == {FIRST: SEEN | {QUERIES[function]: None}}
        driver.replace(0, faults=())
        assert meter.ask("levels()") == {FIRST: SEEN | {QUERIES[function]: None}}
        assert meter.ask("meter.lost") is False

    @pytest.mark.parametrize("function", QUERIES)
    def test_one_that_fails_for_another_reason_is_asked_again(
        self, driver: Driver, meter: Asker, function: str
    ) -> None:
        """It may do better."""
        driver.fault(function, UNKNOWN, 0)
        assert meter.ask("levels()") == {FIRST: SEEN | {QUERIES[function]: None}}
        driver.replace(0, faults=())
        assert meter.ask("levels()") == {FIRST: SEEN}

    def test_an_older_driver_has_other_names(self, driver: Driver, meter: Asker) -> None:
        """The reasons were those of throttling once."""
        driver.replace(0, reasons=0x40)
        driver.fault("nvmlDeviceGetCurrentClocksEventReasons", FUNCTION_NOT_FOUND, 0)
        assert meter.ask("levels()")[FIRST]["throttled"] is True
        driver.fault("nvmlDeviceGetCurrentClocksThrottleReasons", FUNCTION_NOT_FOUND, 0)
        assert meter.ask("levels()")[FIRST]["throttled"] is None

    def test_a_newer_driver_has_other_names(self, driver: Driver, meter: Asker) -> None:
        """The temperature's is to change."""
        if not meter.ask("hasattr(__import__('pynvml'), 'nvmlDeviceGetTemperatureV')"):
            pytest.skip("this version of pynvml does not know it")
        driver.fault("nvmlDeviceGetTemperature", FUNCTION_NOT_FOUND, 0)
        assert meter.ask("levels()") == {FIRST: SEEN}

    def test_without_a_counter_of_energy_there_is_power(self, driver: Driver, meter: Asker) -> None:
        """In watts; without both there is nothing."""
        driver.unsupported("nvmlDeviceGetTotalEnergyConsumption", 0)
        assert meter.ask("meter.energy()") == {FIRST: [7.0, None, 350.0]}
        driver.unsupported("nvmlDeviceGetPowerUsage", 0)
        assert meter.ask("meter.energy()") == {}

    def test_a_counter_that_fails_this_time_is_not_replaced(self, driver: Driver, meter: Asker) -> None:
        """It says more the next time."""
        driver.fault("nvmlDeviceGetTotalEnergyConsumption", UNKNOWN, 0)
        assert meter.ask("meter.energy()") == {}
        driver.replace(0, faults=())
        assert meter.ask("meter.energy()") == {FIRST: [7.0, 5.0, None]}

    def test_processes_that_are_not_told(self, driver: Driver, meter: Asker) -> None:
        """Nobody knows, rather than nobody is there."""
        driver.unsupported("nvmlDeviceGetComputeRunningProcesses_v3", 0)
        assert meter.ask("processes()") == {}

    def test_a_function_that_the_driver_is_too_old_for(self, driver: Driver, meter: Asker) -> None:
        """pynvml says that by an error of another kind."""
        driver.fault("nvmlDeviceGetComputeRunningProcesses_v3", FUNCTION_NOT_FOUND, 0)
        assert meter.ask("processes()") == {}
        driver.replace(0, faults=())
        assert meter.ask("processes()") == {}
        assert meter.ask("levels()") == {FIRST: SEEN}


NOTHING: dict[str, Any] = dict.fromkeys(SEEN)


class TestLost:
    """A device that is no good any more."""

    @pytest.mark.parametrize("code", [GPU_IS_LOST, RESET_REQUIRED])
    def test_it_is_lost_until_it_answers(self, driver: Driver, meter: Asker, code: int) -> None:
        """A question that failed so is asked again."""
        assert meter.ask("levels()") == {FIRST: SEEN}
        driver.lose(0, code)
        assert meter.ask("levels()") == {FIRST: NOTHING}
        assert meter.ask("meter.lost") is True
        driver.find(0)
        assert meter.ask("levels()") == {FIRST: SEEN}
        assert meter.ask("meter.lost") is False

    @pytest.mark.parametrize("code", [GPU_IS_LOST, NOT_FOUND])
    def test_it_was_lost_before_the_first_look(self, driver: Driver, meter: Asker, code: int) -> None:
        """Its handle cannot be had then."""
        driver.lose(0, code)
        assert meter.ask("levels()") == {FIRST: NOTHING}
        assert meter.ask("meter.lost") is True
        driver.find(0)
        assert meter.ask("levels()") == {FIRST: SEEN}

    def test_another_one_answers(self, driver: Driver, process: Asker) -> None:
        """One is enough to be lost."""
        driver.gpus = (*driver.gpus, Gpu(SECOND, **BUSY))  # type: ignore[arg-type]
        process.ask("fresh()")
        driver.lose(0)
        assert process.ask("levels()") == {FIRST: NOTHING, SECOND: SEEN}
        assert process.ask("meter.lost") is True

    def test_a_mig_instance_goes_with_its_gpu(self, driver: Driver, process: Asker) -> None:
        """Its memory cannot be asked for."""
        driver.replace(0, used=0, mig_enabled=True, mig=(Mig(MIG),))
        process.ask("fresh()")
        driver.lose(0)
        assert process.ask("levels()") == {MIG: NOTHING}
        assert process.ask("meter.lost") is True

    def test_an_unknown_failure_is_no_loss(self, driver: Driver, meter: Asker) -> None:
        """It may pass."""
        driver.lose(0, UNKNOWN)
        assert meter.ask("levels()") == {FIRST: NOTHING}
        assert meter.ask("meter.lost") is False


class TestNvml:
    """It is started once, and stopped."""

    def test_where_it_does_not_start_nothing_is_known(self, driver: Driver, process: Asker) -> None:
        """Nor is anything asked."""
        process.ask("devices = survey().devices")
        driver.fail_init(UNKNOWN)
        process.ask("fresh(devices)")
        driver.fail_init(0)
        assert process.ask("[levels(), meter.energy(), processes(), meter.lost]") == [{}, {}, {}, False]

    def test_to_open_it_twice_starts_it_once(self, driver: Driver, process: Asker) -> None:
        """What it knows of its devices stays."""
        process.ask("fresh()")
        process.ask("meter.open()")
        process.ask("meter.close()")
        process.ask("""
import pynvml
try:
    pynvml.nvmlDeviceGetCount()
    stopped = False
except pynvml.NVMLError:
    stopped = True
""")
        assert process.ask("stopped") is True
        process.ask("meter.close()")

    def test_a_test_may_put_its_own_functions_into_pynvml(self, meter: Asker) -> None:
        """They are not asked, and answer nothing here."""
        meter.ask("from unittest import mock")
        assert meter.ask("levels()") == {FIRST: SEEN}
        meter.ask("patched = mock.patch('pynvml.nvmlDeviceGetMemoryInfo').start()")
        assert meter.ask("levels()") == {FIRST: SEEN}
        assert meter.ask("patched.called") is False
        meter.ask("mock.patch.stopall()")

"""The figures of tests, from real readings of a stand-in machine at moments that the test chooses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from standin import Driver, Gpu, Mig, fake_uuid
from standin.asker import Asker
from support import Host

GIB = 2**30
UNKNOWN = 999

PRELUDE = """
import json, os, subprocess, sys
from pytest_gpupool.devices.nvidia.nvml import survey
from pytest_gpupool.processes import table
from pytest_gpupool.sampling.samples import Samples

now, cost = [100.0], [0.0]
samples = None
children = []

def fresh(own=None, devices=None, dear=0.0):
    global samples
    if samples is not None:
        samples.close()
    devices = survey().devices if devices is None else devices
    def spent():
        cost[0] += dear
        return cost[0]
    samples = Samples(devices, interval=0.5, own=own, clock=lambda: now[0], cost=spent)
    samples.open()

def look(after=0.0):
    now[0] += after
    samples.look()
    return round(samples.due - now[0], 3)

def begin(**options):
    samples.begin(**options)
    look()

def child(code="input()"):
    children.append(subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    return children[-1].pid

def record(figures=None):
    found = samples.figures() if figures is None else figures
    return {**found.to_record(), "lost": found.lost}

def end_children():
    while children:
        children[-1].kill()
        children.pop().communicate()
"""
FIRST, SECOND = fake_uuid("GPU", 0), fake_uuid("GPU", 1)
MIG = fake_uuid("MIG", 0)

NOTHING = {
    "peak_memory_bytes": None,
    "utilization_mean": None,
    "utilization_max": None,
    "energy_j": None,
    "temperature_max_c": None,
    "throttled": None,
    "foreign_pids": None,
    "cpu_percent": None,
    "rss_peak_bytes": None,
    "cpu_pressure_percent": None,
    "lost": False,
}
OF_DEVICES = tuple(NOTHING)[:7]
OF_GPUS = tuple(key for key in NOTHING if key != "cpu_pressure_percent")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that tells the driver's library of its GPUs."""
    return tmp_path_factory.mktemp("samples") / "nvml"


@pytest.fixture
def driver(libraries: Path, state: Path) -> Driver:
    """A driver of one GPU."""
    return Driver(libraries, state, [Gpu(FIRST, energy=0)])


@pytest.fixture(scope="module")
def process(libraries: Path, state: Path) -> Iterator[Asker]:
    """A process that runs tests on it."""
    asker = Asker(Driver(libraries, state).environ(), PRELUDE)
    yield asker
    asker.end()


@pytest.fixture
def worker(driver: Driver, process: Asker) -> Iterator[Asker]:
    """One that has all devices, and samples each half second."""
    process.ask("fresh()")
    yield process
    process.ask("end_children()")


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process of another session."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        yield process.pid
        process.kill()


class TestFigures:
    """What one attempt took."""

    def test_every_figure_of_a_gpu(self, driver: Driver, worker: Asker) -> None:
        """Two looks: the largest, the mean, the growth."""
        worker.ask("begin()")
        driver.replace(0, used=3 * GIB, utilization=90, temperature=60, energy=100_000)
        worker.ask("look(0.5)")
        driver.replace(0, used=2 * GIB, utilization=40, temperature=70, energy=400_000, reasons=0x40)
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        assert found.pop("cpu_percent") >= 0
        assert found.pop("rss_peak_bytes") > 2**20
        assert found == {
            "peak_memory_bytes": 3 * GIB,
            "utilization_mean": 65.0,
            "utilization_max": 90.0,
            "energy_j": 400.0,
            "temperature_max_c": 70,
            "throttled": True,
            "foreign_pids": [],
            "devices": {FIRST: {"utilization_mean": 65.0, "energy_j": 400.0}},
            "cpu_pressure_percent": None,
            "lost": False,
        }

    def test_the_end_is_taken_to_be_like_the_rest(self, driver: Driver, worker: Asker) -> None:
        """No look comes at the moment when a test ends."""
        worker.ask("begin()")
        driver.replace(0, energy=100_000)
        worker.ask("look(0.5)")
        worker.ask("now.__setitem__(0, now[0] + 0.25)")
        assert worker.ask("record()")["energy_j"] == 150.0

    def test_what_is_known_of_too_little_is_not_known(self, driver: Driver, worker: Asker) -> None:
        """As where a test held the GIL after the first look."""
        worker.ask("begin()")
        driver.replace(0, energy=100_000, utilization=90)
        worker.ask("look(0.5)")
        worker.ask("now.__setitem__(0, now[0] + 60)")
        found = worker.ask("record()")
        assert (found["energy_j"], found["cpu_percent"], found["utilization_mean"]) == (None, None, 90.0)

    def test_a_look_that_comes_late_knows_the_energy_all_the_same(self, driver: Driver, worker: Asker) -> None:
        """A counter goes on."""
        worker.ask("begin()")
        driver.replace(0, energy=6_000_000)
        worker.ask("look(60)")
        assert worker.ask("record()")["energy_j"] == 6000.0

    def test_when_it_was_throttled(self, driver: Driver, worker: Asker) -> None:
        """From the look before the first that saw it to the first that did not, in each attempt anew."""
        driver.replace(0, reasons=0)
        worker.ask("begin()")
        began = worker.ask("now[0]")

        def spans() -> list[list[float]]:
            found = worker.ask("[(begin, min(end, 1e9)) for begin, end in samples.throttled_spans()]")
            return [[round(at - began, 3) if at < 1e9 else 0 for at in span] for span in found]

        worker.ask("look(0.5)")
        assert spans() == []
        driver.replace(0, reasons=0x40)
        worker.ask("look(0.5)")
        worker.ask("look(0.5)")
        assert spans() == [[0.5, 0]]  # 0: it goes on
        driver.replace(0, reasons=0)
        worker.ask("look(0.5)")
        assert spans() == [[0.5, 2.0]]
        worker.ask("begin()")
        assert spans() == []

    def test_an_attempt_that_is_over_has_no_figures(self, worker: Asker) -> None:
        """They are given once; then there is nothing until the next one begins."""
        worker.ask("begin()")
        worker.ask("look(0.5)")
        assert worker.ask("record(samples.end())")["peak_memory_bytes"] == 0
        assert worker.ask("record()") == NOTHING
        worker.ask("look(0.5)")
        assert worker.ask("record()") == NOTHING


class TestShort:
    """An attempt shorter than the interval."""

    def test_it_has_no_figures(self, driver: Driver, worker: Asker) -> None:
        """Whatever was read meanwhile."""
        driver.replace(0, used=GIB, utilization=90)
        worker.ask("begin()")
        worker.ask("look(0.25)")
        worker.ask("look(0.2)")
        assert worker.ask("record()") == NOTHING

    def test_nor_has_it_those_of_the_one_before(self, driver: Driver, worker: Asker) -> None:
        """All begins anew."""
        worker.ask("begin()")
        driver.replace(0, used=GIB, utilization=90, energy=100_000, temperature=90, reasons=0x40)
        worker.ask("look(0.5)")
        worker.ask("begin()")
        driver.replace(0, used=0, utilization=10, energy=150_000, temperature=50, reasons=0)
        worker.ask("look(0.25)")
        assert worker.ask("record()") == NOTHING
        worker.ask("look(0.25)")
        found = worker.ask("record()")
        assert (found["peak_memory_bytes"], found["utilization_max"], found["energy_j"]) == (0, 10.0, 50.0)
        assert (found["temperature_max_c"], found["throttled"]) == (50, False)

    def test_the_next_look_comes_when_it_is_as_old_as_the_interval(self, worker: Asker) -> None:
        """Then once in an interval; many short ones are looked at no more often."""
        worker.ask("samples.begin()")
        assert worker.ask("look(0.1)") == 0.4
        assert worker.ask("look(0.4)") == 0.5
        worker.ask("samples.begin()")
        worker.ask("now.__setitem__(0, now[0] + 0.49)")
        worker.ask("samples.begin()")
        assert worker.ask("look(0.01)") == 0.49

    def test_energy_before_the_begin_is_not_its_own(self, driver: Driver, worker: Asker) -> None:
        """Between two readings it counts by the time."""
        worker.ask("begin()")
        driver.replace(0, energy=100_000)
        worker.ask("look(0.5)")
        worker.ask("now.__setitem__(0, now[0] + 0.25)")
        worker.ask("samples.begin()")
        driver.replace(0, energy=400_000)
        worker.ask("look(0.5)")
        assert worker.ask("record()")["energy_j"] == 200.0


class TestMissing:
    """What was not measured is null, never 0."""

    def test_a_mig_instance(self, driver: Driver, worker: Asker, stranger: int) -> None:
        """Its memory and its strangers are known."""
        instance = Mig(MIG, used=GIB, processes=((stranger, GIB),))
        driver.replace(0, mig_enabled=True, mig=(instance,), utilization=90, energy=100)
        worker.ask("fresh()")
        worker.ask("begin()")
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        known = {"peak_memory_bytes": GIB, "foreign_pids": [stranger]}
        assert {key: found[key] for key in OF_DEVICES} == {**dict.fromkeys(OF_DEVICES), **known}
        assert found["devices"] == {MIG: {"utilization_mean": None, "energy_j": None}}
        assert found["cpu_percent"] is not None

    @pytest.mark.parametrize(
        ("function", "figures"),
        [
            ("nvmlDeviceGetMemoryInfo_v2", ("peak_memory_bytes",)),
            ("nvmlDeviceGetUtilizationRates", ("utilization_mean", "utilization_max")),
            ("nvmlDeviceGetTemperature", ("temperature_max_c",)),
            ("nvmlDeviceGetCurrentClocksEventReasons", ("throttled",)),
            ("nvmlDeviceGetComputeRunningProcesses_v3", ("foreign_pids",)),
        ],
    )
    def test_a_query_that_is_not_supported(
        self, driver: Driver, worker: Asker, function: str, figures: tuple[str, ...]
    ) -> None:
        """The others are there."""
        driver.unsupported(function, 0)
        worker.ask("begin()")
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        assert [key for key in OF_GPUS if found[key] is None] == list(figures)

    def test_without_a_counter_of_energy_power_is_summed_up(self, driver: Driver, worker: Asker) -> None:
        """By the trapezoidal rule."""
        driver.unsupported("nvmlDeviceGetTotalEnergyConsumption", 0)
        driver.replace(0, power=100_000)
        worker.ask("begin()")
        driver.replace(0, power=300_000)
        worker.ask("look(0.5)")
        assert worker.ask("record()")["energy_j"] == 100.0
        driver.unsupported("nvmlDeviceGetPowerUsage", 0)
        worker.ask("begin()")
        worker.ask("look(0.5)")
        assert worker.ask("record()")["energy_j"] is None

    def test_nothing_of_the_driver(self, driver: Driver, worker: Asker) -> None:
        """What the process takes itself is known."""
        worker.ask("devices = survey().devices")
        driver.fail_init(UNKNOWN)
        worker.ask("fresh(devices=devices)")
        worker.ask("begin()")
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        assert {key: found[key] for key in OF_DEVICES} == dict.fromkeys(OF_DEVICES)
        assert found["rss_peak_bytes"] > 2**20

    def test_a_test_that_uses_no_device(self, driver: Driver, worker: Asker) -> None:
        """On a worker that has one."""
        driver.replace(0, used=GIB)
        worker.ask("begin(on_devices=False)")
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        assert {key: found[key] for key in OF_DEVICES} == dict.fromkeys(OF_DEVICES)
        assert "devices" not in found
        assert found["rss_peak_bytes"] > 2**20


class TestDevices:
    """Several devices, and lost ones."""

    def test_several_devices(self, driver: Driver, worker: Asker) -> None:
        """Memory of the one that has most; the sum of the energy; the mean of the utilisation."""
        driver.gpus = (Gpu(FIRST, energy=0), Gpu(SECOND, energy=0))
        worker.ask("fresh()")
        worker.ask("begin()")
        driver.replace(0, used=GIB, utilization=100, energy=100_000, temperature=40)
        driver.replace(1, used=2 * GIB, utilization=50, energy=300_000, temperature=60)
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        assert (found["peak_memory_bytes"], found["temperature_max_c"]) == (2 * GIB, 60)
        assert (found["utilization_mean"], found["utilization_max"], found["energy_j"]) == (75.0, 100.0, 400.0)
        assert found["devices"] == {
            FIRST: {"utilization_mean": 100.0, "energy_j": 100.0},
            SECOND: {"utilization_mean": 50.0, "energy_j": 300.0},
        }

    def test_a_device_that_is_lost(self, driver: Driver, worker: Asker) -> None:
        """What was read before stays; the tests that follow are on a lost device from their begin, if they use it."""
        worker.ask("begin()")
        driver.replace(0, used=GIB)
        worker.ask("look(0.5)")
        driver.lose(0)
        worker.ask("look(0.5)")
        found = worker.ask("record(samples.end())")
        assert (found["lost"], found["peak_memory_bytes"]) == (True, GIB)
        worker.ask("samples.begin()")
        assert worker.ask("record()") == NOTHING | {"lost": True}
        worker.ask("samples.begin(on_devices=False)")
        assert worker.ask("record()") == NOTHING
        driver.find(0)
        worker.ask("look(0.5)")
        worker.ask("samples.begin()")
        assert worker.ask("record()") == NOTHING

    def test_one_that_was_lost_between_two_looks_is_found_lost_early(self, driver: Driver, worker: Asker) -> None:
        """Its energy is asked for in short tests as well."""
        worker.ask("begin()")
        driver.lose(0)
        worker.ask("look(0.1)")
        assert worker.ask("record()") == NOTHING | {"lost": True}


class TestForeign:
    """Processes on our devices that are not ours."""

    def test_a_stranger_and_a_child(self, driver: Driver, worker: Asker, stranger: int) -> None:
        """Whoever was there at any look of the attempt; who is not here is not accused."""
        child = worker.ask("child()")
        worker.ask("begin()")
        driver.processes(0, (worker.pid, GIB), (child, GIB), (stranger, GIB), (2**22 + 5, GIB))
        worker.ask("look(0.5)")
        driver.processes(0, (worker.pid, GIB))
        worker.ask("look(0.5)")
        assert worker.ask("record()")["foreign_pids"] == [stranger]
        worker.ask("begin()")
        worker.ask("look(0.5)")
        assert worker.ask("record()")["foreign_pids"] == []

    def test_a_display_is_none(self, driver: Driver, worker: Asker, stranger: int) -> None:
        """As on a workstation."""
        driver.replace(0, graphics=((stranger, GIB),))
        worker.ask("begin()")
        worker.ask("look(0.5)")
        assert worker.ask("record()")["foreign_pids"] == []

    def test_who_shares_the_device_is_none(self, driver: Driver, worker: Asker, stranger: int) -> None:
        """Nor is the memory that it has ours."""
        child = worker.ask("child()")
        worker.ask(f"fresh(own=lambda: [table.identity({stranger})])")
        driver.replace(0, used=6 * GIB, processes=((worker.pid, GIB), (child, 2 * GIB), (stranger, 3 * GIB)))
        worker.ask("begin()")
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        assert (found["foreign_pids"], found["peak_memory_bytes"]) == ([], 3 * GIB)

    @pytest.mark.parametrize("names", [True, False], ids=["without its memory", "not at all"])
    def test_memory_of_a_shared_device_that_nobody_tells(self, driver: Driver, worker: Asker, names: bool) -> None:
        """As in some containers: unknown, rather than all that is used."""
        worker.ask("fresh(own=lambda: [])")
        driver.replace(0, used=6 * GIB, processes=((worker.pid, None),) if names else ())
        worker.ask("begin()")
        worker.ask("look(0.5)")
        assert worker.ask("record()")["peak_memory_bytes"] is None


BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"


class TestProcess:
    """What the process takes itself, with its children."""

    def test_a_child_counts(self, worker: Asker) -> None:
        """Its processor time, also when it has ended, and its memory."""
        worker.ask("begin()")
        worker.ask("look(0.5)")
        before = worker.ask("record()")
        worker.ask("begin()")
        worker.ask(f"child({BURN!r})")
        worker.ask("children[0].stdout.readline().decode()")
        worker.ask("look(0.5)")
        living = worker.ask("record()")
        assert living["cpu_percent"] >= 50
        assert living["rss_peak_bytes"] > before["rss_peak_bytes"] * 1.2
        worker.ask("end_children()")
        worker.ask("look(0.5)")
        assert worker.ask("record()")["cpu_percent"] >= 25
        worker.ask("begin()")
        worker.ask("look(0.5)")
        assert worker.ask("record()")["rss_peak_bytes"] < living["rss_peak_bytes"]

    def test_a_test_may_put_its_own_functions_into_os(self, driver: Driver, worker: Asker, stranger: int) -> None:
        """They are not called, and answer nothing here."""
        worker.ask("begin()")
        driver.processes(0, (stranger, GIB), (2**22 + 5, GIB))
        worker.ask("from unittest import mock")
        for name in ("os.open", "os.read", "os.close", "os.scandir", "os.kill", "os.getpid", "builtins.open"):
            worker.ask(f"{name.replace('.', '_')} = mock.patch({name!r}).start()")
        worker.ask("look(0.5)")
        calls = worker.ask("[f.called for f in (os_open, os_read, os_close, os_scandir, os_kill, os_getpid)]")
        called = worker.ask("builtins_open.called")
        worker.ask("mock.patch.stopall()")
        assert calls == [False] * 6
        assert called is False
        found = worker.ask("record()")
        assert found["rss_peak_bytes"] > 2**20
        assert found["foreign_pids"] == [stranger]


class TestCost:
    """Looks that are dear come less often."""

    @pytest.mark.parametrize(("dear", "due"), [(0.0, 0.5), (0.001, 0.5), (0.002, 1.0)])
    def test_a_look_never_takes_more_than_its_share(self, worker: Asker, dear: float, due: float) -> None:
        """One per cent of a core; here the processor's clock moves on five times in a look."""
        worker.ask(f"fresh(dear={dear})")
        worker.ask("samples.begin()")
        assert worker.ask("look(0.5)") == due

    def test_a_list_of_processes_that_is_dear_comes_less_often(
        self, driver: Driver, worker: Asker, stranger: int
    ) -> None:
        """What it does not tell in an attempt is unknown there."""
        worker.ask("fresh(dear=0.002)")
        worker.ask("begin()")
        worker.ask("look(0.5)")
        assert worker.ask("record()")["foreign_pids"] == []
        driver.processes(0, (stranger, GIB))
        worker.ask("begin()")
        worker.ask("look(0.5)")
        found = worker.ask("record()")
        assert (found["foreign_pids"], found["peak_memory_bytes"]) == (None, 0)
        worker.ask("look(0.5)")
        assert worker.ask("record()")["foreign_pids"] == [stranger]


def test_on_a_cpu_nothing_of_nvml_is_loaded(cpu_host: Host) -> None:
    """Neither pynvml, a large module, nor what else goes with devices."""
    prelude = PRELUDE + "from pytest_gpupool.values.device import cpu_device\n"
    with ExitStack() as stack:
        asker = Asker(cpu_host.environ(), prelude)
        stack.callback(asker.end)
        asker.ask("fresh(devices=[cpu_device(0)])")
        asker.ask("begin()")
        asker.ask("look(0.5)")
        found = asker.ask("record()")
        assert found.pop("cpu_percent") >= 0
        assert found.pop("rss_peak_bytes") > 2**20
        assert 0 <= found.pop("cpu_pressure_percent") <= 100
        assert found == {key: NOTHING[key] for key in found}
        loaded = "[name for name in ('pynvml', 'psutil', 'pytest_gpupool.devices.nvidia.meter') if name in sys.modules]"
        assert asker.ask(loaded) == []

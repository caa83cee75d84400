"""The thread that samples: it disturbs nobody, and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from standin import Driver, Gpu, fake_uuid
from standin.asker import Asker
from support import LIMIT, Host

GIB = 2**30
FIRST = fake_uuid("GPU", 0)

PRELUDE = f"""
import gc, json, os, sys, threading, time, weakref
# What is called before a fork is called last where it was registered first.
seen_at_forks = []
os.register_at_fork(before=lambda: seen_at_forks.append(threads()))

from pytest_gpupool.values.device import cpu_device
from pytest_gpupool.devices.nvidia.nvml import survey
from pytest_gpupool.sampling.sampler import Sampler

def until(condition):
    deadline = time.monotonic() + {LIMIT}
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)

def threads():
    return [[thread.name, thread.daemon] for thread in threading.enumerate() if thread is not threading.main_thread()]

def record(figures):
    return {{**figures.to_record(), "lost": figures.lost}}

def has_figures():
    return sampler.figures().peak_memory_bytes is not None

def hangs():
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "gpupool-sampling"]
    for _ in range(25):
        time.sleep(0.002)
        if not sys._current_frames()[thread.ident].f_code.co_filename.endswith("pynvml.py"):
            return False
    return True

def forked(code):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            exec(code, globals())
            os.write(writer, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writer)
    said = b""
    while part := os.read(reader, 65536):
        said += part
    os.close(reader)
    os.waitpid(child, 0)
    return json.loads(said)
"""


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of one GPU at work."""
    return Driver(libraries, tmp_path / "nvml", [Gpu(FIRST, used=GIB, utilization=50)])


@pytest.fixture
def start() -> Iterator[Callable[..., Asker]]:
    """Starts processes with what they run first, and ends them after the test."""
    with ExitStack() as stack:

        def started(environ: dict[str, str], code: str) -> Asker:
            asker = Asker(environ, f"{PRELUDE}\n{code}")
            stack.callback(asker.end)
            return asker

        yield started


@pytest.fixture
def worker(driver: Driver, start: Callable[..., Asker]) -> Asker:
    """A process that samples often, and has begun an attempt."""
    return start(driver.environ(), "sampler = Sampler(survey().devices, interval=0.01)\nsampler.begin()")


class TestThread:
    """One thread, from the first attempt on."""

    def test_it_samples_while_tests_run(self, driver: Driver, worker: Asker) -> None:
        """Each attempt has figures of its own; it is a daemon with a name, and ends when it is told."""
        worker.ask("until(has_figures)")
        assert worker.ask("threads()") == [["gpupool-sampling", True]]
        found = worker.ask("record(sampler.end())")
        assert (found["peak_memory_bytes"], found["utilization_max"]) == (GIB, 50.0)
        assert worker.ask("sampler.figures().peak_memory_bytes") is None
        driver.replace(0, used=2 * GIB)
        worker.ask("sampler.begin()")
        worker.ask("until(has_figures)")
        assert worker.ask("sampler.figures().peak_memory_bytes") == 2 * GIB
        assert worker.ask("sampler.stop()") is True
        assert worker.ask("[threads(), sampler.problem]") == [[], None]

    def test_none_starts_before_an_attempt_does(self, driver: Driver, start: Callable[..., Asker]) -> None:
        """Nor is anything loaded for it."""
        worker = start(driver.environ(), "sampler = Sampler(survey().devices, interval=0.01)")
        assert worker.ask("threads()") == []
        assert worker.ask("'pytest_gpupool.sampling.samples' in sys.modules") is False
        assert worker.ask("sampler.stop()") is True

    def test_with_interval_0_there_is_none(self, driver: Driver, start: Callable[..., Asker]) -> None:
        """And no figure."""
        worker = start(driver.environ(), "sampler = Sampler(survey().devices, interval=0)\nsampler.begin()")
        assert worker.ask("threads()") == []
        found = worker.ask("[record(sampler.figures()), record(sampler.end())]")
        assert found[0] == found[1]
        assert set(found[0].values()) == {None, False}
        assert worker.ask("sampler.stop()") is True

    def test_after_the_end_none_begins(self, worker: Asker) -> None:
        """A late hook may say that a test does."""
        worker.ask("sampler.stop()")
        worker.ask("sampler.begin()")
        assert worker.ask("threads()") == []

    def test_on_a_cpu_it_looks_at_the_process_alone(self, cpu_host: Host, start: Callable[..., Asker]) -> None:
        """Without pynvml."""
        worker = start(cpu_host.environ(), "sampler = Sampler([cpu_device(0)], interval=0.01)\nsampler.begin()")
        worker.ask("until(lambda: sampler.figures().rss_peak_bytes is not None)")
        worker.ask("until(lambda: sampler.figures().cpu_percent is not None)")
        assert worker.ask("'pynvml' in sys.modules") is False
        assert worker.ask("sampler.stop()") is True


class TestDriverThatHangs:
    """A call that does not return."""

    def test_it_holds_up_nobody(self, driver: Driver, worker: Asker) -> None:
        """Neither a test, nor one that forks, nor the end of all; when it returns sampling goes on."""
        worker.ask("until(has_figures)")
        driver.hang(0, "nvmlDeviceGetMemoryInfo_v2")
        worker.ask("until(hangs)")
        worker.ask("sampler.begin()")
        assert worker.ask("forked('answer = 1')") == 1
        assert worker.ask("sampler.end().peak_memory_bytes") is None
        driver.hang(0)
        worker.ask("sampler.begin()")
        worker.ask("until(has_figures)")
        driver.hang(0, "nvmlDeviceGetMemoryInfo_v2")
        worker.ask("until(hangs)")
        assert worker.ask("sampler.stop()") is False
        driver.hang(0)
        worker.ask("until(lambda: not threads())")


class TestFork:
    """A process that forks."""

    def test_the_thread_rests_meanwhile(self, worker: Asker) -> None:
        """So no child inherits a lock that it holds, and Python does not warn of a fork with threads."""
        worker.ask("until(has_figures)")
        for _ in range(5):
            assert worker.ask("forked('answer = threads()')") == []
        assert worker.ask("seen_at_forks") == [[]] * 5
        worker.ask("sampler.begin()")
        worker.ask("until(has_figures)")
        assert worker.ask("threads()") == [["gpupool-sampling", True]]
        assert worker.ask("sampler.stop()") is True

    def test_a_child_has_its_own_figures(self, worker: Asker) -> None:
        """Those of its parent are not its; where it begins an attempt, it has a thread."""
        worker.ask("until(has_figures)")
        code = """
before = sampler.figures().rss_peak_bytes
sampler.begin()
until(has_figures)
answer = [before, threads(), sampler.figures().peak_memory_bytes, sampler.stop()]
"""
        assert worker.ask(f"forked({code!r})") == [None, [["gpupool-sampling", True]], GIB, True]
        assert worker.ask("sampler.figures().peak_memory_bytes") == GIB

    def test_a_child_that_ends_leaves_its_parents_nvml_alone(self, driver: Driver, worker: Asker) -> None:
        """Whatever of it the child throws away."""
        worker.ask("until(has_figures)")
        worker.ask("forked('sampler = None; gc.collect(); answer = 1')")
        driver.replace(0, used=2 * GIB)
        worker.ask("sampler.begin()")
        worker.ask("until(has_figures)")
        assert worker.ask("sampler.figures().peak_memory_bytes") == 2 * GIB

    def test_a_sampler_that_is_gone_is_not_told_of_forks(self, worker: Asker) -> None:
        """What is registered for them stays registered."""
        worker.ask("sampler.stop()")
        worker.ask("gone = weakref.ref(sampler)")
        worker.ask("sampler = None")
        worker.ask("gc.collect()")
        assert worker.ask("gone() is None") is True
        assert worker.ask("forked('answer = threads()')") == []


def test_what_goes_wrong_is_kept_from_the_test(driver: Driver, start: Callable[..., Asker]) -> None:
    """Pytest would blame the test for what a thread raises."""
    code = "sampler = Sampler(survey().devices, interval=0.01, own=lambda: 1 / 0)\nsampler.begin()"
    worker = start(driver.environ(), code)
    driver.processes(0, (worker.ask("os.getppid()"), GIB))
    worker.ask("until(lambda: sampler.problem is not None)")
    assert worker.ask("sampler.problem") == "sampling: ZeroDivisionError('division by zero')"
    driver.processes(0)
    worker.ask("sampler.begin()")
    worker.ask("until(lambda: sampler.figures().rss_peak_bytes is not None)")
    assert worker.ask("sampler.stop()") is True


def test_where_no_thread_can_be_started_there_are_no_figures(driver: Driver, start: Callable[..., Asker]) -> None:
    """The tests run all the same."""
    code = "sampler = Sampler(survey().devices, interval=0.01)\nthreading.stack_size(1 << 46)\nsampler.begin()"
    worker = start(driver.environ(), code)
    assert worker.ask("sampler.problem") == "sampling: can't start new thread"
    worker.ask("threading.stack_size(0)")
    worker.ask("sampler.begin()")
    assert worker.ask("[threads(), sampler.end().rss_peak_bytes, sampler.stop()]") == [[], None, True]
    assert worker.ask("forked('answer = threads()')") == []

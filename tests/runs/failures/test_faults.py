"""What a dead worker, a process that CUDA has left, and a GPU that fails cost: one test each, and never the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from standin import Driver, Gpu
from standin.devices import GIB
from suites import prepare
from support import LIMIT, Host, Run, Watched, gpus, records, wait_for

pytestmark = pytest.mark.usefixtures("leaves_nothing")

AFTERWARDS = """
        # Each ends only when all four are running: four workers, with a GPU each, are there afterwards.
        @pytest.mark.gpupool(stage=1)
        @pytest.mark.parametrize("case", range(4))
        def test_afterwards(case, gpu):
            say("afterwards", gpu.ids[0])
            until(lambda: len(lines("afterwards")) == 4, "not four workers are there afterwards")
            assert len(set(lines("afterwards"))) == 4
"""

AFTERWARDS_PASSED = {f"test_afterwards[{case}]": "passed" for case in range(4)}


def workers_of(run: Run, *names: str) -> list[str]:
    """The workers on which tests ran, in the order of the names."""
    return [run.tests[name]["worker"] for name in names]


# Workers that die


def test_a_dead_worker_costs_one_test_and_its_children_end_with_it(host: Host) -> None:
    """Killed, ended or crashed: only the running test is lost, and the GPU is leased again once all have gone."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import ctypes, os, signal, subprocess, sys
        import pytest
        from patience import lines, say, until

        def test_killed(record_metric):
            record_metric("loss", 0.25)
            command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
            child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
            child.stdout.readline()
            say("children", child.pid)
            os.kill(os.getpid(), signal.SIGKILL)

        def test_exits():
            os._exit(3)

        def test_segfault():
            ctypes.string_at(0)

        def test_passes(): pass
        """
        + AFTERWARDS,
    )
    run = host.pytest("-n4")
    assert run.status == 1, run.output
    crashed = {"test_killed": "signal 9, SIGKILL", "test_exits": "exit status 3", "test_segfault": "signal 11, SIGSEGV"}
    assert run.outcomes == {**dict.fromkeys(crashed, "crashed"), "test_passes": "passed", **AFTERWARDS_PASSED}
    for name, how in crashed.items():
        test = run.tests[name]
        assert test["message"].startswith(f"worker {test['worker']} died ({how}) while it ran this test")
        assert (test["attempt"], len(test["devices"])) == (1, 1)
        assert run.exits[test["worker"]] == ("killed" if name == "test_killed" else "crashed")
    assert sorted(run.exits.values()) == ["crashed"] * 2 + ["finished"] * 4 + ["killed"]
    assert run.metrics("test_killed") == {"loss": 0.25}
    assert [device["quarantined"] for device in run.report["devices"]] == [None] * 4
    assert len(wait_for(host.project / "children")) == 1  # that it is gone is for leaves_nothing to see


# CUDA errors


def test_a_worker_is_replaced_after_an_error_that_cuda_does_not_survive(host: Host) -> None:
    """In call, setup or teardown, in several workers at once: the one test fails, others run elsewhere, none twice.

    This costs none of the restarts that --max-worker-restart allows, and lack of memory is no such error.
    """
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os
        import pytest
        from patience import WORKER, lines, say, until

        @pytest.fixture(scope="module", autouse=True)
        def module():
            say("modules", f"up {WORKER}")
            yield
            say("modules", f"down {WORKER}")

        @pytest.fixture(autouse=True)
        def ran(request):
            say("ran", request.node.name)

        def meet():
            say("here")
            until(lambda: len(lines("here")) == 4, "the four do not run at once")

        @pytest.fixture
        def fails_early():
            meet()
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        @pytest.fixture
        def fails_late():
            yield
            raise RuntimeError("CUDA driver error: unspecified launch failure")

        def test_call(record_metric):
            record_metric("loss", 0.25)
            meet()
            raise RuntimeError("CUDA error: device-side assert triggered\\nCompile with `TORCH_USE_CUDA_DSA`")

        def test_setup(fails_early): pass

        def test_teardown(fails_late, record_metric):
            record_metric("loss", 0.5)
            meet()

        def test_memory():
            meet()
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        """
        + AFTERWARDS,
    )
    run = host.pytest("-n4", "--max-worker-restart=0", "--gpupool-oom-retries=0")
    assert run.status == 1, run.output
    sticky = {
        "test_call": "device-side assert triggered",
        "test_setup": "an illegal memory access was encountered",
        "test_teardown": "unspecified launch failure",
    }
    failed = {"test_call": "failed", "test_setup": "error", "test_teardown": "error", "test_memory": "failed"}
    assert run.outcomes == {**failed, **AFTERWARDS_PASSED}, run.output
    for name, why in sticky.items():
        worker = run.tests[name]["worker"]
        words = f"gpupool: after an error of this kind ({why}) a process can use its GPU no more"
        assert f"{words}; {worker} ran no more tests" in run.tests[name]["message"]
        assert f"gpupool: warning: {worker} ran no more tests after test_suite.py::{name}" in run.stdout
    assert "gpupool: after" not in run.tests["test_memory"]["message"]
    assert run.stdout.count("gpupool: warning:") == 3
    poisoned, afterwards = set(workers_of(run, *sticky)), set(workers_of(run, *AFTERWARDS_PASSED))
    assert len(poisoned) == 3
    assert not poisoned & afterwards
    assert run.tests["test_memory"]["worker"] in afterwards
    assert run.exits == dict.fromkeys(poisoned | afterwards, "finished")
    assert len({worker["pid"] for worker in run.report["workers"]}) == 7
    assert sorted(wait_for(host.project / "ran")) == sorted(run.outcomes)
    modules = wait_for(host.project / "modules")
    for worker in run.exits:
        ups_and_downs = [line.split()[0] for line in modules if line.endswith(f" {worker}")]
        # A worker that has nothing to do for a moment may tear down what it has.
        assert ups_and_downs == ["up", "down"] * (1 if worker in poisoned else len(ups_and_downs) // 2), worker
    assert (run.metrics("test_call"), run.metrics("test_teardown")) == ({"loss": 0.25}, {"loss": 0.5})


def test_without_workers_such_an_error_ends_the_run(host: Host) -> None:
    """Plain pytest has no other process: the rest is not-run, and the way out is named."""
    host.write(
        "test_suite.py",
        """
        def test_before(): pass
        def test_fails(record_metric):
            record_metric("loss", 0.25)
            raise RuntimeError("CUDA error: device-side assert triggered")
        def test_after(): pass
        """,
    )
    run = host.pytest()
    assert run.status == 1, run.output
    assert run.outcomes == {"test_before": "passed", "test_fails": "failed", "test_after": "not-run"}
    assert run.metrics("test_fails") == {"loss": 0.25}
    assert "a process can use its GPU no more" in run.tests["test_fails"]["message"]
    assert "with -n the worker is replaced and the run goes on" in run.stdout
    assert "1 of 3 collected tests has no result (not-run): test_suite.py::test_after" in run.stdout
    assert run.exits == {"main": "finished"}


# How many restarts


def test_only_crashes_use_up_restarts(host: Host) -> None:
    """With one restart allowed a crash, a CUDA error and a timeout still leave a run that finishes."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os, time
        import pytest
        from patience import lines, say, until

        def test_crash(): os._exit(3)
        def test_cuda(): raise RuntimeError("CUDA error: device-side assert triggered")
        @pytest.mark.gpupool(timeout=1)
        def test_hangs(): time.sleep(600)
        def test_passes(): pass
        """
        + AFTERWARDS,
    )
    run = host.pytest("-n4", "--max-worker-restart=1")
    assert run.status == 1, run.output
    bad = {"test_crash": "crashed", "test_cuda": "failed", "test_hangs": "timeout"}
    assert run.outcomes == {**bad, "test_passes": "passed", **AFTERWARDS_PASSED}
    assert [run.exits[worker] for worker in workers_of(run, *bad)] == ["crashed", "finished", "killed"]
    assert sorted(run.exits.values()) == ["crashed"] + ["finished"] * 5 + ["killed"]
    assert "maximum crashed workers" not in run.stdout


def test_a_crash_beyond_the_restarts_ends_the_run(host: Host) -> None:
    """As in xdist: with one restart allowed a second crash is the end, and what has no result is named."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os
        import pytest
        from patience import lines, say, until

        def test_passes(): pass

        @pytest.mark.parametrize("case", range(2))
        def test_crash(case):
            say("crashing")
            until(lambda: len(lines("crashing")) == 2, "the two do not crash at once")
            os._exit(3)
        """
        + AFTERWARDS,
    )
    run = host.pytest("-n4", "--max-worker-restart=1")
    assert run.status not in (0, 3), run.output
    crashed = {"test_crash[0]": "crashed", "test_crash[1]": "crashed"}
    assert run.outcomes == {**crashed, "test_passes": "passed", **dict.fromkeys(AFTERWARDS_PASSED, "not-run")}
    assert "maximum crashed workers reached: 1" in run.stdout
    assert "4 of 7 collected tests have no result (not-run)" in run.stdout
    assert "INTERNALERROR" not in run.output
    assert [run.exits[worker] for worker in workers_of(run, *crashed)] == ["crashed", "crashed"]


# GPUs that fail

HOLDING = """
    import os, signal
    import pytest
    from patience import lines, say, until

    @pytest.mark.parametrize("case", range({workers}))
    def test_holds(case, gpu, record_metric):
        record_metric("case", case)
        say("holding", gpu.ids[0])
        until(lambda: gpu.ids[0] in lines("die") or lines("go"), "nobody lets this test end")
        if gpu.ids[0] in lines("die"):
            os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.parametrize("case", range(8))
    def test_later(case): pass
"""
"""Tests that hold all workers until ``go`` is there, or their GPU is named in ``die``; then others."""

LOST = "is lost (it fell off the bus: see 'dmesg', then reset or reboot)"

LATER = [f"test_later[{case}]" for case in range(8)]


def until_quarantined(host: Host) -> None:
    """Wait until the run on this host has taken a device out of its pool."""
    deadline = time.monotonic() + LIMIT
    while not any(record["record"] == "quarantined" for record in records(host.project)):
        assert time.monotonic() < deadline, "no device was taken out of the pool"
        time.sleep(0.05)


@contextmanager
def holding(host: Host, workers: int) -> Iterator[Watched]:
    """A run of HOLDING, and of what else the project has, of which so many workers hold."""
    prepare(host)
    host.write("test_suite.py", HOLDING.format(workers=workers))
    # What a test measures on a device that is lost is invalid, which is not what these are about.
    running = Watched(host, f"-n{workers}", "--gpupool-fail-on=none")
    try:
        wait_for(host.project / "holding", workers)
        yield running
    finally:
        running.kill()


def test_a_gpu_that_is_lost_is_used_no_more(host: Host) -> None:
    """Its worker's test ends, every later one runs on the other GPUs, and the report has the reason."""
    assert host.driver is not None
    with holding(host, 4) as running:
        host.driver.lose(1)
        until_quarantined(host)
        host.write("go", "now\n")
        run = running.finish()
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}
    assert [run.metrics(f"test_holds[{case}]") for case in range(4)] == [{"case": case} for case in range(4)]
    lost = host.driver.uuids[1]
    assert lost not in {run.tests[name]["devices"][0] for name in LATER}
    assert [device["quarantined"] for device in run.report["devices"]] == [None, LOST, None, None]
    assert f"gpupool: warning: GPU 1 ({lost}) was taken out of the pool: it {LOST}" in run.stdout
    assert set(run.exits.values()) == {"finished"}
    assert len(run.exits) == 4


def test_a_gpu_that_keeps_a_dead_workers_memory_is_used_no_more(host: Host) -> None:
    """The one test crashes, the others run on the other GPUs, and the report says how much is still in use by whom."""
    assert host.driver is not None
    with holding(host, 4) as running:
        host.driver.replace(0, used=20 * GIB, processes=((999_999_999, 20 * GIB),))
        host.write("die", f"{host.driver.uuids[0]}\n")
        until_quarantined(host)
        host.write("go", "now\n")
        run = running.finish()
    assert run.status == 1, run.output
    first = host.driver.uuids[0]
    (crashed,) = (name for name, test in run.tests.items() if test["devices"] == [first])
    assert run.outcomes == {**dict.fromkeys(run.outcomes, "passed"), crashed: "crashed"}
    assert run.metrics(crashed) == {"case": int(crashed[-2])}
    assert run.exits[run.tests[crashed]["worker"]] == "killed"
    reasons = [device["quarantined"] for device in run.report["devices"]]
    assert reasons[1:] == [None, None, None]
    assert reasons[0] == (
        "did not give its memory back after its worker died: 20.0 GiB are still in use (NVML names pid 999999999)"
    )
    assert f"gpupool: warning: GPU 0 ({first}) was taken out of the pool: it {reasons[0]}" in run.stdout


def test_what_fits_no_gpu_that_is_left_fails_and_says_so(libraries: Path, tmp_path: Path) -> None:
    """Where the only large one is lost, nothing waits for it."""
    small, large = (Gpu(gpu.uuid, memory=size * GIB) for gpu, size in zip(gpus(2), (16, 80), strict=True))
    host = Host(tmp_path, driver := Driver(libraries, tmp_path / "nvml-state", [small, large]))
    host.write(
        "test_needs.py",
        "import pytest\n@pytest.mark.gpupool(memory='40GiB', stage=1)\ndef test_needs(): pass\n",
    )
    with holding(host, 2) as running:
        driver.lose(1)
        until_quarantined(host)
        host.write("go", "now\n")
        run = running.finish()
    assert run.status == 1, run.output
    assert run.outcomes == {**dict.fromkeys(run.outcomes, "passed"), "test_needs": "error"}
    message = run.tests["test_needs"]["message"]
    assert "this test asks for 40.0 GiB" in message
    assert "too small: it has 16.0 GiB of memory" in message


def test_a_lost_gpu_that_nobody_held_holds_up_nothing(host: Host) -> None:
    """A test on two GPUs runs with -n 1, where the run holds no more than that test asks for."""
    assert host.driver is not None
    host.write(
        "test_two.py",
        "import pytest\n@pytest.mark.gpupool(gpus=2, stage=1)\ndef test_two(gpu): assert gpu.count == 2\n",
    )
    with holding(host, 1) as running:
        host.driver.lose(3)
        until_quarantined(host)
        host.write("go", "now\n")
        run = running.finish()
    assert run.status == 0, run.output
    assert len(run.tests["test_two"]["devices"]) == 2


def test_a_run_ends_with_its_last_gpu(make_host: Callable[..., Host]) -> None:
    """What has no result by then is not-run, and what has one is reported."""
    host = make_host(1)
    assert host.driver is not None
    host.write("test_before.py", "def test_before(record_metric): record_metric('m', 1)\n")
    with holding(host, 1) as running:
        host.driver.lose(0)
        run = running.finish()
    assert run.status == 1, run.output
    assert run.outcomes == {"test_before": "passed", **dict.fromkeys(["test_holds[0]", *LATER], "not-run")}
    assert run.metrics("test_before") == {"m": 1}
    assert [device["quarantined"] for device in run.report["devices"]] == [LOST]
    assert "gpupool: no device is left" in run.stdout
    assert "9 of 10 collected tests have no result (not-run)" in run.stdout

"""Workers that share a device (``--gpupool-slots``), and tests that say how much memory they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spans import meetings, note_spans, remember, sharings, spans
from standin import Driver, Gpu
from standin.devices import GIB
from support import Host, Run, Running, Watched, gpus, wait_for

BUSY = ("--gpupool-allow-busy",)  # else a worker waits for its device, before any test does


def assert_all_passed(run: Run) -> None:
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}


def fill(host: Host, used: int, device: int = 0) -> None:
    """Let a process outside the pool use so much of a GPU."""
    assert host.driver is not None
    host.driver.replace(device, used=used, processes=((815, used),) if used else ())


def write_needy(host: Host, mark: str, count: int = 1) -> None:
    """A suite of tests with such a mark."""
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""
        import time
        import pytest

        @pytest.mark.gpupool({mark})
        @pytest.mark.parametrize("case", range({count}))
        def test_needy(case): time.sleep(0.05)
        """,
    )


HOLDER = """
    from helpers import lines, say, until

    def test_holds():
        say("held")
        until(lambda: lines("release"), "nobody released this test")
"""


@contextmanager
def holding(host: Host, *args: str) -> Iterator[None]:
    """Another run of one worker that holds a slot of the first GPU meanwhile. Needs :func:`note_spans`."""
    host.write("holder/test_holder.py", HOLDER)
    reports = ("--gpupool-dir=holder/records", "--gpupool-json=holder.json", "--junitxml=holder.xml")
    holder = Running(host, host.command("holder", "--gpupool-devices=0", *reports, *args), host.environ())
    try:
        wait_for(host.project / "held")
        yield
        (host.project / "release").write_text("now\n")
        assert holder.finish().status == 0
    finally:
        holder.kill()


# Slots


def test_two_workers_share_a_device(make_host: Callable[..., Host]) -> None:
    """Four workers on two GPUs of two slots run four tests at once, two on each, and each has a lock of its own."""
    host = make_host(2)
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import os
        import pathlib
        import pytest
        from helpers import together

        @pytest.mark.parametrize("case", range(4))
        def test_case(case, gpu):
            assert (gpu.count, gpu.device) == (1, "cuda:0")
            together(4)
            locks = pathlib.Path(os.environ["GPUPOOL_LOCK_DIR"]).glob("GPU-*.json")
            (pathlib.Path(__file__).parent / f"locks{case}").write_text(" ".join(path.name for path in locks))
            together(4, "done")
        """,
    )
    run = host.pytest("-n4", "--gpupool-slots=2")
    assert_all_passed(run)
    uuids = [gpu.uuid for gpu in gpus(2)]
    assert Counter(span.devices for span in spans(host)) == {(uuid,): 2 for uuid in uuids}
    assert len({span.pid for span in spans(host)}) == 4
    locks = sorted((host.project / "locks0").read_text().split())
    assert locks == sorted(f"{uuid}.{slot}.json" for uuid in uuids for slot in (0, 1))


@pytest.mark.parametrize(("first", "second", "joins"), [(1, 2, False), (2, 1, False), (2, 2, True)])
def test_a_run_shares_only_with_those_that_share(
    make_host: Callable[..., Host], first: int, second: int, joins: bool
) -> None:
    """Beside a run of one slot there is nobody on a GPU, and a run of one slot joins nobody."""
    host = make_host(1)
    note_spans(host)
    host.write("suite/test_suite.py", "def test_one(gpu): assert gpu.is_gpu\n")
    with holding(host, f"--gpupool-slots={first}"):
        run = host.pytest("suite", "-n1", f"--gpupool-slots={second}", "--gpupool-wait=0")
    assert run.status == (0 if joins else 75), run.output
    assert ("test_holds) for" in run.output) is not joins


def test_auto_counts_free_slots(make_host: Callable[..., Host]) -> None:
    """-n auto starts a worker per slot that no other run holds."""
    host = make_host(2)
    note_spans(host)
    host.write(
        "suite/test_suite.py",
        "import pytest\n@pytest.mark.parametrize('case', range(3))\ndef test_case(case, gpu): assert gpu.is_gpu\n",
    )
    with holding(host, "--gpupool-slots=2"):
        run = host.pytest("suite", "-nauto", "--gpupool-slots=2")
    assert_all_passed(run)
    assert "gpupool: 2 GPUs (Stand-in GPU), 3 workers" in run.stdout


def test_no_more_workers_than_slots(make_host: Callable[..., Host]) -> None:
    """-n4 on one GPU of three slots starts three, and says so; several devices together are several GPUs."""
    host = make_host(1)
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from helpers import together

        @pytest.mark.parametrize("case", range(3))
        def test_case(case): together(3)

        @pytest.mark.gpupool(gpus=2)
        def test_two(): pass
        """,
    )
    run = host.pytest("-n4", "--gpupool-slots=3")
    assert run.status == 1, run.output
    assert "gpupool: 4 workers asked for, but the pool has 3 slots: starting 3" in run.stdout
    assert run.outcomes == {**{f"test_case[{case}]": "passed" for case in range(3)}, "test_two": "error"}
    assert run.tests["test_two"]["message"] == "gpupool: this test asks for 2 devices, but the pool has 1"


def test_two_devices_of_two_slots_each(make_host: Callable[..., Host]) -> None:
    """A test on two devices holds one slot of each: two such tests run at once on the same two GPUs."""
    host = make_host(2)
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from helpers import together

        @pytest.mark.gpupool(gpus=2)
        @pytest.mark.parametrize("case", range(2))
        def test_two(case, gpu):
            assert len(set(gpu.ids)) == 2
            together(2)
        """,
    )
    assert_all_passed(host.pytest("-n4", "--gpupool-slots=2"))


# Memory


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_a_test_waits_until_its_memory_is_free(make_host: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """The run says for what it waits and who has it; when that is free the test runs."""
    host = make_host(1)
    fill(host, 70 * GIB)
    write_needy(host, "memory='20GiB'")
    waiting = Watched(host, *BUSY, *workers)
    try:
        said = waiting.until("for memory for test_suite.py::test_needy[0]", "20.0 GiB needed")
        assert "GPU 0  Stand-in GPU  9.5 GiB free, 20.0 GiB needed: pid 815 (not of this pool) has 70.0 GiB" in said
        assert not (host.project / "spans").exists()
        fill(host, 50 * GIB)
        run = waiting.finish()
    finally:
        waiting.kill()
    assert_all_passed(run)


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_waiting_for_memory_does_not_count_as_the_tests_time(
    make_host: Callable[..., Host], workers: tuple[str, ...]
) -> None:
    """A limit of the test's time begins when it does."""
    host = make_host(1)
    fill(host, 70 * GIB)
    write_needy(host, "memory='20GiB', timeout=0.5")
    waiting = Watched(host, *BUSY, "--gpupool-wait=1.5", *workers)
    try:
        run = waiting.finish()
    finally:
        waiting.kill()
    assert run.outcomes == {"test_needy[0]": "error"}, run.output
    assert "which did not come free in" in run.tests["test_needy[0]"]["message"]


@pytest.mark.parametrize(
    ("need", "said"),
    [("'20GiB'", "asks for 20.0 GiB"), (f"{20 * GIB}", "asks for 20.0 GiB"), ("0.25", "asks for 25% of the device's")],
)
def test_waiting_for_memory_ends_with_the_runs_patience(host: Host, need: str, said: str) -> None:
    """By --gpupool-wait, as that test's error, which says who has the memory; the others run."""
    fill(host, 70 * GIB)
    write_needy(host, f"memory={need}")
    host.write("test_other.py", "import pytest\n@pytest.mark.gpupool(memory=0.1)\ndef test_modest(): pass\n")
    run = host.pytest("--gpupool-wait=0", *BUSY)
    assert run.status == 1, run.output
    assert run.outcomes == {"test_needy[0]": "error", "test_modest": "passed"}
    message = run.tests["test_needy[0]"]["message"]
    assert said in message
    assert "did not come free" in message
    assert "GPU 0  Stand-in GPU  9.5 GiB free, 20.0 GiB needed: pid 815 (not of this pool) has 70.0 GiB" in message
    assert not (host.project / "spans").exists() or "needy" not in (host.project / "spans").read_text()


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_more_memory_than_a_device_has_is_that_tests_error(host: Host, workers: tuple[str, ...]) -> None:
    """At once, without waiting for what can never come."""
    write_needy(host, "memory='81GiB'")
    host.write("test_other.py", "def test_other(): pass\n")
    run = host.pytest(*workers)
    assert run.status == 1, run.output
    assert run.outcomes == {"test_needy[0]": "error", "test_other": "passed"}
    message = run.tests["test_needy[0]"]["message"]
    assert "this test asks for 81.0 GiB" in message
    assert "too small: it has 80.0 GiB of memory, 81.0 GiB needed" in message


def test_tests_that_do_not_fit_together_never_meet(make_host: Callable[..., Host]) -> None:
    """Of two workers on one GPU only one at a time runs a test that needs more than half; others run beside it."""
    host = make_host(1)
    write_needy(host, "memory='50GiB'", count=4)
    host.write(
        "test_other.py",
        "import time, pytest\n@pytest.mark.parametrize('case', range(4))\ndef test_small(case): time.sleep(0.02)\n",
    )
    run = host.pytest("-n2", "--gpupool-slots=2")
    assert_all_passed(run)
    assert len(run.outcomes) == 8
    assert meetings(span for span in spans(host) if "needy" in span.test) == []


def test_tests_that_fit_together_do_meet(make_host: Callable[..., Host]) -> None:
    """Memory keeps nobody away who has enough of it."""
    host = make_host(1)
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from helpers import together

        @pytest.mark.gpupool(memory="30GiB")
        @pytest.mark.parametrize("case", range(2))
        def test_case(case): together(2)
        """,
    )
    assert_all_passed(host.pytest("-n2", "--gpupool-slots=2"))


def test_what_does_not_fit_runs_on_the_large_device(libraries: Path, tmp_path: Path) -> None:
    """In a pool of different devices a test that needs much runs where there is that much, others anywhere."""
    small, large = (Gpu(gpu.uuid, memory=size * GIB) for gpu, size in zip(gpus(2), (16, 80), strict=True))
    host = Host(tmp_path, Driver(libraries, tmp_path / "nvml-state", [small, large]))
    write_needy(host, "memory='40GiB'", count=3)
    host.write("test_other.py", "import pytest\n@pytest.mark.parametrize('case', range(4))\ndef test_any(case): pass\n")
    for workers in (("-n2",), ("-n1",), ()):
        run = host.pytest(*workers, "--gpupool-wait=60")
        assert_all_passed(run)
        assert {run.tests[f"test_needy[{case}]"]["devices"][0] for case in range(3)} == {large.uuid}
    assert sharings(spans(host)) == []


def test_memory_is_needed_on_each_of_several_devices(make_host: Callable[..., Host]) -> None:
    """A test on two GPUs waits for the one that has too little."""
    host = make_host(2)
    fill(host, 70 * GIB, device=1)
    write_needy(host, "memory='20GiB', gpus=2")
    run = host.pytest("-n1", "--gpupool-wait=0", *BUSY)
    assert run.outcomes == {"test_needy[0]": "error"}, run.output
    message = run.tests["test_needy[0]"]["message"]
    assert "GPU 1  Stand-in GPU  9.5 GiB free, 20.0 GiB needed" in message
    assert "GPU 0" not in message


# What torch may take

TORCH = """
    import pytest
    import torch

    def test_small():
        torch.cuda.init()

    @pytest.mark.gpupool(memory="60GiB")
    def test_large():
        torch.cuda.init()

    @pytest.mark.gpupool(memory="8GiB")
    def test_modest():
        torch.cuda.init()
"""


def fractions(host: Host) -> list[float]:
    """What torch was held to, in order."""
    calls = host.torch_calls()
    return [call["fraction"] for call in calls if call["call"] == "set_per_process_memory_fraction"]


def test_on_a_shared_device_torch_gets_its_share(make_host: Callable[..., Host]) -> None:
    """1/slots of the memory, or what the test asks for where that is more; set anew for the next test."""
    host = make_host(1)
    host.write("test_suite.py", TORCH)
    run = host.pytest("-n1", "--gpupool-slots=2", "--gpupool-order=file", environ=host.torch_environ())
    assert_all_passed(run)
    assert fractions(host) == [0.5, 0.75, 0.5]
    assert [call["call"] for call in host.torch_calls()].count("empty_cache") == 3


def test_torch_is_told_before_its_first_use_only(make_host: Callable[..., Host]) -> None:
    """A worker whose tests use no CUDA initialises none for it; torch that comes late is told before the next test."""
    host = make_host(1)
    host.write("test_suite.py", "import torch\ndef test_none(): assert not torch.cuda.is_initialized()\n")
    assert_all_passed(host.pytest("-n1", "--gpupool-slots=4", environ=host.torch_environ()))
    assert host.torch_calls() == []
    host.write(
        "test_suite.py",
        """
        def test_imports():
            import torch

        def test_uses():
            import torch
            torch.cuda.init()
        """,
    )
    assert_all_passed(host.pytest("-n1", "--gpupool-slots=4", "--gpupool-order=file", environ=host.torch_environ()))
    assert fractions(host) == [0.25]


def test_on_a_device_of_its_own_torch_is_free(make_host: Callable[..., Host]) -> None:
    """With one slot nothing holds it back, and its cache stays."""
    host = make_host(1)
    host.write("test_suite.py", TORCH)
    assert_all_passed(host.pytest("-n1", environ=host.torch_environ()))
    assert {call["call"] for call in host.torch_calls()} == {"reset_peak_memory_stats"}


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_the_report_has_torchs_peak(host: Host, workers: tuple[str, ...]) -> None:
    """Per test, the most of its devices; null where the process had no use of CUDA yet."""
    host.write(
        "test_suite.py",
        """
        import pytest
        import torch

        def test_none(): pass

        @pytest.mark.gpupool(gpus=2)
        def test_two():
            torch.cuda.reserve(100, 0)
            torch.cuda.reserve(300, 1)
            torch.cuda.empty_cache()
            torch.cuda.reserve(200, 0)

        @pytest.mark.gpupool(gpus=2)
        def test_after(): torch.cuda.init()
        """,
    )
    run = host.pytest("--gpupool-order=file", *workers, environ=host.torch_environ())
    assert_all_passed(run)
    peaks = {name: test["resources"]["torch_peak_memory_bytes"] for name, test in run.tests.items()}
    assert peaks == {"test_none": None, "test_two": 300, "test_after": 200}  # which is reserved still


# What tests took before


def test_a_silent_test_waits_for_what_it_took_before(make_host: Callable[..., Host]) -> None:
    """Its peak of an earlier run counts on a shared device: two of 50 GiB never meet on one of 80 GiB."""
    host = make_host(1)
    write_needy(host, "", count=4)
    known = [f"test_suite.py::test_needy[{case}]" for case in range(4)]
    remember(host, dict.fromkeys(known, 0.3), dict.fromkeys(known, 50 * GIB))
    assert_all_passed(host.pytest("-n2", "--gpupool-slots=2"))
    assert len(spans(host)) == 4
    assert meetings(spans(host)) == []


def test_a_peak_is_learned_and_then_kept_free(make_host: Callable[..., Host]) -> None:
    """The first run measures what torch reserves; in the second the test waits for as much, and says so."""
    host = make_host(1)
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""
        import torch

        def test_silent(): torch.cuda.reserve({30 * GIB})
        """,
    )
    args = ("-n1", "--gpupool-slots=2", *BUSY)
    assert_all_passed(host.pytest(*args, environ=host.torch_environ()))
    fill(host, 60 * GIB)
    waiting = Watched(host, *args, environ=host.torch_environ())
    try:
        waiting.until("gw0 waits for memory for test_suite.py::test_silent", "19.5 GiB free, 30.0 GiB needed")
        fill(host, 0)
        run = waiting.finish()
    finally:
        waiting.kill()
    assert_all_passed(run)
    assert run.tests["test_silent"]["resources"]["torch_peak_memory_bytes"] == 30 * GIB


@pytest.mark.parametrize("slots", [1, 2])
def test_what_a_test_took_before_is_no_promise(make_host: Callable[..., Host], slots: int) -> None:
    """When the run's patience ends it runs all the same; on a device of its own it does not wait for it at all."""
    host = make_host(1)
    fill(host, 60 * GIB)
    write_needy(host, "")
    remember(host, {"test_suite.py::test_needy[0]": 0.3}, {"test_suite.py::test_needy[0]": 50 * GIB})
    run = host.pytest("-n1", f"--gpupool-slots={slots}", *BUSY, *(("--gpupool-wait=0",) if slots == 2 else ()))
    assert_all_passed(run)

"""Tests that need several devices, or none: ``@pytest.mark.gpupool(gpus=…)``."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from spans import Span, note_spans, sharings, spans
from support import Host, Run, gpus, records, wait_for

UUIDS = [gpu.uuid for gpu in gpus(4)]

MIXED = """
    import os
    import time
    import pytest

    def check(gpu, count):
        ids = [name for name in os.environ["GPUPOOL_DEVICES"].split(",") if name]
        assert (gpu.count, len(gpu.ids), len(gpu.names)) == (count, count, count)
        assert gpu.ids == ids
        assert gpu.devices == [f"cuda:{number}" for number in range(count)]
        assert gpu.device == ("cuda:0" if count else "cpu")
        assert gpu.is_gpu is (count > 0)
        time.sleep(0.01)

    @pytest.mark.parametrize("case", range(4))
    def test_one(case, gpu): check(gpu, 1)

    @pytest.mark.gpupool(gpus=2)
    @pytest.mark.parametrize("case", range(3))
    def test_two(case, gpu): check(gpu, 2)

    @pytest.mark.gpupool(gpus=4)
    class TestFour:
        def test_all(self, gpu): check(gpu, 4)

        @pytest.mark.gpupool(gpus=1)
        def test_nearest_mark_counts(self, gpu): check(gpu, 1)
"""
SIZES = {
    **{f"test_one[{case}]": 1 for case in range(4)},
    **{f"test_two[{case}]": 2 for case in range(3)},
    "TestFour::test_all": 4,
    "TestFour::test_nearest_mark_counts": 1,
}

with_and_without_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])


def by_test(host: Host) -> dict[str, Span]:
    """The last span of each test."""
    return {span.test: span for span in spans(host)}


def assert_all_passed(run: Run) -> None:
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}


def gone(pid: int) -> bool:
    """Whether a process has ended, and with it its hold of devices."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# As many as a test asks for


@pytest.mark.parametrize("export", ["index", "uuid"])
def test_every_size_gets_its_own_devices(host: Host, export: str) -> None:
    """1, 2 and 4 devices in one run: environment, fixture and reports name just these, and none is shared."""
    note_spans(host)
    host.write("test_suite.py", MIXED)
    run = host.pytest("-n4", f"--gpupool-export={export}")
    assert_all_passed(run)
    noted = by_test(host)
    names = UUIDS if export == "uuid" else [str(number) for number in range(4)]
    assert {test: len(span.devices) for test, span in noted.items()} == SIZES
    for test, span in noted.items():
        assert span.visible == ",".join(names[UUIDS.index(device)] for device in span.devices)
        assert run.tests[test]["devices"] == list(span.devices)
        assert run.junit[test.rpartition("::")[2]]["gpupool.device"] == ",".join(span.devices)
    held = {worker["id"]: worker["devices"] for worker in run.report["workers"]}
    assert all(held[test["worker"]] == test["devices"] for test in run.report["tests"])
    assert sharings(spans(host)) == []


def test_two_runs_of_mixed_sizes_share_a_host(host: Host) -> None:
    """Both end, all pass, and no device is ever used by two tests at once."""
    note_spans(host)
    host.write("test_suite.py", MIXED)
    reports = [
        (f"--gpupool-dir=records{number}", f"--gpupool-json=report{number}.json", f"--junitxml=junit{number}.xml")
        for number in (1, 2)
    ]
    for running in [host.start("-n4", *args) for args in reports]:
        run = running.finish()
        assert run.status == 0, run.output
    for number in (1, 2):
        report = json.loads((host.project / f"report{number}.json").read_text())
        assert Counter(test["outcome"] for test in report["tests"]) == {"passed": len(SIZES)}
    assert Counter(span.test for span in spans(host)) == dict.fromkeys(SIZES, 2)
    assert sharings(spans(host)) == []


@pytest.mark.parametrize(("workers", "size"), [("-n1", 2), ("-n2", 4)], ids=["n1", "n2"])
def test_a_test_may_need_more_devices_than_there_are_workers(host: Host, workers: str, size: int) -> None:
    """-n says how many workers there may be, not how few devices."""
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""
        import pytest

        @pytest.mark.gpupool(gpus={size})
        @pytest.mark.parametrize("case", range(2))
        def test_large(case, gpu): assert gpu.count == {size}

        def test_small(gpu): assert gpu.count == 1
        """,
    )
    assert_all_passed(host.pytest(workers))
    assert {test: len(span.devices) for test, span in by_test(host).items()} == {
        "test_large[0]": size,
        "test_large[1]": size,
        "test_small": 1,
    }
    assert sharings(spans(host)) == []


# More than there are


@with_and_without_workers
def test_more_than_the_pool_has_is_that_tests_error(host: Host, workers: tuple[str, ...]) -> None:
    """The message names both numbers; the others run; the exit status is 1."""
    host.write(
        "test_suite.py",
        """
        import pytest

        def test_before(): pass

        @pytest.mark.gpupool(gpus=8)
        def test_huge(): raise AssertionError("this must not run")

        @pytest.mark.gpupool(gpus=2)
        def test_after(gpu): assert gpu.count == 2
        """,
    )
    run = host.pytest(*workers)
    assert run.status == 1, run.output
    assert run.outcomes == {"test_before": "passed", "test_huge": "error", "test_after": "passed"}
    message = "gpupool: this test asks for 8 devices, but the pool has 4"
    assert run.tests["test_huge"]["message"] == message
    assert message in run.stdout
    assert "Traceback" not in run.output


def test_with_dist_each_a_worker_has_one_device(host: Host) -> None:
    """There every test runs on every worker: one that needs two devices says that they are not to be had."""
    host.write(
        "test_suite.py",
        "import pytest\n@pytest.mark.gpupool(gpus=2)\ndef test_two(): pass\ndef test_one(gpu): assert gpu.count == 1\n",
    )
    run = host.pytest("-n2", "--dist", "each")
    assert run.status == 1, run.output
    found = {(test["nodeid"].split("::")[1], test["worker"]): test for test in run.report["tests"]}
    assert {key: test["outcome"] for key, test in found.items()} == {
        ("test_two", "gw0"): "error",
        ("test_two", "gw1"): "error",
        ("test_one", "gw0"): "passed",
        ("test_one", "gw1"): "passed",
    }
    expected = "gpupool: this test asks for 2 devices, but its worker holds 1: the others of the pool's 4 are not"
    assert found["test_two", "gw0"]["message"].startswith(expected)


# Waiting for several


HOLDER = """
    from helpers import lines, say, until

    def test_holds():
        say("held")
        until(lambda: lines("release"), "nobody released this test")
"""

ONE_THEN_TWO = """
    import pytest

    def test_one(gpu): assert gpu.count == 1

    @pytest.mark.gpupool(gpus=2, stage=1)
    def test_two(gpu): assert gpu.count == 2
"""


@contextmanager
def last_gpu_held(host: Host, count: int) -> Iterator[None]:
    """Another run holds the last GPU meanwhile. Needs :func:`note_spans`."""
    host.write("holder/test_holder.py", HOLDER)
    reports = ("--gpupool-dir=holder/records", "--gpupool-json=holder.json", "--junitxml=holder.xml")
    holder = host.start("holder", f"--gpupool-devices={count - 1}", *reports)
    try:
        wait_for(host.project / "held")
        yield
    finally:
        holder.kill()


@pytest.mark.parametrize("workers", [(), ("-n1",), ("-n2",)], ids=["plain", "n1", "n2"])
def test_patience_ends_for_those_that_need_several_too(
    make_host: Callable[..., Host], workers: tuple[str, ...]
) -> None:
    """Where another run keeps one of them those tests fail and say so, also after workers that end slowly.

    The one process of a run without workers cannot go on without the lease that it gave back for the larger one.
    """
    host = make_host(2)
    note_spans(host)
    host.write(
        "suite/conftest.py",
        """
        import time
        import pytest

        @pytest.fixture(scope="session", autouse=True)
        def slow():
            yield
            time.sleep(1)
        """,
    )
    host.write("suite/test_suite.py", ONE_THEN_TWO)
    with last_gpu_held(host, 2):
        run = host.pytest("suite", "--gpupool-wait=0.3", *workers)
    if workers:
        assert run.status == 1, run.output
        assert run.outcomes == {"test_one": "passed", "test_two": "error"}
        assert "this test asks for 2 devices, but its worker holds 1" in run.tests["test_two"]["message"]
        assert "gpupool: warning: no 2 devices came free together in 0.3 s:" in run.output
    else:
        assert run.status == 75, run.output
        assert "gpupool: no device came free in 0.3 s." in run.output
    assert "GPU 1  Stand-in GPU  held by pid" in run.output
    assert "GPU 0  Stand-in GPU  free, but 2 devices are needed together" in run.output
    assert "Traceback" not in run.output
    assert "INTERNALERROR" not in run.output


def test_a_run_waits_for_its_own_workers(make_host: Callable[..., Host]) -> None:
    """--gpupool-wait is about others: devices that the run's own workers hold come free when these have ended."""
    host = make_host(2)
    host.write(
        "conftest.py",
        "import atexit, os, time\nif 'PYTEST_XDIST_WORKER' in os.environ: atexit.register(time.sleep, 1.5)\n",
    )
    host.write("test_suite.py", ONE_THEN_TWO)
    run = host.pytest("-n2", "--gpupool-wait=0")
    assert_all_passed(run)
    assert len(run.tests["test_two"]["devices"]) == 2


# Without workers


LOCKS = """
    import os
    import pathlib
    import pytest

    @pytest.mark.gpupool(gpus=2)
    def test_two(gpu):
        assert (gpu.count, gpu.devices, os.environ["CUDA_VISIBLE_DEVICES"]) == (2, ["cuda:0", "cuda:1"], "0,1")
        directory = pathlib.Path(os.environ["GPUPOOL_LOCK_DIR"])
        assert sorted(path.name for path in directory.glob("GPU-*.json")) == [f"{name}.json" for name in gpu.ids]

    def test_one(): pass
"""


def test_plain_pytest_holds_as_many_as_its_largest_test(host: Host) -> None:
    """No more and no fewer, for all of its tests."""
    host.write("test_suite.py", LOCKS)
    run = host.pytest()
    assert_all_passed(run)
    assert {name: test["devices"] for name, test in run.tests.items()} == {
        "test_two": UUIDS[:2],
        "test_one": UUIDS[:2],
    }
    (worker,) = run.report["workers"]
    assert worker["devices"] == UUIDS[:2]


def test_plain_pytest_keeps_what_cuda_has_seen(host: Host) -> None:
    """Where a module has initialised CUDA by then, a process can get no other devices, and the test says so."""
    host.write("conftest.py", "import torch\ntorch.cuda.init()\n")
    host.write("test_suite.py", LOCKS)
    run = host.pytest(environ=host.torch_environ())
    assert run.status == 1, run.output
    assert run.outcomes == {"test_two": "error", "test_one": "passed"}
    assert "asks for 2 devices, but its worker holds 1" in run.tests["test_two"]["message"]


# None


NONE = """
    import os
    import pytest

    @pytest.mark.gpupool(gpus=0)
    @pytest.mark.parametrize("case", range(3))
    def test_none(case, gpu):
        assert (gpu.device, gpu.devices, gpu.count, gpu.ids) == ("cpu", [], 0, [])
        assert (gpu.is_gpu, gpu.memory_total) == (False, None)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
"""


def test_a_test_without_a_device_runs_beside_one_with(make_host: Callable[..., Host]) -> None:
    """On one GPU and with one worker asked for, too: it takes no device from anybody."""
    host = make_host(1)
    note_spans(host)
    host.write(
        "test_suite.py",
        f"""{NONE}
        together(2)

    from helpers import together

    def test_one(gpu):
        assert gpu.is_gpu
        together(2)
    """,
    )
    run = host.pytest("-n1")
    assert_all_passed(run)
    assert {name: test["devices"] for name, test in run.tests.items()} == {
        **{f"test_none[{case}]": [] for case in range(3)},
        "test_one": [gpus(1)[0].uuid],
    }
    held = {worker["id"]: worker["devices"] for worker in run.report["workers"]}
    assert held[run.tests["test_none[0]"]["worker"]] == []
    assert run.report["summary"]["passed"] == 4


def test_a_suite_that_needs_no_device(host: Host) -> None:
    """All of it runs in workers that hold none; the devices are given back."""
    note_spans(host)
    host.write("test_suite.py", NONE)
    run = host.pytest("-n2")
    assert_all_passed(run)
    assert [test["devices"] for test in run.report["tests"]] == [[], [], []]
    assert {span.visible for span in spans(host)} == {"-1"}


# CPU slots


@pytest.mark.parametrize("workers", [(), ("-n1",), ("-n3",)], ids=["plain", "n1", "n3"])
def test_without_a_gpu_a_test_gets_that_many_cpu_slots(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """``cpu`` as often as it asks for devices: such a suite can be tried anywhere."""
    note_spans(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.gpupool(gpus=3)
        def test_three(gpu):
            assert gpu.devices[:3] == ["cpu"] * 3
            assert gpu.device == "cpu"
            assert len(set(gpu.ids)) == gpu.count

        def test_one(gpu): assert gpu.device == "cpu"

        @pytest.mark.gpupool(gpus=0)
        def test_none(gpu): assert gpu.device == "cpu"
        """,
    )
    run = cpu_host.pytest(*workers)
    assert_all_passed(run)
    assert run.tests["test_three"]["devices"] == ["cpu:0", "cpu:1", "cpu:2"] or workers
    assert len(run.tests["test_three"]["devices"]) == 3
    assert run.tests["test_none"]["devices"] == []
    assert len(run.tests["test_one"]["devices"]) == (1 if workers else 3)
    assert {span.visible for span in spans(cpu_host)} == {"-1"}
    assert sharings(spans(cpu_host)) == []


# Together with the rest


def test_groups_by_file_split_by_size(host: Host) -> None:
    """Under ``--dist loadfile`` the tests of one file and size stay together, each on as many devices as it needs."""
    note_spans(host)
    for name in ("test_a.py", "test_b.py"):
        host.write(
            name,
            """
            import pytest

            @pytest.mark.parametrize("case", range(3))
            def test_small(case, gpu): assert gpu.count == 1

            @pytest.mark.gpupool(gpus=2)
            @pytest.mark.parametrize("case", range(2))
            def test_large(case, gpu): assert gpu.count == 2
            """,
        )
    run = host.pytest("-n4", "--dist", "loadfile")
    assert run.status == 0, run.output
    workers: dict[tuple[str, int], set[str]] = {}
    for test in run.report["tests"]:
        assert test["outcome"] == "passed"
        workers.setdefault((test["nodeid"].split("::")[0], len(test["devices"])), set()).add(test["worker"])
    assert {key: len(names) for key, names in workers.items()} == {
        ("test_a.py", 1): 1,
        ("test_a.py", 2): 1,
        ("test_b.py", 1): 1,
        ("test_b.py", 2): 1,
    }
    assert sharings(spans(host)) == []


def test_a_crash_on_two_devices_costs_one_test(host: Host) -> None:
    """The crashed test names both devices; the rest of its size runs on two again."""
    note_spans(host)
    host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.gpupool(gpus=2)
        @pytest.mark.parametrize("case", range(4))
        def test_two(case, gpu):
            assert gpu.count == 2
            if case == 1:
                os._exit(3)

        @pytest.mark.parametrize("case", range(3))
        def test_one(case, gpu): assert gpu.count == 1
        """,
    )
    run = host.pytest("-n4")
    assert run.status == 1, run.output
    assert Counter(run.outcomes.values()) == {"passed": 6, "crashed": 1}
    assert run.outcomes["test_two[1]"] == "crashed"
    assert "exit status 3" in run.tests["test_two[1]"]["message"]
    assert {len(test["devices"]) for name, test in run.tests.items() if name.startswith("test_two")} == {2}
    assert sharings(spans(host)) == []


def test_devices_that_nobody_needs_are_given_back(host: Host) -> None:
    """While one long test is left of four, another run gets the other three GPUs at once."""
    note_spans(host)
    host.write(
        "first/test_first.py",
        """
        import pytest
        from helpers import lines, together, until

        @pytest.mark.parametrize("case", range(4))
        def test_case(case):
            together(4)
            if case == 0:
                until(lambda: lines("release"), "nobody released this test")
        """,
    )
    host.write(
        "second/test_second.py",
        """
        import pytest
        from helpers import together

        @pytest.mark.parametrize("case", range(3))
        def test_case(case): together(3, "beside")
        """,
    )
    first = host.start("-n4", "first", "--gpupool-json=first.json", "--junitxml=first.xml")
    try:
        wait_for(host.project / "together", 4)
        long, *short = sorted(spans(host), key=lambda span: span.test)
        wait_until_gone([span.pid for span in short])
        run = host.pytest("-n3", "second", "--gpupool-wait=0", "--gpupool-dir=records")
        assert not gone(long.pid)
        (host.project / "release").write_text("now\n")
        ended = first.finish()
    finally:
        first.kill()
    assert_all_passed(run)
    assert ended.status == 0, ended.output
    assert {*long.devices, *(device for test in run.report["tests"] for device in test["devices"])} == {*UUIDS}
    ends = [record for record in records(host.project) if record["record"] == "worker-end"]
    assert {record["exit"] for record in ends} == {"finished"}


def wait_until_gone(pids: list[int]) -> None:
    """Wait for the end of processes that are not ours."""
    deadline = time.monotonic() + 40
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, "workers without a test go on"
        time.sleep(0.01)

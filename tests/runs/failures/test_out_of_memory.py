"""A test that runs out of memory is told apart from one that is wrong, and tried again alone in a fresh worker."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standin.devices import GIB
from suites import prepare
from support import Host, Run, Running

pytestmark = pytest.mark.usefixtures("leaves_nothing")

BIG = """
    import os
    import pytest
    import torch
    from patience import WORKER, lines, say

    RAN = []  # in this process

    @pytest.mark.parametrize("case", range(3))
    def test_small(case):
        RAN.append(case)
        say("ran", f"small {case}")

    @pytest.mark.gpupool(memory="8GiB")
    def test_big(gpu, record_metric):
        say("tries", len(RAN))
        RAN.append("big")
        record_metric("tries", len(lines("tries")), higher_is_better=None)
        torch.cuda.reserve(5 * 2**30)
        if len(lines("tries")) <= FAILING:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB. GPU 0 has a capacity of …")

    @pytest.mark.gpupool(stage=1)
    def test_last(): say("ran", "last")
"""
"""``test_big`` runs out of memory so often as the first line says."""


def big(host: Host, failing: int) -> None:
    """Write that suite."""
    prepare(host)
    host.write("test_suite.py", BIG.replace("FAILING", str(failing)))


def lines(host: Host, name: str) -> list[str]:
    """What the tests have said."""
    return (host.project / name).read_text().splitlines()


def attempts(run: Run, name: str) -> list[tuple[str, str | None]]:
    """The outcome and the cause of each attempt at a test that was tried more than once."""
    return [(one["outcome"], one["cause"]) for one in run.tests[name]["attempts"]]


OUT, PASSED = ("failed", "out-of-memory"), ("passed", None)


def test_it_passes_in_a_fresh_worker(make_host: Callable[..., Host]) -> None:
    """The first attempt is a rerun and no failure; both are on record, and the last lines say what it had and wanted.

    -x does not stop for it, and the JUnit file has each test once.
    """
    host = make_host(1)
    big(host, failing=1)
    run = host.pytest("-n1", "-x", "--gpupool-html=report.html", "--gpupool-markdown=report.md", environ=environ(host))
    assert run.status == 0, run.output
    assert lines(host, "tries") == ["3", "0"]  # the second time nothing had run in its process
    assert lines(host, "ran") == ["small 0", "small 1", "small 2", "last"]
    assert attempts(run, "test_big") == [OUT, PASSED]
    test = run.tests["test_big"]
    assert (test["outcome"], test["cause"], test["attempt"]) == ("passed", None, 2)
    assert test["declared_memory_bytes"] == 8 * GIB
    first, last = (one["worker"] for one in test["attempts"])
    assert (first, last) == ("gw0", test["worker"])
    assert last != first
    assert "CUDA out of memory" in test["attempts"][0]["message"]
    assert run.metrics("test_big") == {"tries": 2}
    assert run.exits == {first: "finished", last: "finished"}
    words = f"test_suite.py::test_big ran out of memory in {first} (peak 5.0 GiB, 8.0 GiB declared)"
    assert f"gpupool: {words}; tried again in {last}: passed" in run.stdout
    assert "5 passed, 1 rerun" in run.stdout
    assert "warning: gw0 ran no more tests" not in run.stdout
    assert run.junit_outcomes == dict.fromkeys(run.tests, "passed")
    assert (host.project / "junit.xml").read_text().count("<testcase") == len(run.tests)
    assert "tried again in" in (host.project / "report.md").read_text()
    assert "ran out of memory" in (host.project / "report.html").read_text()


def test_it_fails_where_there_is_no_memory_either(make_host: Callable[..., Host]) -> None:
    """As often as the option says, and then it counts as one failure, of that cause in every report."""
    host = make_host(1)
    big(host, failing=9)
    run = host.pytest("-n1", "--maxfail=1", "--gpupool-oom-retries=2", environ=environ(host))
    assert run.status != 0, run.output
    assert attempts(run, "test_big") == [OUT] * 3
    assert lines(host, "tries") == ["3", "0", "0"]
    test = run.tests["test_big"]
    assert (test["outcome"], test["cause"], test["attempt"]) == ("failed", "out-of-memory", 3)
    assert run.junit["test_big"]["gpupool.cause"] == "out-of-memory"
    assert run.junit_outcomes["test_big"] == "failure"
    assert run.outcomes["test_last"] == "not-run"
    assert "1 failed, 3 passed, 2 rerun" in run.stdout
    assert "ran out of memory in gw0 and gw1 and gw2 (peak 5.0 GiB, 8.0 GiB declared): failed" in run.stdout


@pytest.mark.parametrize(
    "args",
    [("-n1", "--gpupool-oom-retries=0"), ("-n1", "--dist=each"), (), ("-n1", "-o", "gpupool_oom_retries=0")],
    ids=["none", "each", "plain", "ini"],
)
def test_where_it_is_not_tried_again_its_cause_is_told(make_host: Callable[..., Host], args: tuple[str, ...]) -> None:
    """By the option, or where there is no other worker for it. Its process goes on with the others."""
    host = make_host(1)
    big(host, failing=9)
    run = host.pytest(*args, environ=environ(host))
    assert run.status == 1, run.output
    assert lines(host, "tries") == ["3"]
    (test,) = (test for name, test in run.tests.items() if name.startswith("test_big"))
    assert (test["outcome"], test["cause"], test["attempt"], test["attempts"]) == ("failed", "out-of-memory", 1, [])
    assert f"ran out of memory in {test['worker']} (peak 5.0 GiB, 8.0 GiB declared): failed" in run.stdout
    assert "1 failed, 4 passed in" in run.stdout
    assert len(run.exits) == 1


def test_a_number_that_is_none_is_refused(cpu_host: Host) -> None:
    """With what to give."""
    run = cpu_host.pytest("--gpupool-oom-retries=-1")
    assert run.status == 4
    assert "--gpupool-oom-retries=-1: give a whole number from 0" in run.stderr
    cpu_host.write("pytest.ini", "[pytest]\ngpupool_machine_retries = often\n")
    assert "--gpupool-machine-retries=often: give a whole number from 0" in cpu_host.pytest().stderr


def test_with_slots_it_has_the_device_alone(make_host: Callable[..., Host]) -> None:
    """It has run out of its part of the memory; when nobody else uses the device, all of it is there."""
    host = make_host(1)
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        import torch
        from patience import lines, say, until

        @pytest.fixture(autouse=True)
        def noted(request):
            say("log", f"begin {request.node.name}")
            yield
            say("log", f"end {request.node.name}")

        def test_big():
            until(lambda: "begin test_small[0]" in lines("log"), "nobody is beside it")
            torch.cuda.reserve(60 * 2**30)

        @pytest.mark.parametrize("case", range(6))
        def test_small(case):
            if not case:
                until(lambda: "end test_big" in lines("log"), "it does not end")

        @pytest.mark.gpupool(stage=1)
        @pytest.mark.parametrize("case", range(2))
        def test_later(case): pass
        """,
    )
    run = host.pytest("-n2", "--gpupool-slots=2", environ=environ(host))
    assert run.status == 0, run.output
    assert attempts(run, "test_big") == [OUT, PASSED]
    assert [test["attempt"] for name, test in run.tests.items() if name != "test_big"] == [1] * 8
    log = lines(host, "log")
    again = len(log) - 1 - log[::-1].index("begin test_big")
    assert log[again + 1] == "end test_big"  # nothing ran beside it
    assert {f"end test_small[{case}]" for case in range(6)} <= {*log[:again]}
    assert not [line for line in log[:again] if "later" in line]


def test_a_run_that_ends_before_says_so(cpu_host: Host) -> None:
    """What was to be tried again has the result that it had, and is no success."""
    prepare(cpu_host)
    cpu_host.write(
        "conftest.py",
        """
        import pytest
        from patience import WORKER, lines, say, until

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if WORKER is None and report.failed:
                say("stopped")  # with -x nothing more begins once this hook is over

        if WORKER not in (None, "gw0", "gw1"):
            say("fresh")
            until(lambda: lines("stopped"), "the run does not stop")
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        from patience import lines, say, until

        def test_big():
            until(lambda: lines("beside"), "nobody is beside it")
            raise RuntimeError("CUDA error: out of memory")

        def test_wrong():
            say("beside")
            until(lambda: lines("fresh"), "nobody comes for the other one")
            assert False
        """,
    )
    run = cpu_host.pytest("-n2", "-x")
    assert run.status != 0, run.output
    assert run.outcomes == {"test_big": "failed", "test_wrong": "failed"}
    assert (run.tests["test_big"]["cause"], run.tests["test_big"]["attempts"]) == ("out-of-memory", [])
    assert "warning: test_suite.py::test_big was to be tried again, but the run ended before" in run.stdout
    assert run.junit_outcomes == {"test_big": "failure", "test_wrong": "failure"}


def test_what_only_speaks_of_it_is_not_tried_again(cpu_host: Host) -> None:
    """A test that expects it passes; one that asserts about it, or prints it, fails of its own."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from patience import say

        WORDS = "CUDA out of memory. Tried to allocate 20.00 GiB"

        def fails():
            raise RuntimeError(WORDS)

        @pytest.fixture(autouse=True)
        def noted(request): say("ran", request.node.name)

        def test_expects():
            with pytest.raises(RuntimeError, match="out of memory"):
                fails()

        def test_expects_other_words():
            with pytest.raises(RuntimeError, match="illegal"):
                fails()

        def test_asserts():
            try:
                fails()
            except RuntimeError as error:
                assert "40.00 GiB" in str(error)

        def test_prints():
            print(WORDS)
            raise ValueError("something else")

        @pytest.mark.xfail(raises=RuntimeError)
        def test_known(): fails()
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.status == 1, run.output
    failed = dict.fromkeys(("test_expects_other_words", "test_asserts", "test_prints"), "failed")
    assert run.outcomes == {"test_expects": "passed", **failed, "test_known": "xfailed"}
    assert sorted(lines(cpu_host, "ran")) == sorted(run.outcomes)
    assert {test["cause"] for test in run.tests.values()} == {None}
    assert "ran out of memory" not in run.stdout


def test_in_its_set_up_and_its_tear_down(cpu_host: Host) -> None:
    """A set-up is tried again, also where the tear-down suffers from the same; a call that has passed is not."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from patience import lines, say

        @pytest.fixture
        def model(request):
            say("builds", request.node.name)
            if len(lines("builds")) == 1:
                raise RuntimeError("cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED")

        @pytest.fixture
        def unload():
            yield
            if len(lines("builds")) == 1:
                raise RuntimeError("CUDA error: out of memory")

        def test_builds(unload, model): pass

        @pytest.fixture
        def leaves():
            yield
            raise RuntimeError("CUDA error: out of memory")

        def test_leaves(leaves): say("left")
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_builds": "passed", "test_leaves": "error"}
    assert attempts(run, "test_builds") == [("error", "out-of-memory"), PASSED]
    assert (run.tests["test_leaves"]["cause"], run.tests["test_leaves"]["attempts"]) == ("out-of-memory", [])
    assert lines(cpu_host, "left") == ["here"]


def test_beside_rerunfailures_nothing_is_tried_twice_as_often(cpu_host: Host) -> None:
    """One try more for want of memory, and one of its own: each says how often, and neither counts again."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        from patience import say

        def test_big():
            say("tries")
            raise RuntimeError("CUDA error: out of memory")

        def test_wrong():
            say("wrong")
            assert False
        """,
    )
    run = cpu_host.pytest("-n1", "--reruns=1", companions=("rerunfailures",))
    assert run.status == 1, run.output
    assert (len(lines(cpu_host, "tries")), len(lines(cpu_host, "wrong"))) == (3, 2)
    assert attempts(run, "test_big") == [OUT] * 3
    assert attempts(run, "test_wrong") == [("failed", None)] * 2
    assert "2 failed, 3 rerun" in run.stdout


def test_a_run_that_goes_on_tries_it_again(make_host: Callable[..., Host]) -> None:
    """A result that came of want of memory is none that is kept; what it had learned of its peak grows."""
    host = make_host(1)
    big(host, failing=3)
    assert host.pytest("-n1", "--maxfail=1", environ=environ(host)).status != 0
    durations = json.loads((host.project / ".gpupool/durations.json").read_text())
    (learned,) = durations["tests"]["test_suite.py::test_big"].values()
    assert learned["peak"] == [10 * GIB]
    run = host.pytest("-n1", "--gpupool-resume", environ=environ(host))
    assert run.status == 0, run.output
    assert attempts(run, "test_big") == [OUT, PASSED]
    assert lines(host, "ran") == ["small 0", "small 1", "small 2", "last"]


@contextlib.contextmanager
def limited(size: int) -> Iterator[Path]:
    """A control group whose processes may have so many bytes together; the test is skipped where none can be made."""
    first = Path("/sys/fs/cgroup/memory")
    root = first if first.is_dir() else Path("/sys/fs/cgroup")
    group = root / f"gpupool-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if root == first else "memory.max")).write_text(str(size))
        assert (group / "cgroup.procs").exists()
    except (OSError, AssertionError):
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip("no control group can be limited here")
    try:
        yield group
    finally:
        group.rmdir()


def test_the_kernels_oom_killer(cpu_host: Host) -> None:
    """The kernel ends the worker; that test is tried again in another one, and the report says how much it had."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        from patience import lines, say

        def test_before(): pass

        def test_big():
            say("tries")
            held = []
            while len(lines("tries")) == 1:
                held.append(bytearray(b"x") * (8 << 20))

        def test_after(): pass
        """,
    )
    with limited(700 << 20) as group:
        enter = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
        run = Running(cpu_host, [*enter, *cpu_host.command("-n1")], cpu_host.environ()).finish()
    assert run.status == 0, run.output
    assert run.outcomes == {"test_before": "passed", "test_big": "passed", "test_after": "passed"}
    assert attempts(run, "test_big") == [("crashed", "out-of-memory"), PASSED]
    first = run.tests["test_big"]["attempts"][0]
    assert "signal 9, SIGKILL" in first["message"]
    assert "the kernel's OOM killer" in first["message"]
    assert re.search(r"test_big ran out of memory in gw0 \(peak \d+ MiB of the host's memory, nothing decl", run.stdout)
    assert run.junit_outcomes == dict.fromkeys(run.outcomes, "passed")


def test_who_is_killed_otherwise_has_not_run_out_of_memory(cpu_host: Host) -> None:
    """The kernel has counted none: the test crashes, once."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import os, signal
        from patience import say

        def test_killed():
            say("tries")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.status == 1, run.output
    assert (run.outcomes, lines(cpu_host, "tries")) == ({"test_killed": "crashed"}, ["here"])
    assert (run.tests["test_killed"]["cause"], run.tests["test_killed"]["attempts"]) == (None, [])


def environ(host: Host) -> dict[str, str]:
    """With the stand-in torch."""
    return host.torch_environ()

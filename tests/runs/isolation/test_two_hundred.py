"""Two hundred isolated tests that do what they like, beside the plugins that people have."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from support import Host, Watched, wait_for

COMPANIONS = ("randomly", "rerunfailures", "timeout", "pytest_cov")

COVERED = """
    def half(number):
        if number % 2:
            return number // 2
        return number / 2
"""

SUITE = """
    import ctypes, os, signal, subprocess, time
    import pytest
    from covered import half

    pytestmark = pytest.mark.gpupool(isolate=True)
    HERE = os.getcwd()
    KEPT = []

    @pytest.fixture(autouse=True)
    def all_is_as_it_was():
        assert os.getcwd() == HERE
        assert "LEFT" not in os.environ
        assert not KEPT
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def hanging(number):
        return pytest.param(number, marks=[pytest.mark.timeout(1)] * (number % 12 == 0))

    @pytest.mark.parametrize("number", map(hanging, range(COUNT)))
    def test_hangs(number):
        if number % 12 == 0:
            subprocess.Popen(["sleep", "1000"])
            time.sleep(1000)

    @pytest.mark.parametrize("number", range(COUNT))
    class TestAll:
        def test_crashes(self, number):
            os.kill(os.getpid(), [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGBUS][number % 4])

        def test_exits(self, number):
            os._exit(number)

        def test_leaks(self, number, record_metric):
            KEPT.append(bytearray(10_000_000))
            record_metric("half", half(number))

        def test_forks(self, number):
            if os.fork() == 0:
                time.sleep(1000)

        def test_changes_folder_and_environment(self, number):
            os.chdir("/")
            os.environ["LEFT"] = "1"

        def test_changes_handlers(self, number):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        @pytest.mark.flaky(reruns=1)
        def test_passes_at_last(self, number):
            with open(f"tries-{number}", "a") as file:
                file.write("x")
            if len(open(f"tries-{number}").read()) < 2:
                os.abort()
"""

OUTCOMES = {
    "test_crashes": "crashed",
    "test_exits": "crashed",
    "test_leaks": "passed",
    "test_forks": "passed",
    "test_changes_folder_and_environment": "passed",
    "test_changes_handlers": "passed",
    "test_passes_at_last": "passed",
}


def outcomes_of(found: dict[str, str]) -> dict[str, Counter[str]]:
    """How often each outcome was there, by function."""
    counted: dict[str, Counter[str]] = {}
    for name, outcome in found.items():
        counted.setdefault(name.rpartition("::")[2].partition("[")[0], Counter())[outcome] += 1
    return counted


@pytest.mark.parametrize(("workers", "count"), [((), 5), (("-n4",), 25)], ids=["plain", "n4"])
def test_each_has_its_outcome_beside_other_plugins(
    gpu_host: Host, workers: tuple[str, ...], count: int, pytestconfig: pytest.Config
) -> None:
    """In any order, each attempt in a process of its own; none disturbs another one, and coverage is whole."""
    if pytestconfig.getoption("long"):
        count = 25
    gpu_host.write("covered.py", COVERED)
    gpu_host.write("test_suite.py", SUITE.replace("COUNT", str(count)))
    options = ("--cov=covered", "--cov-report=json", "--timeout=100")
    run = gpu_host.pytest(*workers, *options, companions=COMPANIONS)
    expected = {name: Counter({outcome: count}) for name, outcome in OUTCOMES.items()}
    hang = len(range(0, count, 12))
    assert outcomes_of(run.outcomes) == {**expected, "test_hangs": Counter(failed=hang, passed=count - hang)}, (
        run.output
    )
    assert set(run.exits.values()) == {"finished"}
    assert {test["attempt"] for name, test in run.tests.items() if "at_last" in name} == {2}
    assert run.metrics("TestAll::test_leaks[3]") == {"half": 1}
    assert '"percent_covered": 100.0' in (gpu_host.project / "coverage.json").read_text()
    assert "could not be forked" not in run.output
    gpu_host.wait_until_gone()


def test_a_run_of_them_that_was_killed_goes_on(gpu_host: Host, pytestconfig: pytest.Config) -> None:
    """With those that have no result yet; of the others none runs again."""
    count = 25 if pytestconfig.getoption("long") else 8
    gpu_host.write("covered.py", COVERED)
    gpu_host.write("conftest.py", "def pytest_runtest_logfinish(nodeid): open('ended', 'a').write(f'{nodeid}\\n')")
    gpu_host.write("test_suite.py", SUITE.replace("COUNT", str(count)))
    options = ("-n2", "-k", "crashes or leaks or forks")
    watched = Watched(gpu_host, *options)
    wait_for(gpu_host.project / "ended", lines=count)
    os.killpg(watched.process.pid, signal.SIGKILL)
    watched.finish()
    gpu_host.wait_until_gone()
    run = gpu_host.pytest(*options, "--gpupool-resume")
    names = ("test_crashes", "test_leaks", "test_forks")
    assert outcomes_of(run.outcomes) == {name: Counter({OUTCOMES[name]: count}) for name in names}, run.output
    gpu_host.wait_until_gone()

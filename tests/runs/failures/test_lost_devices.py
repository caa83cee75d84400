"""What a device breaks is tried again on another one; what a test breaks itself is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from standin import Driver
from suites import prepare
from support import Host, Run, Watched, gpus, instances, wait_for

pytestmark = pytest.mark.usefixtures("leaves_nothing")

NAMES_IT = """
    import pytest
    from patience import lines, say

    def test_before(): pass

    def test_meets(gpu):
        say("tries", ",".join(gpu.ids))
        if gpu.ids[0] == lines("tries")[0]:
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

    def test_itself(gpu):
        say("itself", gpu.ids[0])
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
"""


def attempts(run: Run, name: str) -> list[tuple[str, str | None, str]]:
    """Outcome, cause and device of each attempt at a test that was tried more than once."""
    return [(one["outcome"], one["cause"], one["devices"][0]) for one in run.tests[name]["attempts"]]


def test_an_error_that_names_a_lost_device(make_host: Callable[..., Host]) -> None:
    """It is the machine's, and the test passes elsewhere; an illegal access is the test's own."""
    host = make_host(2)
    prepare(host)
    host.write("test_suite.py", NAMES_IT)
    run = host.pytest("-n1", "-p", "no:randomly")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_before": "passed", "test_meets": "passed", "test_itself": "failed"}
    first, second = (host.project / "tries").read_text().splitlines()
    assert first != second
    assert attempts(run, "test_meets") == [("failed", "machine", first), ("passed", None, second)]
    assert run.tests["test_itself"]["cause"] is None
    assert len((host.project / "itself").read_text().splitlines()) == 1
    assert "test_suite.py::test_meets lost its device in gw0; tried again in" in run.stdout
    assert "1 failed, 2 passed, 1 rerun" in run.stdout


@pytest.mark.parametrize("devices", [1, 2])
def test_where_it_is_not_tried_again_that_is_said(make_host: Callable[..., Host], devices: int) -> None:
    """No other device is left; or the user wants no retries, which needs no word."""
    host = make_host(devices)
    prepare(host)
    host.write("test_suite.py", NAMES_IT)
    args = ["-n1"] if devices == 1 else ["-n1", "--gpupool-machine-retries=0"]
    run = host.pytest(*args)
    assert run.status == 1, run.output
    test = run.tests["test_meets"]
    assert (test["outcome"], test["cause"], test["attempts"]) == ("failed", "machine", [])
    assert ("no other device is left" in test["message"]) == (devices == 1)
    assert ("no other device is left" in run.stdout) == (devices == 1)
    assert "rerun" not in run.stdout
    assert run.outcomes["test_before"] == "passed"
    assert run.junit["test_meets"]["gpupool.cause"] == "machine"
    assert run.junit_outcomes["test_meets"] == "failure"


def test_another_instance_of_a_gpu_is_not_another_device(libraries: Path, tmp_path: Path) -> None:
    """What is broken of a GPU with MIG is broken for all of its instances."""
    (gpu,) = gpus(1, mig_enabled=True, mig=instances(2))
    host = Host(tmp_path, Driver(libraries, tmp_path / "nvml-state", [gpu]))
    prepare(host)
    host.write("test_suite.py", NAMES_IT)
    run = host.pytest("-n1")
    assert run.status == 1, run.output
    test = run.tests["test_meets"]
    assert (test["outcome"], test["cause"], test["attempt"]) == ("failed", "machine", 1)
    assert "no other device is left" in test["message"]


DYING = """
    import os, signal
    import pytest
    from patience import lines, say, until

    def test_dies(gpu):
        say("holding", gpu.ids[0])
        until(lambda: lines("go"), "nobody lets this test go on")
        if gpu.ids[0] in lines("go"):
            os.kill(os.getpid(), signal.SIGABRT)

    def test_later(): pass
"""


@pytest.mark.parametrize("devices", [1, 3])
def test_a_crash_on_a_device_that_has_failed(make_host: Callable[..., Host], devices: int) -> None:
    """The device is asked: the test runs again on another one, and where there is none it stays crashed."""
    host = make_host(devices)
    assert host.driver is not None
    prepare(host)
    host.write("test_suite.py", DYING)
    running = Watched(host, "-n1")
    try:
        (lost,) = wait_for(host.project / "holding")
        host.driver.lose(host.driver.uuids.index(lost))
        host.write("go", f"{lost}\n")
        run = running.finish()
    finally:
        running.kill()
    test = run.tests["test_dies"]
    quarantined = {device["id"] for device in run.report["devices"] if device["quarantined"]}
    assert quarantined == {lost}
    if devices == 1:
        assert run.status == 1, run.output
        assert (test["outcome"], test["cause"], test["attempt"]) == ("crashed", "machine", 1)
        assert "no other device is left" in test["message"]
        return
    assert run.status == 0, run.output
    (first, second) = attempts(run, "test_dies")
    assert first == ("crashed", "machine", lost)
    assert second[:2] == ("passed", None)
    assert second[2] != lost
    assert run.outcomes == {"test_dies": "passed", "test_later": "passed"}
    assert run.junit_outcomes == dict.fromkeys(run.outcomes, "passed")


@pytest.mark.parametrize("lost", [1, 2])
def test_what_rerunfailures_runs_again_is_not_tried_once_more(make_host: Callable[..., Host], lost: int) -> None:
    """A crash on a device that has failed is one try more, not two; after it, that plugin lets nobody try again."""
    host = make_host(3)
    assert host.driver is not None
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os, signal
        from patience import lines, say, until

        def test_dies(gpu):
            say("holding", gpu.ids[0])
            until(lambda: len(lines("go")) >= len(lines("holding")), "nobody lets this test go on")
            os.kill(os.getpid(), signal.SIGABRT)

        def test_later(): pass
        """,
    )
    running = Watched(host, "-n1", "--reruns=1", companions=("rerunfailures",))
    try:
        for number in range(2):
            held = wait_for(host.project / "holding", number + 1)
            if number < lost:
                host.driver.lose(host.driver.uuids.index(held[-1]))
            host.write("go", "now\n" * (number + 1))
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 1, run.output
    assert len((host.project / "holding").read_text().splitlines()) == 2
    second = "machine" if lost == 2 else None
    assert [one[:2] for one in attempts(run, "test_dies")] == [("crashed", "machine"), ("crashed", second)]
    assert run.outcomes == {"test_dies": "crashed", "test_later": "passed"}
    assert run.junit_outcomes == {"test_dies": "error", "test_later": "passed"}
    assert "1 failed, 1 passed, 1 rerun" in run.stdout
    assert "was to be tried again" not in run.stdout


def test_a_crash_on_a_sound_device_is_the_tests_own(make_host: Callable[..., Host]) -> None:
    """It is crashed, once."""
    host = make_host(2)
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os
        from patience import say

        def test_dies():
            say("tries")
            os._exit(3)
        """,
    )
    run = host.pytest("-n1")
    assert run.status == 1, run.output
    assert (host.project / "tries").read_text().splitlines() == ["here"]
    assert (run.tests["test_dies"]["outcome"], run.tests["test_dies"]["cause"]) == ("crashed", None)

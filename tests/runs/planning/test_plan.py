"""A run that is only planned: what it says, what it leaves alone, and what a run says of its plan afterwards."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from spans import KIND, remember
from support import Host

SUITE = """
    import os, pathlib, pytest

    @pytest.fixture(scope="session", params=["m0", "m1"])
    def model(request):
        pathlib.Path("ran").touch()
        return request.param

    @pytest.mark.parametrize("task", range(4))
    def test_task(model, task):
        pathlib.Path("ran").touch()
"""


def write(host: Host, kind: str = KIND) -> None:
    """Eight tests of 30 s on two models of 60 s, as earlier runs have measured."""
    host.write("test_it.py", SUITE)
    tests = {f"test_it.py::test_task[m{model}-{task}]": 30.0 for model in range(2) for task in range(4)}
    remember(host, tests, kind=kind, fixtures={f"test_it.py::model[m{model}]": 60.0 for model in range(2)})


def planned(host: Host, *args: str) -> tuple[str, dict[str, Any]]:
    """What is said, and the plan."""
    run = host.pytest("--gpupool-plan", *args)
    assert run.status == 0, run.output
    plan: dict[str, Any] = json.loads((host.project / "report.json").read_text())
    return run.output, plan


def left(host: Host) -> set[str]:
    """What is in the project that no test has written."""
    made = {"report.json", "junit.xml"}
    return {path.name for path in host.project.rglob("*") if path.is_file()} - made


@pytest.mark.usefixtures("leaves_nothing")
def test_it_collects_and_runs_nothing(host: Host) -> None:
    """No device is leased, no worker started, no record written."""
    write(host)
    before = left(host)
    out, plan = planned(host, "-n2")
    assert left(host) == before
    assert host.processes() == {}
    assert "no tests ran" in out
    assert "gpupool: plan of 8 tests for 2 workers, 4 GPUs (Stand-in GPU)" in out.splitlines()
    assert re.search(r"^  durations +8 known by earlier runs$", out, re.MULTILINE)
    assert re.search(r"^  expected makespan +3 min$", out, re.MULTILINE)
    assert re.search(r"^  GPU-hours +0\.10, of which tests and set-ups use 0\.10$", out, re.MULTILINE)
    assert re.search(r"^  set-ups +test_it.py::model 2 times, 2 min$", out, re.MULTILINE)
    assert re.search(
        r"^  longest pole +test_it.py::test_task\[m\d-\d\]: 30\.00 s and 60\.00 s of set-up$", out, re.MULTILINE
    )
    assert (plan["makespan_s"], plan["tests"], plan["known"], plan["workers"]) == (180.0, 8, 8, 2)
    assert plan["fixtures"] == [
        {"fixture": f"test_it.py::model[m{model}]", "built": 1, "setup_s": 60.0} for model in range(2)
    ]


@pytest.mark.parametrize(("args", "seconds"), [((), 360.0), (("-n1",), 360.0), (("-n2",), 180.0), (("-nauto",), 120.0)])
def test_the_makespan_is_that_of_the_workers_asked_for(host: Host, args: tuple[str, ...], seconds: float) -> None:
    """One process, or so many; 'auto' is what it would be now, four workers here."""
    write(host)
    assert planned(host, *args)[1]["makespan_s"] == seconds


def test_without_xdist(host: Host) -> None:
    """Where that is off there is one process."""
    write(host)
    assert planned(host, "-pno:xdist")[1]["makespan_s"] == 360.0


def test_nothing_known(host: Host) -> None:
    """It says so, and how many tests there are."""
    host.write("test_it.py", SUITE)
    out, plan = planned(host, "-n2")
    assert "not known: no earlier run is on record that had such tests" in out
    assert (plan["makespan_s"], plan["unknown"], plan["gpu_hours"]) == (None, 8, None)


def test_some_known(host: Host) -> None:
    """Tests of the same function are taken to be alike; others to take as long as the rest on average."""
    host.write("test_it.py", SUITE)
    host.write("test_other.py", "def test_new(): pass\n")
    remember(host, {"test_it.py::test_task[m0-0]": 10.0})
    out, plan = planned(host, "-n1")
    assert (plan["known"], plan["alike"], plan["unknown"], plan["makespan_s"]) == (1, 7, 1, 90.0)
    assert "1 known by earlier runs, 7 by tests like them, 1 not known" in out
    assert "if what is not known takes as long as the others" in out


def test_what_this_host_cannot_hold(host: Host) -> None:
    """Tests that ask for more devices, or more memory, than there is are named with the reason."""
    host.write(
        "test_it.py",
        """
        import pytest
        @pytest.mark.gpupool(gpus=5)
        def test_five(): pass
        @pytest.mark.gpupool(memory="999GiB")
        def test_memory(): pass
        @pytest.mark.gpupool(memory="1GiB", gpus=4)
        def test_fits(): pass
        @pytest.mark.gpupool(gpsu=1)
        def test_typo(): pass
        """,
    )
    out, plan = planned(host, "-n2")
    assert [one["nodeid"] for one in plan["impossible"]] == [
        f"test_it.py::test_{name}" for name in ("five", "memory", "typo")
    ]
    assert "test_it.py::test_five asks for 5 devices, and the pool has 4" in out
    assert "test_it.py::test_memory asks for 999.0 GiB of memory, and no device has so much" in out
    assert "has no key 'gpsu'" in out


def test_what_a_resume_would_keep(host: Host) -> None:
    """It is said; with --gpupool-resume only the rest is planned."""
    host.write(
        "test_it.py",
        """
        import os, pytest
        @pytest.mark.parametrize("case", range(4))
        def test_case(case):
            if case == 2 and os.path.exists("stop"): pytest.exit("enough", 1)
        """,
    )
    (host.project / "stop").touch()
    first = host.pytest()
    (host.project / "stop").unlink()
    assert first.status == 1
    interrupted = first.report["run"]["id"]
    out, plan = planned(host, "-n2")
    assert plan["kept"] == {"run": interrupted, "tests": 2, "of": 4, "resumed": False}
    assert plan["tests"] == 4
    assert f"--gpupool-resume={plan['kept']['run']} would keep 2 of 4 results" in out
    out, plan = planned(host, "-n2", "--gpupool-resume")
    assert (plan["kept"]["tests"], plan["kept"]["resumed"], plan["tests"]) == (2, True, 2)
    assert "are kept, and not in this plan" in out
    assert host.pytest("--gpupool-resume").status == 0


def test_what_a_budget_leaves_out(host: Host) -> None:
    """Tests that would not start."""
    write(host)
    out, plan = planned(host, "-n2", "--gpupool-budget=100s")
    assert plan["not_started"] == 6
    assert "6 tests that would end beyond --gpupool-budget" in out


def test_what_cannot_be_collected_ends_it_as_ever(host: Host) -> None:
    """pytest shows the error, and its own exit status."""
    host.write("test_it.py", "import nothing_of_that_name\n")
    run = host.pytest("--gpupool-plan", "-n2")
    assert run.status == 2
    assert "nothing_of_that_name" in run.output
    assert "plan of" not in run.output


def test_no_test_no_plan(host: Host) -> None:
    """As pytest has it."""
    host.write("test_it.py", "")
    run = host.pytest("--gpupool-plan")
    assert (run.status, "plan of" in run.output) == (5, False)


def test_the_ini_file_may_say_it(host: Host) -> None:
    """As every option has its twin there; where the pool is off the option has no effect, which is said."""
    write(host)
    host.write("pytest.ini", "[pytest]\ngpupool_plan = true\n")
    assert "plan of 8 tests" in host.pytest("-q").output
    host.write("pytest.ini", "[pytest]\ngpupool = off\n")
    run = host.pytest("--gpupool-plan")
    assert "gpupool: off here (by the ini file), --gpupool-plan has no effect" in run.output
    assert "8 passed" in run.output


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_run_says_how_it_went_against_its_plan(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """In one line, where it was known what most tests take."""
    cpu_host.write(
        "test_it.py", "import time, pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n): time.sleep(0.6)\n"
    )
    first = cpu_host.pytest("--gpupool-devices=cpu", *workers)
    assert "planned" not in first.output
    second = cpu_host.pytest("--gpupool-devices=cpu", *workers)
    assert re.search(r"^gpupool: planned \d.* s, took \d.* s, \d+\.\d\d times the plan$", second.output, re.MULTILINE)

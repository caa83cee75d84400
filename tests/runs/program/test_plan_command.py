"""The program's plan: 'gpupool plan', for people and for a CI matrix."""

from __future__ import annotations

import json
import re

import pytest
from program import gpupool
from spans import KIND, remember
from support import Host


@pytest.fixture
def suite(make_host: object) -> Host:
    """Eight tests of ten minutes each, known by earlier runs, on a host with two GPUs."""
    host: Host = make_host(2)  # type: ignore[operator]
    host.write(
        "test_it.py",
        """
        import pytest
        @pytest.mark.parametrize("case", range(8))
        def test_case(case): raise SystemExit("a plan runs nothing")
        """,
    )
    remember(host, {f"test_it.py::test_case[{case}]": 600.0 for case in range(8)}, kind=KIND)
    return host


def test_it_tells_people(suite: Host) -> None:
    """Makespan, GPU-hours, and how many devices or shards of this host a target takes."""
    status, out, _ = gpupool(suite, "plan", "--target", "20min", "--", "-n", "2", "-q")
    assert status == 0
    assert "gpupool: plan of 8 tests for 2 workers" in out
    assert re.search(r"^  expected makespan +40 min$", out, re.MULTILINE)
    assert re.search(r"^  GPU-hours +1\.33, of which", out, re.MULTILINE)
    assert re.search(r"^  in 20 min +4 devices, or 2 shards of 2 workers$", out, re.MULTILINE)
    assert "PytestAssertRewriteWarning" not in out


def test_it_tells_a_ci_system(suite: Host) -> None:
    """JSON alone on the standard output; the matrix has a job for each shard."""
    suite.write("conftest.py", "import os\nprint('chatter')\nos.system('echo more chatter')\n")
    status, out, err = gpupool(suite, "plan", "--json", "--target=20min", "--", "-n2", "-s")
    assert status == 0
    assert "chatter" in err
    plan = json.loads(out)
    assert plan["target"] == {"target_s": 1200.0, "devices": 4, "shards": 2, "matrix": [1, 2]}
    assert (plan["makespan_s"], plan["gpu_hours"]) == (2400.0, pytest.approx(4 / 3))


@pytest.mark.parametrize("target", ["5min", "1"])
def test_a_target_below_the_longest_test(suite: Host, target: str) -> None:
    """No number of devices does; which test it is, and exit status 1."""
    status, out, _ = gpupool(suite, "plan", "--target", target, "--", "-n2")
    assert status == 1
    assert re.search(r"with no number of devices: test_it\.py::test_case\[\d\] takes 10 min by itself", out)


def test_a_target_of_which_nobody_knows(cpu_host: Host) -> None:
    """Nothing can be said before a first run."""
    cpu_host.write("test_it.py", "def test_it(): pass\n")
    status, out, _ = gpupool(cpu_host, "plan", "--target", "5min")
    assert status == 1
    assert "nobody can say: nothing is known of these tests; run them once" in out


@pytest.mark.parametrize("target", ["0", "-5", "soon", ""])
def test_a_target_that_is_no_time(suite: Host, target: str) -> None:
    """It is refused with what to give."""
    status, out, err = gpupool(suite, "plan", f"--target={target}", "--", "-n2")
    assert (status, out) == (4, "")
    assert "give seconds above 0, or a time such as 90s, 20min or 2h" in err


def test_where_the_pool_is_off(suite: Host) -> None:
    """There is no plan, which is no success."""
    suite.write("pytest.ini", "[pytest]\ngpupool = off\n")
    suite.write("test_it.py", "def test_it(): pass\n")
    status, _, err = gpupool(suite, "plan", "--", "-n2")
    assert status == 4
    assert "pytest made no plan: pytest-gpupool is off there" in err


def test_what_pytest_refuses(suite: Host) -> None:
    """Its words, and its exit status."""
    status, _, err = gpupool(suite, "plan", "--", "no_such_file.py")
    assert status == 4
    assert "no_such_file.py" in err


def test_what_is_pytests_comes_behind_two_dashes(suite: Host) -> None:
    """Without them it is said where it belongs."""
    status, _, err = gpupool(suite, "plan", "-n", "2")
    assert status == 2
    assert "give pytest's arguments behind '--', as in: gpupool plan -- -n 2 evals/" in err

"""Workers are forked from one process: what becomes of a run where that process is gone, or none to fork."""

from __future__ import annotations

import pytest
from support import Host

pytestmark = pytest.mark.usefixtures("leaves_nothing")

KILLS_THE_SERVER = """
import os, signal
import pytest

def server():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("PPid"))

def test_it_is_killed():
    os.kill(server(), signal.SIGKILL)

@pytest.mark.parametrize("number", range(3))
def test_crashes(number):
    os._exit(3)

def test_last(): pass
"""


def test_the_server_is_killed_in_the_middle(cpu_host: Host) -> None:
    """Later workers are started without it, and how those end is known again."""
    cpu_host.write("test_suite.py", KILLS_THE_SERVER)
    run = cpu_host.pytest("-n1", "--dist=load")
    assert run.status == 1, run.output
    assert list(run.outcomes.values()) == ["passed", *["crashed"] * 3, "passed"]
    messages = [test["message"] for test in run.tests.values() if test["outcome"] == "crashed"]
    assert "nobody knows how, since its parent is gone" in messages[0]
    assert all("exit status 3" in message for message in messages[1:])


def test_nothing_is_imported_anew(cpu_host: Host) -> None:
    """But what pytest warns of where it is there too early, and what the suite's own plugins bring."""
    cpu_host.write(
        "early.py",
        """
        import sys
        BEFORE = set(sys.modules)
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        import sys
        from early import BEFORE

        def test_one(record_metric):
            record_metric("accuracy", 0.5, n=10)

        def test_two():
            ours = {name for name in set(sys.modules) - BEFORE if name.startswith("pytest_gpupool")}
            assert ours <= {
                "pytest_gpupool.foreign.xdist_warnings",
                "pytest_gpupool.foreign.xdist_worker",
                "pytest_gpupool.plugin",
                "pytest_gpupool.worker.protocol.given_tests",
                "pytest_gpupool.worker.protocol.interactor",
            }
        """,
    )
    run = cpu_host.pytest("-n1", "-p", "early")
    assert run.status == 0, run.output


@pytest.mark.parametrize(
    "site",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "import sys\nif 'forkserver' in str(sys.orig_argv): sys.exit('not this one')",
    ],
    ids=["thread", "exits"],
)
def test_where_none_can_be_forked(cpu_host: Host, site: str) -> None:
    """Workers are started as xdist starts them."""
    cpu_host.write("sitecustomize.py", site)
    cpu_host.write("test_suite.py", "def test_one(): pass\ndef test_two(): pass\n")
    run = cpu_host.pytest("-n2", environ={**cpu_host.environ(), "PYTHONPATH": str(cpu_host.project)})
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed", "test_two": "passed"}

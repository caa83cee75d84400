"""Ends of workers: who dies is noticed at once, who does not end is ended, and what it hung in is said."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support import Host

pytestmark = pytest.mark.usefixtures("leaves_nothing")

HANGS = {
    "thread": "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()",
    "atexit": "import atexit, time; atexit.register(lambda: time.sleep(1000))",
    "destructor": """
    import sys, time
    class Hangs:
        def __del__(self): time.sleep(1000)
    sys.modules["hangs"] = Hangs()
    """,
}


@pytest.mark.parametrize("hang", HANGS)
def test_a_worker_whose_process_does_not_end(cpu_host: Host, hang: str) -> None:
    """It has said goodbye: nothing is lost, and what it hung in is said."""
    cpu_host.write("test_suite.py", f"def test_one():\n    {HANGS[hang].strip()}\ndef test_two(): pass\n")
    run = cpu_host.pytest("-n1")
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed", "test_two": "passed"}
    assert run.exits == {"gw0": "finished"}
    assert "gpupool: warning: gw0 did not end in 10 s after it was let go and was ended; its stacks then" in run.output
    assert re.search(r"hread 0x\w+ \(most recent call first\):\n  File ", run.output), run.output
    assert "execnet" not in run.output


def test_a_worker_that_waits_to_be_let_go(cpu_host: Host) -> None:
    """Where the controller is busy it is not the worker that is late."""
    cpu_host.write(
        "conftest.py",
        """
        import time, pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_testnodedown():
            time.sleep(12)
        """,
    )
    cpu_host.write("test_suite.py", "def test_one(): pass\n")
    run = cpu_host.pytest("-n1")
    assert run.status == 0, run.output
    assert run.exits == {"gw0": "finished"}
    assert "warning" not in run.output


def test_a_worker_that_hangs_in_sessionfinish(cpu_host: Host) -> None:
    """So does one that does not come to its goodbye; it is not replaced."""
    cpu_host.write(
        "conftest.py",
        """
        import time
        def pytest_sessionfinish(session):
            if hasattr(session.config, "workerinput"): time.sleep(1000)
        """,
    )
    cpu_host.write("test_suite.py", "def test_one(): pass\n")
    run = cpu_host.pytest("-n1")
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed"}
    assert run.exits == {"gw0": "killed"}
    assert "gw0 did not come to the end of pytest_sessionfinish in 60 s and was ended; its stacks then" in run.output
    assert re.search(r'  File ".*/conftest.py", line \d+ in pytest_sessionfinish', run.output), run.output
    assert "replacing crashed worker" not in run.output


@pytest.mark.long
def test_a_worker_that_is_stopped_as_it_collects(cpu_host: Host) -> None:
    """The others run all that is known; the run waits for a while, since it might know of more, and not for ever."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, signal, pathlib, time
        if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
            os.kill(os.getpid(), signal.SIGSTOP)
        def test_one(): pass
        def test_two(): pass
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed", "test_two": "passed"}
    assert run.exits == {"gw0": "finished", "gw1": "killed"}
    assert "warning: gw1 had not collected 60 s after all tests of the others were over and was ended" in run.output
    assert "replacing crashed worker" not in run.output


def test_a_worker_that_is_stopped_before_it_tells_what_it_has_collected(cpu_host: Host) -> None:
    """It was asked, as the first that had collected; the others do not wait for it."""
    cpu_host.write(
        "conftest.py",
        """
        import os, pathlib, signal, time
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(session):
            name = os.environ.get("PYTEST_XDIST_WORKER")
            if name == "gw0":
                pathlib.Path("collected").touch()
                os.kill(os.getpid(), signal.SIGSTOP)

        def pytest_collection(session):
            if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
                while not pathlib.Path("collected").exists(): time.sleep(0.01)
        """,
    )
    cpu_host.write("test_suite.py", "def test_one(): pass\ndef test_two(): pass\n")
    run = cpu_host.pytest("-n2", "--gpupool-timeout=3")
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed", "test_two": "passed"}
    assert run.exits["gw0"] == "killed"


@pytest.mark.long
def test_a_worker_that_is_stopped_while_it_has_no_test(cpu_host: Host) -> None:
    """It cannot hear that all is over."""
    cpu_host.write(
        "conftest.py",
        """
        import os, pathlib, signal, threading, time

        def stop(name):
            begun = pathlib.Path("begun")
            while not (begun.exists() and begun.read_text()): time.sleep(0.01)
            if begun.read_text() != name:
                os.kill(os.getpid(), signal.SIGSTOP)

        def pytest_collection_finish(session):
            name = os.environ.get("PYTEST_XDIST_WORKER")
            if name:
                pathlib.Path(f"collected-{name}").touch()
                threading.Thread(target=stop, args=(name,), daemon=True).start()
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        import os, pathlib, time, pytest

        @pytest.mark.parametrize("number", range(2))
        @pytest.mark.gpupool(lock="one")
        def test_it(number):
            while len(list(pathlib.Path().glob("collected-*"))) < 2: time.sleep(0.01)
            time.sleep(1 - number)  # by then the other one has joined
            pathlib.Path("begun").write_text(os.environ["PYTEST_XDIST_WORKER"])
            time.sleep(1 - number)
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}
    assert sorted(run.exits.values()) == ["finished", "killed"]
    assert " did not begin to end in 60 s after it was told to and was ended" in run.output


@pytest.mark.long
def test_a_worker_that_is_stopped_when_it_is_told_to_end(make_host: Callable[..., Host]) -> None:
    """Another one waits for its device."""
    host = make_host(2)
    host.write(
        "conftest.py",
        """
        import contextlib, os, signal
        from pytest_gpupool.values.messages import Finishing
        from pytest_gpupool.worker.protocol.interactor import Interactor

        old_say = Interactor.say

        def say(self, message):
            if isinstance(message, Finishing):
                with contextlib.suppress(FileExistsError):
                    os.close(os.open("stopped", os.O_CREAT | os.O_EXCL))
                    os.kill(os.getpid(), signal.SIGSTOP)
            old_say(self, message)

        Interactor.say = say
        """,
    )
    host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_one(number): pass

        @pytest.mark.gpupool(gpus=2, stage=1)
        def test_two_devices(): pass
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}
    assert list(run.exits.values()).count("killed") == 1
    assert " did not begin to end in 60 s after it was told to and was ended" in run.output


def test_the_next_worker_gets_the_device_of_one_that_does_not_end(make_host: Callable[..., Host]) -> None:
    """A GPU is free when its worker's process has ended, so that is seen to."""
    host = make_host(1)
    host.write(
        "test_suite.py",
        """
        import threading, time, pytest

        def test_one(gpu):
            threading.Thread(target=time.sleep, args=(1000,)).start()
            raise RuntimeError("CUDA error: device-side assert triggered")

        def test_two(gpu): pass
        """,
    )
    run = host.pytest("-n1", "--gpupool-order=file")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_one": "failed", "test_two": "passed"}
    assert "gw0 did not end in 10 s" in run.output


@pytest.mark.parametrize("leaves", ["forks", "forks-a-session"])
def test_a_dead_worker_is_noticed_though_a_child_holds_its_pipe(cpu_host: Host, leaves: str) -> None:
    """At once, and as what it is: its test does not run into its time limit."""
    cpu_host.write(
        "test_suite.py",
        f"""
        import os, signal, time, pytest

        @pytest.mark.gpupool(timeout=100)
        def test_one():
            if os.fork() == 0:
                if {leaves == "forks-a-session"}: os.setsid()
                time.sleep(1000)
            os.kill(os.getpid(), signal.SIGKILL)

        def test_two(): pass
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_one": "crashed", "test_two": "passed"}
    assert "died (signal 9, SIGKILL) while it ran this test" in run.tests["test_one"]["message"]


def test_a_worker_that_closes_its_connection(cpu_host: Host) -> None:
    """Its process goes on: it is ended, which is not told as its own death."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, time

        def test_one():
            for fd in map(int, os.listdir("/proc/self/fd")):
                if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}") and "pipe:" in os.readlink(f"/proc/self/fd/{fd}"):
                    os.close(fd)
            time.sleep(1000)

        def test_two(): pass
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.outcomes == {"test_one": "crashed", "test_two": "passed"}
    assert "its process ran on, but had closed its connection to the controller" in run.tests["test_one"]["message"]
    assert "SIGTERM" not in run.output


class TestOtherPlugins:
    """A conftest.py takes from ``node.workeroutput`` what it has put there."""

    CONFTEST = """
    def pytest_sessionfinish(session):
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["x"] = 1

    def pytest_testnodedown(node, error):
        with open("down", "a") as file:
            print(node.gateway.id, error, node.workeroutput["x"] if hasattr(node, "workeroutput") else None, file=file)
    """

    def downs(self, host: Host) -> dict[str, str]:
        """What it was told of each worker."""
        return dict(line.split(" ", 1) for line in (host.project / "down").read_text().splitlines())

    def test_of_a_cancelled_worker_they_do_not_hear(self, make_host: Callable[..., Host]) -> None:
        """It has not run pytest."""
        host = make_host(1)
        host.write("conftest.py", self.CONFTEST)
        host.write("test_suite.py", "import time\ndef test_one(): time.sleep(0.5)\n")
        run = host.pytest("-n2", "--gpupool-slots=1", "--tx=2*popen")
        assert run.status == 0, run.output
        assert self.downs(host) == {"gw0": "None 1"}

    def test_of_one_over_its_time_as_of_one_that_crashed(self, cpu_host: Host) -> None:
        """Its timeout is reported, and every result is there."""
        cpu_host.write("conftest.py", self.CONFTEST)
        cpu_host.write(
            "test_suite.py",
            """
            import pytest, time
            @pytest.mark.gpupool(timeout=1)
            def test_one(): time.sleep(1000)
            def test_two(): pass
            """,
        )
        run = cpu_host.pytest("-n2")
        assert run.status == 1, run.output
        assert run.outcomes == {"test_one": "timeout", "test_two": "passed"}
        downs = sorted(self.downs(cpu_host).values())
        assert downs[-1] == "a test took longer than 1 s None"
        assert set(downs[:-1]) == {"None 1"}


def test_what_a_test_had_written_when_its_worker_died(cpu_host: Host) -> None:
    """Is in every report, as of a test that hung; and how the worker died, and with how much memory."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, signal, sys, time
        import pytest

        def test_dies():
            print("said by the test")
            print("said as an error", file=sys.stderr)
            os.system("echo said by a child")
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)

        @pytest.mark.gpupool(timeout=2)
        def test_hangs():
            print("said before it hung")
            time.sleep(1000)
        """,
    )
    run = cpu_host.pytest("-n2", "--gpupool-html=report.html")
    assert run.status == 1, run.output
    dies, hangs = run.tests["test_dies"], run.tests["test_hangs"]
    assert dies["output"] == {"stdout": "said by the test\nsaid by a child\n", "stderr": "said as an error\n"}
    assert hangs["output"] == {"stdout": "said before it hung\n"}
    assert re.search(
        r"SIGKILL\) while .*; it held \d+ MiB of memory, and the host had [\d.]+ GiB left", dies["message"]
    )
    assert re.search(
        r"crashed while running 'test_suite.py::test_dies': worker gw\d died \(signal 9, SIGKILL\)", run.output
    )
    junit = (run.directory / "junit.xml").read_text()
    html = (run.directory / "report.html").read_text()
    for text in ("said by the test", "said by a child", "said as an error", "said before it hung"):
        assert text in run.output
        assert text in junit
        assert text in html


def test_nothing_of_workers_that_ended_stays_open(cpu_host: Host) -> None:
    """However many have died: the files into which pytest captured in them are let go of."""
    cpu_host.write(
        "conftest.py",
        """
        import os
        import pytest

        def target(fd):
            try:
                return os.readlink(f"/proc/self/fd/{fd}")
            except FileNotFoundError:  # another thread closed it meanwhile
                return ""

        def nameless():
            return [fd for fd in os.listdir("/proc/self/fd") if target(fd).endswith("(deleted)")]

        def pytest_sessionstart(session):
            session.config.before = len(nameless())

        def pytest_terminal_summary(terminalreporter, config):
            terminalreporter.write_line(f"left open: {len(nameless()) - config.before}")
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest

        @pytest.mark.parametrize("case", range(6))
        def test_case(case):
            print("said by", case)
            if case < 4: os._exit(3)
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 1, run.output
    assert "left open: 0\n" in run.output
    assert [run.tests[f"test_case[{case}]"]["output"]["stdout"] for case in range(4)] == [
        f"said by {n}\n" for n in range(4)
    ]


def test_a_test_that_raises_keyboard_interrupt(cpu_host: Host) -> None:
    """Ends the run as it does with xdist, and is named."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest, time

        def test_interrupts(): raise KeyboardInterrupt

        @pytest.mark.parametrize("case", range(6))
        def test_other(case): time.sleep(0.3)
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 2, run.output
    assert run.outcomes["test_interrupts"] == "crashed"
    assert "ended the session of worker" in run.tests["test_interrupts"]["message"]
    assert "crashed while running 'test_suite.py::test_interrupts'" in run.output
    assert "received keyboard-interrupt" in run.output
    assert "cannot go on" not in run.output


@pytest.mark.parametrize("option", ["-x", "--maxfail=2"])
def test_the_first_failures_end_the_run_as_with_xdist(cpu_host: Host, option: str) -> None:
    """Whatever a worker was given when it was told to end, nobody else is named for it."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest, time

        @pytest.mark.parametrize("case", range(6))
        def test_one(case):
            time.sleep(0.1 + 0.05 * (case % 3))
            assert case not in (0, 2)
        """,
    )
    for _ in range(3):
        run = cpu_host.pytest("-n2", option)
        assert run.status == 2, run.output
        assert "xdist.dsession.Interrupted: stopping after" in run.output
        assert "ended the session" not in run.output
        failed = {name for name, outcome in run.outcomes.items() if outcome not in ("passed", "not-run")}
        assert failed <= {"test_one[0]", "test_one[2]"}

"""``gpupool logs``: what tests write, while they run and after."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest
from program import gpupool
from suites import prepare
from support import LIMIT, Host, wait_for

HEADING = re.compile(r"^=== gpupool: attempt (\d) on (\w+), [^ ]+: (.+) ===$", re.MULTILINE)

SUITE = """
    import os, sys
    import pytest

    @pytest.fixture
    def noisy():
        print("set up")
        yield
        print("torn down")

    def test_a(noisy):
        print("out of a")
        print("err of a", file=sys.stderr)
        os.system("echo by a child")

    def test_b(): print("out of b")
    def test_silent(): pass
"""


def headings(text: str) -> list[tuple[str, str, str]]:
    """Attempt, worker and test of each heading."""
    return HEADING.findall(text)


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_what_tests_have_written(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Of a run, of some tests, of a worker; in the order in which they ran."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest(*workers, "--gpupool-order=file")
    assert run.status == 0
    worker = run.report["workers"][0]["id"]
    status, out, err = gpupool(cpu_host, "logs")
    assert (status, err) == (0, "")
    assert headings(out) == [("1", worker, "test_suite.py::test_a"), ("1", worker, "test_suite.py::test_b")]
    lines = HEADING.sub("", out).split("\n")
    assert sorted(filter(None, lines)) == sorted(
        ["set up", "torn down", "out of a", "err of a", "by a child", "out of b"]
    )
    for args in (["test_b"], ["latest", "test_b"], [run.report["run"]["id"][:20], "suite.py::test_b"]):
        status, out, err = gpupool(cpu_host, "logs", *args)
        assert (status, err) == (0, "")
        assert HEADING.sub("", out) == "\nout of b\n"
    assert gpupool(cpu_host, "logs", "latest", worker)[1] == gpupool(cpu_host, "logs", "-f")[1]


def test_what_is_not_there(cpu_host: Host) -> None:
    """It is said, with what there is."""
    cpu_host.write("test_suite.py", "def test_one(): print('one')\ndef test_two(): pass\n")
    cpu_host.pytest()
    status, out, err = gpupool(cpu_host, "logs", "test_tow")
    assert (status, out) == (4, "")
    assert re.fullmatch(
        r"gpupool: no test of run \S+ that is called 'test_tow' has written anything; these have: test_one\n", err
    )
    assert gpupool(cpu_host, "logs", "20200101T")[2].startswith("gpupool: there is no run '20200101T' on record")
    cpu_host.write("test_suite.py", "def test_two(): pass\n")
    cpu_host.pytest()
    status, _, err = gpupool(cpu_host, "logs", "-f")
    assert status == 4
    assert "has written anything, or none was captured (-s)" in err


FOLLOWED = """
    import pytest
    from patience import lines, say, until

    @pytest.mark.parametrize("name", ["a", "b"])
    def test(name):
        print(f"{name} begins")
        say("up", name)
        until(lambda: lines("go"), "nobody lets us go on")
        print(f"{name} ends")
"""


THREAD = """
    import pytest, threading, time
    @pytest.fixture(scope="session", autouse=True)
    def thread(): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""


@pytest.mark.parametrize(
    ("options", "module"),
    [(["-n0"], ""), (["-n2"], ""), (["-n0", "--gpupool-isolate"], ""), (["-n2", "--gpupool-isolate"], THREAD)],
    ids=["plain", "n2", "isolated", "fresh-n2"],
)
def test_tests_are_followed_while_they_run(cpu_host: Host, options: list[str], module: str) -> None:
    """Their words come before they end, each once, and the program ends with the run."""
    prepare(cpu_host)
    cpu_host.write("conftest.py", module)
    cpu_host.write("test_suite.py", FOLLOWED)
    run = cpu_host.start(*options)
    wait_for(cpu_host.project / "up")
    log = cpu_host.directory / "followed.log"
    with log.open("wb") as file:
        program = subprocess.Popen(
            [sys.executable, "-m", "pytest_gpupool", "logs", "-f"],
            cwd=cpu_host.project,
            env=cpu_host.environ(),
            stdout=file,
        )
    deadline = time.monotonic() + LIMIT
    while "begins\n" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    assert "ends" not in log.read_text()
    (cpu_host.project / "go").write_text("go\n")
    ended = run.finish()
    assert ended.status == 0
    assert program.wait(timeout=LIMIT) == 0
    out = log.read_text()
    for name in "ab":
        assert out.index(f"{name} begins\n") < out.index(f"{name} ends\n")
        assert out.count(f"{name} begins\n") == out.count(f"{name} ends\n") == 1
    assert {test for _, _, test in headings(out)} == {"test_suite.py::test[a]", "test_suite.py::test[b]"}
    assert ("could not be forked" in ended.output) is bool(module)


def test_last_words_are_in_the_log(cpu_host: Host) -> None:
    """Of a test whose process dies, or is ended at its limit, in the moment after."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, time
        import pytest

        @pytest.mark.gpupool(timeout=3)
        @pytest.mark.parametrize("how", ["kill", "exit", "hang"])
        def test(how):
            print("one")
            print("the last word", flush=True)
            if how == "kill":
                os.kill(os.getpid(), 9)
            elif how == "exit":
                os._exit(3)
            time.sleep(600)
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.outcomes == {"test[kill]": "crashed", "test[exit]": "crashed", "test[hang]": "timeout"}, run.output
    for test in run.outcomes:
        assert HEADING.sub("", gpupool(cpu_host, "logs", test)[1]) == "\none\nthe last word\n"


def test_ctrl_c_ends_the_following(cpu_host: Host) -> None:
    """Without a traceback."""
    prepare(cpu_host)
    cpu_host.write("test_suite.py", FOLLOWED)
    run = cpu_host.start("-n1")
    log = cpu_host.directory / "followed.log"
    wait_for(cpu_host.project / "up")
    with log.open("wb") as file:
        program = subprocess.Popen(
            [sys.executable, "-m", "pytest_gpupool", "logs", "--follow", "test"],
            cwd=cpu_host.project,
            env=cpu_host.environ(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + LIMIT
    while "begins\n" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=LIMIT) == 0
    assert "Traceback" not in log.read_text()
    (cpu_host.project / "go").write_text("go\n")
    assert run.finish().status == 0


def test_a_bad_disk_costs_the_logs_alone(cpu_host: Host) -> None:
    """The tests run, and their output is in the reports."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, pathlib

        def test_breaks():
            # Where its log would be.
            for run in pathlib.Path(".gpupool/runs").iterdir():
                (run / "logs").touch()

        def test_says():
            print("said")
            assert 0
        """,
    )
    run = cpu_host.pytest("-pno:randomly")
    assert run.outcomes == {"test_breaks": "passed", "test_says": "failed"}
    assert "said" in run.stdout
    assert "INTERNALERROR" not in run.output

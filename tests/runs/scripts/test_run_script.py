"""Whole scripts in tests: run as they are, followed while they run, measured, and ended."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from support import LIMIT, Host, Run, Watched, processes_of, wait_for

T = TypeVar("T")

with_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])

EVALUATION = """
    import argparse, json, os, sys
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=json.loads)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    print("devices", os.environ["GPUPOOL_DEVICES"])
    print("a word on stderr", file=sys.stderr)
    print(json.dumps({"accuracy": args.params["lr"] * 100, "verbose": int(args.verbose)}))
"""


def logs(run: Run, name: str = "*") -> dict[str, str]:
    """The logs of tests by the end of their names, before the digest."""
    found = sorted((run.directory / ".gpupool" / "runs").glob(f"*/logs/*/{name}.log"))
    return {re.sub(r"-[0-9a-f]{10}$", "", path.stem): path.read_text() for path in found}


@with_workers
def test_a_script_runs_as_it_is(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """With its parameters, on the worker's devices; its output and metrics are the test's."""
    cpu_host.write("evaluation_script.py", EVALUATION)
    cpu_host.write(
        "test_suite.py",
        """
        def test_script(run_script, gpu, capfd):
            about = {"accuracy": {"higher_is_better": True, "kind": "proportion"}}
            done = run_script("evaluation_script.py", {"lr": 0.001}, args=["--verbose"], metrics=about)
            assert (done.returncode, done.stderr) == (0, "a word on stderr\\n")
            assert done.stdout.splitlines()[0] == f"devices {gpu.ids[0]}"
            assert done.metrics == {"accuracy": 0.1, "verbose": 1}
            assert done.duration > 0
            assert tuple(capfd.readouterr()) == (done.stdout, done.stderr)
        """,
    )
    run = cpu_host.pytest(*workers)
    assert run.status == 0, run.output
    assert run.metrics("test_script") == {"accuracy": 0.1, "verbose": 1}
    (metric, _) = run.tests["test_script"]["metrics"]
    assert metric["higher_is_better"] is True
    (log,) = logs(run).values()
    assert re.match(r"=== gpupool: attempt 1 on \w+, [^ ]+: test_suite\.py::test_script ===\n", log)
    assert {"a word on stderr", '{"accuracy": 0.1, "verbose": 1}'} < set(log.splitlines())
    assert not list(run.directory.glob(".gpupool/runs/*/logs/*/.metrics*"))


def test_it_works_where_the_pool_is_off(cpu_host: Host, leaves_nothing: None) -> None:
    """On whatever there is, and without a log."""
    cpu_host.write("a.py", "from pytest_gpupool import script\nscript.record('m', 1)\nprint('said')\n")
    cpu_host.write("test_suite.py", "def test(run_script): assert run_script('a.py').metrics == {'m': 1}\n")
    for off in ("-ogpupool=off", "-pno:gpupool"):
        run = Watched(cpu_host, off, "-s").finish()
        assert run.status == 0, run.output
        assert "said" in run.output
    assert not (cpu_host.project / ".gpupool").exists()


KINDS = {
    "a.sh": "echo '{\"shell\": 1}'",
    "program": '#!/bin/sh\necho "$@"; echo \'{"name": "program", "value": 2}\' > $GPUPOOL_METRICS',
    "sub/b.py": "import sys; print(sys.argv[1:])",
}


def test_every_kind_of_script(cpu_host: Host) -> None:
    """Shells, programs, and scripts in the folder of the test's file or the working directory."""
    for name, text in KINDS.items():
        cpu_host.write(name, text)
    (cpu_host.project / "program").chmod(0o755)
    cpu_host.write(
        "sub/test_suite.py",
        """
        from pathlib import Path

        def test_shell(run_script): assert run_script("a.sh").metrics == {"shell": 1}

        def test_program(run_script):
            done = run_script(Path("program"), {"lr": 1, "flag": True}, style="flags", env={"X": "y"})
            assert (done.metrics, done.stdout) == ({"program": 2}, "--lr 1 --flag\\n")

        def test_beside(run_script):
            assert run_script("b.py", {"lr": 1}, style="hydra").stdout == "['lr=1']\\n"
        """,
    )
    run = cpu_host.pytest()
    assert run.outcomes == dict.fromkeys(["test_shell", "test_program", "test_beside"], "passed"), run.output


BAD = {
    "status.py": "import sys; print('{\"loss\": 2}'); sys.exit('what\\nwent wrong')",
    "killed.py": "import os; os.kill(os.getpid(), 9)",
    "half.py": "import os; open(os.environ['GPUPOOL_METRICS'], 'w').write('{\"loss\": 2}\\n{\"accura')",
    "typed.py": "import os; open(os.environ['GPUPOOL_METRICS'], 'w').write('{\"loss\": 2, \"best\": [1]}')",
    "silent.py": "",
    "nan.py": "print('{\"loss\": NaN}')",
    "slow.py": "import time; time.sleep(600)",
    "program": "",
}

ERRORS = {
    "status": ["status.py: ended with exit status 1 after ", "    what", "    went wrong", "  log: .gpupool/runs/"],
    "killed": ["killed.py: ended with signal 9 (SIGKILL) after "],
    "half": ["half.py: line 2 of its metrics is no JSON: '{\"accura'"],
    "typed": ["typed.py: the file: metric 'best': a list is not a number"],
    "silent": ["silent.py: it gave no metric 'loss', which metrics= names; those that it gave: none"],
    "slow": ["slow.py: took longer than 0.5 s and was ended with all that it had started"],
    "missing": ["there is no script missing.py in "],
    "executable": ["program is not executable, nor a .py, .sh or .ipynb file: chmod +x "],
    "params": ["parameter x is {1}, of type set, which JSON has not: "],
    "again": ["metric 'loss' was recorded before in this test"],
}


@with_workers
def test_bad_scripts_say_what_is_wrong(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """And lose nothing of what they have measured and written."""
    for name, text in BAD.items():
        cpu_host.write(name, text)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest
        from pytest_gpupool.script import ScriptError

        about = {"loss": {"higher_is_better": False}}

        @pytest.mark.parametrize("name", ["status", "killed", "half", "typed", "silent", "nan", "missing"])
        def test(run_script, name): run_script(f"{name}.py", metrics=about)

        def test_slow(run_script): run_script("slow.py", timeout=0.5)
        def test_executable(run_script): run_script("program")
        def test_params(run_script): run_script("status.py", {"x": {1}})

        def test_again(run_script, record_metric):
            record_metric("loss", 1)
            run_script("nan.py")

        def test_expected(run_script):
            with pytest.raises(ScriptError, match="exit status 1"):
                run_script("status.py")
        """,
    )
    run = cpu_host.pytest(*workers)
    told = {re.sub(r"^test\[(\w+)\]$|^test_(\w+)$", r"\1\2", name): test for name, test in run.tests.items()}
    assert {name: test["outcome"] for name, test in told.items()} == {
        **dict.fromkeys([*ERRORS, "nan"], "failed"),
        "expected": "passed",
    }
    for name, lines in ERRORS.items():
        assert [line for line in lines if line not in told[name]["message"]] == []
        assert lines[0] in run.stdout
    assert "running.py" not in run.stdout  # no traceback of ours
    with_loss = {name for name, test in told.items() if test["metrics"]}
    assert with_loss == {"status", "half", "typed", "nan", "again", "expected"}
    assert [metric["verdict"] for metric in told["nan"]["metrics"]] == ["invalid"]


def test_half_a_line_of_output_is_a_warning(cpu_host: Host) -> None:
    """Where no metric was expected."""
    cpu_host.write("a.py", "print('{\"accuracy\": 0.')")
    cpu_host.write("test_suite.py", "def test(run_script): run_script('a.py')\n")
    run = cpu_host.pytest()
    assert run.outcomes == {"test": "passed"}
    assert "a.py: The last line of its output begins like JSON, but is none: '{\"accuracy\": 0.'" in run.stdout


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_much_output_is_kept_short(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Its beginning and its end are the test's, all of it is in the log, and no process takes it into memory."""
    cpu_host.write("a.py", "import os\nfor n in range(32 * 16): os.write(1, b'%06d\\n' % n + b'x' * 65500 + b'\\n')\n")
    cpu_host.write(
        "test_suite.py",
        """
        import resource

        def test(run_script):
            run_script("a.py")  # so that what it needs once is loaded
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            done = run_script("a.py")
            assert len(done.stdout) == 4 * 2**20
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 2**10
            assert 0
        """,
    )
    run = cpu_host.pytest(*workers)
    assert "assert 0" in run.tests["test"]["message"], run.tests["test"]["message"]
    assert len(run.stdout) < 6 * 2**20
    assert "bytes of stdout left out here ..." in run.stdout
    (log,) = logs(run).values()
    assert log.count("\n000511\n") == 2


def test_gigabytes_of_output(cpu_host: Host, pytestconfig: pytest.Config) -> None:
    """The log has 64 MiB and the end, the test's memory the last of it."""
    if not pytestconfig.getoption("long"):
        pytest.skip("writes 3 GiB: --long")
    cpu_host.write(
        "a.py", "import os\nfor n in range(3 * 2**14): os.write(1, b'%09d\\n' % n + b'x' * 65525 + b'\\n')\n"
    )
    cpu_host.write(
        "test_suite.py",
        """
        import resource

        def test(run_script, record_metric):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert "000049151" in run_script("a.py").stdout
            record_metric("growth", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.outcomes == {"test": "passed"}, run.output[-2000:]
    assert run.metrics("test")["growth"] < 64 * 2**10
    (log,) = (run.directory / ".gpupool" / "runs").glob("*/logs/*/*.log")
    assert 2**26 < log.stat().st_size < 2**26 + 2**18
    assert "000049151" in log.read_text()


HANGS = """
    import os, subprocess, sys, time
    program = "import sys, time; print('up', flush=True); time.sleep(600)"
    parent = (
        "import subprocess, sys;"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, env={}, "
        "start_new_session=True); child.stdout.readline(); print(child.pid, flush=True)"
    )
    # Without a parent, in a session of its own, and without any of our variables.
    print(subprocess.check_output([sys.executable, "-c", parent, program], text=True), flush=True)
    print("hangs", flush=True)
    time.sleep(600)
"""


def started(log: str) -> int:
    """The pid that HANGS has written."""
    found = re.search(r"^(\d+)$", log, re.MULTILINE)
    assert found is not None, log
    return int(found[1])


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@with_workers
def test_a_limit_ends_all_that_a_script_has_started(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Its own limit, and that of its test, whatever has left its group, its parent and its environment."""
    cpu_host.write("hangs.py", HANGS)
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        def test_own(run_script): run_script("hangs.py", timeout=8)

        @pytest.mark.gpupool(timeout=8)
        def test_marked(run_script): run_script("hangs.py")
        """,
    )
    run = cpu_host.pytest(*workers)
    assert run.outcomes == {"test_own": "failed", "test_marked": "timeout"}, run.output
    found = logs(run)
    assert len(found) == 2
    assert all(is_gone(started(log)) for log in found.values())
    assert not processes_of(cpu_host.lock_dir)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_script_outlives_a_run(cpu_host: Host, number: int) -> None:
    """However that is ended; its log can be followed until then, and is kept."""
    cpu_host.write("hangs.py", HANGS)
    cpu_host.write("test_suite.py", "def test(run_script): run_script('hangs.py')\n")
    run = cpu_host.start("-n1")
    path = _the_log(cpu_host)
    wait_for(path, lines=4)
    os.kill(run.process.pid, number)
    run.finish()
    until(lambda: not processes_of(cpu_host.lock_dir) and is_gone(started(path.read_text())))
    assert "\nhangs\n" in path.read_text()


def until(look: Callable[[], T]) -> T:
    """Wait until something is there, and return it."""
    deadline = time.monotonic() + LIMIT
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    return found


def _the_log(host: Host) -> Path:
    """Wait for the one log of the one run."""
    return until(lambda: list((host.project / ".gpupool").glob("runs/*/logs/*/*.log")))[0]


def test_each_attempt_is_in_the_log(cpu_host: Host) -> None:
    """Of tests that are run again, one after the other."""
    cpu_host.write("a.py", "import sys; print('tried'); sys.exit(1)")
    cpu_host.write("test_suite.py", "def test(run_script): run_script('a.py')\n")
    run = cpu_host.pytest("-n1", "--reruns=1", companions=["rerunfailures"])
    (log,) = logs(run).values()
    assert re.findall(r"attempt \d|tried", log) == ["attempt 1", "tried", "attempt 2", "tried"]


def test_a_script_that_runs_out_of_memory_is_tried_again(host: Host) -> None:
    """Its last words say so, as an exception's would."""
    cpu_error = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    host.write("a.py", f"raise SystemExit({cpu_error!r})")
    host.write("test_suite.py", "def test(run_script): run_script('a.py')\n")
    run = host.pytest("-n1", "--gpupool-sample=0")
    assert run.tests["test"]["cause"] == "out-of-memory"
    assert len(run.tests["test"]["attempts"]) == 2


def test_a_notebook_runs_with_its_parameters(cpu_host: Host) -> None:
    """After its own cell of parameters; what it prints and shows is heard, and a cell that fails is named."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [("parameters", "lr = 1"), ("", "print('lr is', lr)\nlr * 2"), ("", "print('{\"lr\": %g}' % lr)")]
    fails = ("", "raise ValueError('no such thing')")
    for name, sources in (("good", cells), ("bad", [*cells, fails])):
        notebook = {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell{number}",
                    "execution_count": None,
                    "metadata": {"tags": [tag] if tag else []},
                    "outputs": [],
                    "source": source,
                }
                for number, (tag, source) in enumerate(sources)
            ],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        cpu_host.write(f"{name}.ipynb", json.dumps(notebook))
    cpu_host.write("damaged.ipynb", "{")
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.parametrize("name", ["good", "bad", "damaged"])
        def test(run_script, name):
            done = run_script(f"{name}.ipynb", {"lr": 0.5})
            assert done.metrics == {"lr": 0.5}
            assert done.stdout.splitlines()[:2] == ["lr is 0.5", "1.0"]
        """,
    )
    run = cpu_host.pytest()
    assert run.outcomes == {"test[good]": "passed", "test[bad]": "failed", "test[damaged]": "failed"}, run.output
    assert "ValueError: no such thing" in run.tests["test[bad]"]["message"]
    assert "damaged.ipynb: it is no notebook" in run.tests["test[damaged]"]["message"]

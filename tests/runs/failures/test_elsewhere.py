"""Elsewhere than on Linux: the plugin is off, and says so, but breaks nothing. The other systems are played."""

from __future__ import annotations

import getpass
import subprocess
import sys
from pathlib import Path

import pytest
from support import Host

# What Python lacks there. Whoever asks for the system's name, or for one of these, learns what it would there.
EVERYWHERE = {
    "os": ["memfd_create", "pidfd_open", "sched_getaffinity", "sched_setaffinity"],
    "signal": ["SIGRTMIN", "SIGRTMAX", "pidfd_send_signal"],
}
ON = {
    "darwin": {"fcntl": ["F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW"], "os": ["fdatasync"]},
    "win32": {
        "os": [
            *("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY"),
            *("fchmod", "fdatasync", "getpgrp", "getuid", "pread", "pwrite", "register_at_fork", "setpgid", "sysconf"),
        ],
        "signal": ["SIGCONT", "SIGHUP", "SIGKILL", "SIGSTOP", "pthread_kill"],
        "faulthandler": ["register"],
    },
}
SYSTEM = """
import contextlib, importlib, subprocess, sys, types

if {name!r} == "win32":
    # What the standard library itself takes from elsewhere there.
    import io, random, tempfile
    import os
    os.O_BINARY = 0
    io._WindowsConsoleIO = type("_WindowsConsoleIO", (), {{}})
    sys.modules["msvcrt"] = types.SimpleNamespace(setmode=lambda *_: None)
    sys.modules["fcntl"] = sys.modules["termios"] = sys.modules["pty"] = sys.modules["resource"] = None
for missing in ({everywhere!r}, {here!r}):
    for module, names in missing.items():
        for name in names:
            with contextlib.suppress(AttributeError):
                delattr(importlib.import_module(module), name)
sys.platform = {name!r}
"""
SUITE = """
import os, sys
import pytest

@pytest.mark.gpupool(gpus=1)
@pytest.mark.parametrize("case", range(4))
def test_measures(case, gpu, record_metric):
    assert not sys.platform.startswith("linux")
    record_metric("accuracy", 0.5, higher_is_better=True)
    assert gpu.device == "cpu"
    assert "GPUPOOL_RUN" not in os.environ
"""
SENTENCE = "gpupool: off, because devices are leased on Linux only and this is {}; its fixtures work"


@pytest.fixture(params=["darwin", "win32"])
def system(request: pytest.FixtureRequest, cpu_host: Host) -> str:
    """Another system, on which this test's runs think that they are."""
    name: str = request.param
    cpu_host.write("system/sitecustomize.py", SYSTEM.format(name=name, everywhere=EVERYWHERE, here=ON[name]))
    return name


def environ(host: Host) -> dict[str, str]:
    return host.environ(PYTHONPATH=str(host.project / "system"), USERNAME=getpass.getuser())


def said(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("gpupool")]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_suite_passes(cpu_host: Host, system: str, workers: tuple[str, ...]) -> None:
    """Its fixtures work, one sentence says that the pool is off, and options are told to have no effect."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest(*workers, environ=environ(cpu_host))
    assert run.status == 0, run.output
    assert "4 passed" in run.stdout
    in_vain = "gpupool: off here (not on Linux), --gpupool-json has no effect"
    assert said(run.stdout) == [SENTENCE.format(system), in_vain]
    assert run.junit["test_measures[0]"] == {"gpupool.metric.accuracy": "0.5"}
    left = {path.name for path in cpu_host.project.iterdir()} - {"__pycache__"}
    assert left == {"pytest.ini", "system", "test_suite.py", "junit.xml"}


@pytest.mark.parametrize(
    ("ini", "lines"),
    [
        ("gpupool = off", []),
        ("gpupool_paths = evals", ["gpupool: off here (by gpupool_paths: unit lies in none of evals)"]),
    ],
)
def test_where_it_is_off_anyway_the_system_is_not_told(cpu_host: Host, system: str, ini: str, lines: list[str]) -> None:
    """By the ini file, or since the run is about another folder."""
    cpu_host.write("pytest.ini", f"[pytest]\n{ini}\n")
    cpu_host.write("unit/test_suite.py", "def test_unit(record_metric): record_metric('a', 1)\n")
    command = [argument for argument in cpu_host.command("unit") if "gpupool-json" not in argument]
    done = subprocess.run(
        command, cwd=cpu_host.project, env=environ(cpu_host), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (system, done.stdout, done.stderr)
    assert said(done.stdout) == lines


def test_a_wrong_option_is_an_error_there_too(cpu_host: Host, system: str) -> None:
    """It will be typed on Linux as well."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest("--gpupool-slots=none", environ=environ(cpu_host))
    assert run.status == 4, (system, run.output)
    assert "--gpupool-slots" in run.stderr


def test_the_runs_of_a_linux_host_can_be_read(cpu_host: Host, system: str) -> None:
    """Their reports are made, compared and accepted."""
    cpu_host.write(
        "test_suite.py",
        SUITE.replace("assert not sys.platform", "assert sys.platform").replace(
            'assert "GPUPOOL_RUN" not in os.environ', "pass"
        ),
    )
    assert cpu_host.pytest().status == 0

    def program(*args: str) -> str:
        command = [sys.executable, "-m", "pytest_gpupool", *args]
        done = subprocess.run(
            command, cwd=cpu_host.project, env=environ(cpu_host), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (system, args, done.stdout, done.stderr)
        return done.stdout

    assert "4 passed" in program(
        "report", "latest", "--json=a.json", "--html=a.html", "--markdown=a.md", "--junit=a.xml"
    )
    assert Path(cpu_host.project / "a.html").stat().st_size
    assert "4 passed" in program("runs")
    assert "accuracy" in program("compare", "report.json", "a.json")
    assert program("history", "test_suite.py::test_measures[0]", "accuracy")
    assert program("matrix", "a.json", "--metric=accuracy", "--rows=case")
    assert program("schema")
    program("baseline", "update", "baseline.json")
    assert "accuracy" in program("baseline", "show", "baseline.json")

"""A stand-in GPU host on which real pytest processes run, and what they leave."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bytecode
import jsonschema
from standin import STATE_VARIABLE, TORCH_LOG_VARIABLE, TORCH_PATH, Driver, Gpu, Mig

from pytest_gpupool.reports.json import schema_text

SCHEMA = jsonschema.Draft202012Validator(json.loads(schema_text()))

LIMIT = 300.0
"""Seconds after which a run hangs for sure; never reached by one that works."""

_FOREIGN_PREFIXES = ("PYTEST_", "GPUPOOL_", "CUDA_", "COV_", "OMP_", "MKL_", "PY_COLORS", "NO_COLOR", "FORCE_COLOR")
# Installed beside pytest-gpupool for tests that ask for them; elsewhere they only add time and chance.
COMPANIONS = ("randomly", "repeat", "rerunfailures", "timeout", "pytest_cov", "hypothesispytest")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one pytest run left."""

    status: int
    stdout: str
    stderr: str
    directory: Path

    @property
    def output(self) -> str:
        """Both streams."""
        return self.stdout + self.stderr

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report, checked against the schema that ships."""
        data: dict[str, Any] = json.loads((self.directory / "report.json").read_text(), parse_constant=_refuse)
        SCHEMA.validate(data)
        return data

    @property
    def tests(self) -> dict[str, dict[str, Any]]:
        """The report's tests by the part of their id after the file."""
        return {test["nodeid"].split("::", 1)[1]: test for test in self.report["tests"]}

    @property
    def outcomes(self) -> dict[str, str]:
        """The report's outcomes by the part of the id after the file."""
        return {name: test["outcome"] for name, test in self.tests.items()}

    @property
    def junit(self) -> dict[str, dict[str, str]]:
        """The JUnit file's properties by test name."""
        return {
            str(case.get("name")): {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}
            for case in self._junit_cases()
        }

    @property
    def junit_outcomes(self) -> dict[str, str]:
        """What the JUnit file says of each test: ``failure``, ``error``, ``skipped``, or ``passed``."""
        bad = ("failure", "error", "skipped")
        return {
            str(case.get("name")): next((child.tag for child in case if child.tag in bad), "passed")
            for case in self._junit_cases()
        }

    def _junit_cases(self) -> Iterator[ElementTree.Element]:
        return ElementTree.parse(self.directory / "junit.xml").getroot().iter("testcase")

    @property
    def exits(self) -> dict[str, str]:
        """How each worker ended."""
        return {worker["id"]: worker["exit"] for worker in self.report["workers"]}

    def metrics(self, test: str) -> dict[str, Any]:
        """The values of a test's metrics by name."""
        return {metric["name"]: metric["value"] for metric in self.tests[test]["metrics"]}


class Host:
    """A host with stand-in GPUs, a lock directory, and a project directory in which pytest runs."""

    def __init__(self, directory: Path, driver: Driver | None) -> None:
        self.directory = directory
        self.driver = driver
        self.lock_dir = directory / "locks"
        self.project = directory / "project"
        self.project.mkdir()
        self.write("pytest.ini", "[pytest]\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def environ(self, **changes: str | None) -> dict[str, str]:
        """The environment of a user of this host; None removes a variable."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_PREFIXES)}
        environ.pop(STATE_VARIABLE, None)
        environ |= {"GPUPOOL_LOCK_DIR": str(self.lock_dir), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
        if self.driver is not None:
            environ = self.driver.environ(environ)
        for name, value in changes.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value
        return environ

    def torch_environ(self, **changes: str | None) -> dict[str, str]:
        """As :meth:`environ`, with the recording stand-in torch."""
        torch = {"PYTHONPATH": str(TORCH_PATH), TORCH_LOG_VARIABLE: str(self.torch_log)}
        return self.environ(**{**torch, **changes})

    @property
    def torch_log(self) -> Path:
        """Where the stand-in torch records its imports."""
        return self.directory / "torch.jsonl"

    def torch_imports(self) -> list[dict[str, Any]]:
        """Each first import of torch, with the environment as it was then."""
        return [line for line in self._torch_lines() if "importer" in line]

    def torch_calls(self) -> list[dict[str, Any]]:
        """What was called of the stand-in torch that it records, in order."""
        return [line for line in self._torch_lines() if "call" in line]

    def _torch_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.torch_log.read_text().splitlines()]

    def command(self, *args: str, companions: Sequence[str] = ()) -> list[str]:
        """The command line of a pytest run that writes all reports."""
        bytecode.compile_for_pytest()
        off = [f"-pno:{name}" for name in COMPANIONS if name not in companions]
        reports = ["--gpupool-json=report.json", "--junitxml=junit.xml"]
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *off, *reports, *args]

    def pytest(self, *args: str, companions: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Run:
        """Run pytest in the project and wait for its end."""
        return self.start(*args, companions=companions, environ=environ).finish()

    def start(
        self,
        *args: str,
        companions: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        folder: str = ".",
    ) -> Running:
        """Start pytest in the project, or in a folder of it."""
        return Running(self, self.command(*args, companions=companions), environ or self.environ(), folder=folder)

    def processes(self) -> dict[int, str]:
        """The command lines of the living processes that were started here, by pid; see :func:`processes_of`."""
        return processes_of(self.lock_dir)

    def wait_until_gone(self) -> None:
        """Wait until no process of a run here is left, nor a GPU held; fails where one stays."""
        deadline = time.monotonic() + LIMIT
        while left := self.processes() or self.held():
            assert time.monotonic() < deadline, left
            time.sleep(0.02)

    def held(self) -> set[int]:
        """The indices of the GPUs that somebody holds at this moment."""
        assert self.driver is not None
        locked = locked_files(self.lock_dir)
        return {number for number, uuid in enumerate(self.driver.uuids) if f"{uuid}.lock" in locked}


class Running:
    """A pytest run that goes on."""

    def __init__(self, host: Host, command: list[str], environ: Mapping[str, str], *, folder: str = ".") -> None:
        self.host = host
        self._directory = host.project / folder
        self.process = subprocess.Popen(
            command,
            cwd=self._directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> Run:
        """Wait for its end."""
        try:
            stdout, stderr = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            stdout, stderr = self.process.communicate()
            raise AssertionError(f"the run hangs:\n{stdout}\n{stderr}") from None
        return Run(status=self.process.returncode, stdout=stdout, stderr=stderr, directory=self._directory)

    def kill(self) -> None:
        """End it and everything that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


class Watched(Running):
    """A pytest run whose output can be read while it goes on, as in a CI log: a file, not a terminal."""

    def __init__(
        self,
        host: Host,
        *args: str,
        companions: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.host = host
        self._directory = host.project
        self._log = host.directory / f"watched{len(list(host.directory.glob('watched*')))}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                host.command(*args, companions=companions),
                cwd=host.project,
                env=dict(environ or host.environ()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def until(self, *texts: str) -> str:
        """Wait until its output has each of the texts, and return it. Fails where the run ends or hangs before."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            said = self._log.read_text()
            if all(text in said for text in texts):
                return said
            if ended:
                break
            time.sleep(0.01)
        missing = [text for text in texts if text not in said]
        raise AssertionError(f"the run did not say {missing}:\n{said}")

    def finish(self) -> Run:
        """Wait for its end; both streams are in ``stdout``, in the order in which they were written."""
        run = super().finish()
        return Run(status=run.status, stdout=self._log.read_text(), stderr="", directory=run.directory)


def gpus(count: int, **fields: Any) -> list[Gpu]:
    """Stand-in GPUs with ids of the right shape; other processes that test have others, as this host excludes by id."""
    return [Gpu(f"GPU-{number:08x}-0000-4000-8000-{os.getpid():08x}{number:04x}", **fields) for number in range(count)]


def instances(count: int, **fields: Any) -> tuple[Mig, ...]:
    """Stand-in MIG instances of one GPU, with ids as those of :func:`gpus`."""
    ids = [f"MIG-{number:08x}-0000-5000-8000-{os.getpid():012x}" for number in range(count)]
    return tuple(Mig(id_, gi=number + 1, **fields) for number, id_ in enumerate(ids))


def wait_for(path: Path, lines: int = 1) -> list[str]:
    """Wait until a file has that many lines, and return them. Fails where it never does."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        text = path.read_text() if path.exists() else ""
        if text.count("\n") >= lines:
            return text.splitlines()
        time.sleep(0.01)
    raise AssertionError(f"{path} has no {lines} lines: {path.read_text() if path.exists() else 'it is not there'}")


def processes_of(lock_dir: Path) -> dict[int, str]:
    """The command lines of the living processes that have this lock directory in their environment, by pid.

    What a test starts on a host inherits that, whatever group, session or parent it has later.
    """
    mark = f"GPUPOOL_LOCK_DIR={lock_dir}".encode()
    found = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            # Gone meanwhile, or another user's; a zombie's environment is empty.
            with contextlib.suppress(OSError):
                if mark in (directory / "environ").read_bytes().split(b"\0"):
                    command = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(directory.name)] = command.decode(errors="replace").strip()
    return found


def lock_dirs_of(pids: Collection[int]) -> set[Path]:
    """The lock directories that processes have in their environment."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
            found |= {Path(line.partition("=")[2]) for line in lines if line.startswith("GPUPOOL_LOCK_DIR=")}
    return found


def kill_all_of(lock_dir: Path) -> None:
    """Kill all processes that have this lock directory in their environment, and those that they start meanwhile."""
    while left := processes_of(lock_dir).keys() - {os.getpid()}:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def locked_files(lock_dir: Path) -> set[str]:
    """The names of the lock files that somebody holds at this moment."""
    held = set()
    for path in lock_dir.glob("*.lock"):
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.add(path.name)
    return held


def anchors_of_these_tests() -> dict[str, str]:
    """The anchors by which stand-in devices of this process's tests are held at this moment, each with its inode."""
    mine = f"{os.getpid():08x}"
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return {line[7]: line[6] for line in lines if len(line) > 7 and line[7].startswith("@gpupool/") and mine in line[7]}


def processes_with(inodes: Collection[str]) -> dict[int, str]:
    """The command lines of the processes that have one of these sockets open, by pid."""
    targets = {f"socket:[{inode}]" for inode in inodes}
    found = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in targets:
                process = link.parents[1]
                found[int(process.name)] = (
                    (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found


def records(directory: Path) -> Iterator[dict[str, Any]]:
    """The records of every run of a project."""
    for path in sorted(directory.glob(".gpupool/runs/*/*.jsonl")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


def _refuse(constant: str) -> None:
    raise AssertionError(f"the report is not strict JSON: {constant}")

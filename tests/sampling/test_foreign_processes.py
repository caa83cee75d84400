"""Which process on a device is foreign: real processes, of this one, left by it, and of others."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from support import LIMIT

from pytest_gpupool.processes import marks, table
from pytest_gpupool.sampling.foreign_processes import ForeignProcesses
from pytest_gpupool.values.process_id import ProcessId

WAIT = "import os; print(os.getpid(), flush=True); input()"
# Starts a process that outlives it, whose parent is then nobody of ours.
LEFT = f"import os, sys, time\nwhile os.getppid() == int(sys.argv[1]): time.sleep(0.01)\n{WAIT}"
LEAVE = f"""
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", {LEFT!r}, str(os.getpid())])
"""


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Starts processes with ``python -c``, and ends them after the test; gives the pid that each says."""
    with ExitStack() as stack:

        def started(code: str = WAIT, **options: Any) -> int:
            pipe = subprocess.PIPE
            process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, **options)
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            stack.callback(process.communicate)
            stack.callback(process.kill)
            stack.callback(_kill, pid)
            return pid

        yield started


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, 9)


def parent() -> ProcessId:
    known = table.identity(os.getppid())
    assert known is not None
    return known


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """This process is a worker that holds a device; what it starts inherits that."""
    monkeypatch.setenv("GPUPOOL_RUN", "20261121-1")
    monkeypatch.setenv("GPUPOOL_DEVICES", "GPU-1")
    return os.environ


@pytest.mark.usefixtures("environ")
class TestOurs:
    """This process, and all that it started."""

    def test_this_process_and_its_children(self, start: Callable[..., int]) -> None:
        """Also in a session of its own, as a launcher of ranks makes it."""
        pids = {os.getpid(), start(), start(start_new_session=True)}
        assert set(ForeignProcesses().sort(pids).values()) == {"mine"}

    def test_a_program_whose_parent_has_ended(self, start: Callable[..., int]) -> None:
        """By the environment that it was given."""
        assert list(ForeignProcesses().sort({start(LEAVE, start_new_session=True)}).values()) == ["mine"]

    def test_one_of_which_nothing_but_its_limits_tells(self, start: Callable[..., int]) -> None:
        """It was given an empty environment, and its parent has ended."""
        pid = start(LEAVE, env={}, start_new_session=True)
        assert ForeignProcesses().sort([pid]) == {pid: "foreign"}
        take_off = marks.bear({"GPUPOOL_RUN": "20261121-1"})
        try:
            pid = start(LEAVE, env={}, start_new_session=True)
            assert ForeignProcesses().sort([pid]) == {pid: "mine"}
        finally:
            take_off()

    def test_one_that_was_ours_stays_so(self, start: Callable[..., int], environ: Mapping[str, str]) -> None:
        """While it is named at each look, though nothing says any more whose it is."""
        code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {WAIT!r}])
sys.stdin.readline()
"""
        command = [sys.executable, "-c", code]
        pipe = subprocess.PIPE
        parent = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env={"PATH": environ["PATH"]}, start_new_session=True
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        foreign = ForeignProcesses()
        try:
            assert foreign.sort({child}) == {child: "mine"}
            parent.kill()
            parent.wait()
            assert foreign.sort({child}) == {child: "mine"}
            assert foreign.sort(set()) == {}
            assert foreign.sort({child}) == {child: "foreign"}
        finally:
            parent.kill()
            _kill(child)
            parent.communicate()

    @pytest.mark.parametrize(("leads", "kind"), [(True, "mine"), (False, "foreign")])
    def test_a_fork_whose_parent_has_ended(self, leads: bool, kind: str) -> None:
        """By our process group, where that is ours alone: another one's may be all that a script started."""
        code = """
import os, signal
from pytest_gpupool.sampling.foreign_processes import ForeignProcesses
reader, writer = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.write(writer, str(os.getpid()).encode())
        signal.pause()
    os._exit(0)
os.wait()
pid = int(os.read(reader, 20))
print(ForeignProcesses().sort({pid})[pid])
os.kill(pid, signal.SIGKILL)
"""
        command = [sys.executable, "-c", code]
        # The shell leads the group, unless the program takes its place.
        line = f"{'exec ' if leads else ''}{shlex.join(command)}; true"
        unmarked = {name: value for name, value in os.environ.items() if not name.startswith("GPUPOOL_")}
        said = subprocess.check_output(["sh", "-c", line], start_new_session=True, text=True, env=unmarked)
        assert said.strip() == kind


class TestForeign:
    """Everybody else who lives here."""

    def test_who_started_this_process(self) -> None:
        """It may hold a device of its own accord, as a notebook does."""
        assert ForeignProcesses().sort({os.getppid()}) == {os.getppid(): "foreign"}

    @pytest.mark.parametrize(
        "given",
        [{}, {"GPUPOOL_RUN": "20261121-1"}, {"GPUPOOL_RUN": "20261121-1", "GPUPOOL_DEVICES": "GPU-2"}],
        ids=["none", "run", "other device"],
    )
    @pytest.mark.usefixtures("environ")
    def test_one_that_another_worker_left(self, start: Callable[..., int], given: dict[str, str]) -> None:
        """Of the same run as well: it has no business on our device."""
        pid = start(LEAVE, start_new_session=True, env={"PATH": os.environ["PATH"], **given})
        assert ForeignProcesses().sort({pid}) == {pid: "foreign"}

    @pytest.mark.usefixtures("environ")
    def test_who_is_accused_is_not_looked_at_again(self, start: Callable[..., int]) -> None:
        """Until another attempt begins."""
        child = start()
        assert ForeignProcesses().sort({child}, accused={child}) == {child: "foreign"}

    def test_without_marks_no_environment_is_ours(
        self, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where the pool did not set them."""
        monkeypatch.delenv("GPUPOOL_RUN", raising=False)
        pid = start(LEAVE, start_new_session=True)
        assert ForeignProcesses().sort({pid}) == {pid: "foreign"}


class TestPool:
    """Other workers that share the device."""

    def test_they_and_what_they_started(self, start: Callable[..., int]) -> None:
        """They are asked for only where somebody may be foreign."""
        asked = []

        def own() -> set[ProcessId]:
            asked.append(1)
            return {parent()}

        foreign = ForeignProcesses(own)
        assert foreign.sort({start()}) != {}
        assert not asked
        assert foreign.sort({os.getppid()}) == {os.getppid(): "pool"}

    def test_one_that_comes_late(self) -> None:
        """A note may be written after the first look."""
        others: set[ProcessId] = set()
        foreign = ForeignProcesses(lambda: others)
        assert foreign.sort({os.getppid()}) == {os.getppid(): "foreign"}
        others.add(parent())
        assert foreign.sort({os.getppid()}) == {os.getppid(): "pool"}

    def test_a_container_s_first_process_makes_nobody_ours(self) -> None:
        """Everybody here descends from a process 1, but not from that one."""
        container = parent()._replace(pid=1, pid_namespace=parent().pid_namespace + 1)
        foreign = ForeignProcesses(lambda: {container})
        assert foreign.sort({os.getppid()}) == {os.getppid(): "foreign"}

    def test_one_whose_number_is_used_again(self) -> None:
        """Its note was not wiped when it was killed."""
        before = parent()._replace(started=parent().started - 1)
        assert ForeignProcesses(lambda: {before}).sort({os.getppid()}) == {os.getppid(): "foreign"}

    def test_the_server_of_mps(self, tmp_path: Path) -> None:
        """Its name is cut as the kernel does."""
        program = shutil.which("sleep")
        assert program is not None
        shutil.copy(program, tmp_path / "nvidia-cuda-mps-server")
        # As a daemon: of nobody here.
        line = f"cd {tmp_path}; exec ./nvidia-cuda-mps-server 100"
        options = "start_new_session=True, stdout=subprocess.DEVNULL"
        code = f"import subprocess; print(subprocess.Popen(['sh', '-c', {line!r}], {options}).pid)"
        pid = int(subprocess.check_output([sys.executable, "-c", code], env={"PATH": os.environ["PATH"]}))
        try:
            deadline = time.monotonic() + LIMIT
            while b"mps" not in Path(f"/proc/{pid}/comm").read_bytes():
                assert time.monotonic() < deadline
            assert ForeignProcesses().sort({pid}) == {pid: "pool"}
        finally:
            _kill(pid)


def test_nobody_is_accused_who_is_not_here() -> None:
    """NVML may give the numbers that processes have outside of a container, or any."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    gone = {0, process.pid, 2**31, 2**32 - 1}
    assert ForeignProcesses().sort(gone) == dict.fromkeys(gone, "unknown")

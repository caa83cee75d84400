"""'gpupool status': what people and programs read of a host, on a terminal and in a pipe."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from made_hosts import GIB, LISTENER, SLEEPER, Program, Shell, ids, make_host, wait_until
from program import gpupool
from standin import Driver, Gpu, Mig
from support import Host

Start = Callable[..., Program]
Open = Callable[..., Shell]

# The program as another user of the host. What it needs is loaded before: that user may not read this Python.
AS_NOBODY = """
import ctypes, importlib, os, pkgutil, sys
import pynvml, filelock
import pytest_gpupool.cli as cli, pytest_gpupool.devices as devices, pytest_gpupool.leases as leases
for wing in (cli, devices, leases):
    for module in pkgutil.walk_packages(wing.__path__, f"{wing.__name__}."):
        importlib.import_module(module.name)
ctypes.CDLL("libnvidia-ml.so.1")
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(cli.main.main(sys.argv[1:]))
"""


def status(host: Host, *args: str, **changes: str) -> list[str]:
    """The lines that it prints, without the first and without what it notes of the lock directory."""
    code, out, err = gpupool(host, "status", *args, folder=".", **{"COLUMNS": "1000", **changes})
    assert (code, err) == (0, "")
    return [line for line in out.splitlines()[1:] if not line.startswith(("note: lock", "note: locks"))]


def document(host: Host) -> dict[str, Any]:
    code, out, err = gpupool(host, "status", "--json")
    assert (code, err) == (0, "")
    data: dict[str, Any] = json.loads(out)
    return data


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of a process that knows nothing of the pool."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


def run(start: Start, host: Host, *args: object, script: str = SLEEPER, name: str = "train.py") -> tuple[Program, int]:
    """Start a command under a lease; return its pid as well."""
    host.write(name, script)
    program = start(host, "run", *args, "--", "python3", name, stdin=subprocess.PIPE)
    return program, int(re.findall(r"ready (\d+)\.", program.until(".\n"))[0])


ROW = "NVIDIA H200  40°C    0 %"


class TestTable:
    """For people."""

    def test_a_free_host(self, gpu_host: Host) -> None:
        """Nothing is made for it, neither the directory of the locks."""
        code, out, err = gpupool(gpu_host, "status")
        head, *rows = out.splitlines()
        assert (code, err) == (0, "")
        assert re.fullmatch(r"\S+  4 free  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  driver 570\.86\.15", head)
        assert rows == [f"{number}  {ROW}    0.0 / 141.0 GiB  free" for number in range(4)]
        assert not gpu_host.lock_dir.exists()

    def test_all_that_there_may_be(self, gpu_host: Host, start: Start, sleeper: int) -> None:
        """A lease, a foreign process, a quarantine, memory that nobody has, one that waits."""
        _, pid = run(start, gpu_host, "--devices", "0")
        waits = start(gpu_host, "run", "--devices", "0", "--", "true")
        waits.until("held by")
        driver = gpu_host.driver
        assert driver is not None
        driver.replace(0, used=61 * GIB, utilization=97, temperature=71)
        driver.replace(1, used=8 * GIB, processes=((sleeper, 8 * GIB),))
        driver.replace(2, used=2 * GIB)
        gpupool(gpu_host, "quarantine", "3", "--reason", "ECC errors")
        user = gpu_user()
        expected = [
            "0  NVIDIA H200  71°C   97 %   61.0 / 141.0 GiB  leased",
            f"     {user}  pid {pid}  for N s  python3 train.py",
            f"1  {ROW}    8.0 / 141.0 GiB  busy",
            f"     {user}  pid {sleeper}  8.0 GiB  not of the pool  sleep 1000",
            f"2  {ROW}    2.0 / 141.0 GiB  busy",
            "     2.0 GiB in use by no process that is named",
            f"3  {ROW}    0.0 / 141.0 GiB  quarantined",
            f"     quarantined by {user} N s ago: ECC errors",
            "waiting, first come first served:",
            f"  1. {user}  pid {waits.process.pid}  for N s  wants 1 of 0  true",
        ]
        assert timeless(status(gpu_host)) == expected

    def test_a_worker_of_a_run(self, gpu_host: Host) -> None:
        """With its test, and which worker of the run it is."""
        environ = gpu_host.environ()
        source = (
            "import sys\n"
            "from pytest_gpupool.devices import vendors\n"
            "from pytest_gpupool.leases.acquisition import try_lease\n"
            "from pytest_gpupool.leases.lease import Request\n"
            "from pytest_gpupool.leases.locking.lock_directory import lock_directory\n"
            "wish = Request(devices=vendors.survey().devices, lock_dir=lock_directory(None), run='r1', worker='gw3', "
            "busy_memory=None)\n"
            "lease = try_lease(wish, vendors.of(wish.devices).probe())\n"
            "lease.note('evals/test_mmlu.py::test_mmlu[llama\\033[2J]')\n"
            "print('ready', flush=True)\n"
            "sys.stdin.read()\n"
        )
        worker = subprocess.Popen(
            [sys.executable, "-c", source], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        line = status(gpu_host)[1]
        worker.communicate("")
        name = "evals/test_mmlu.py::test_mmlu[llama?[2J]"
        assert timeless([line]) == [f"     {gpu_user()}  pid {worker.pid}  for N s  gw3  {name}"]

    def test_a_desktop_is_no_reason_not_to_lease(self, gpu_host: Host, sleeper: int) -> None:
        """Processes that only draw are shown."""
        assert gpu_host.driver is not None
        gpu_host.driver.replace(0, used=GIB, graphics=((sleeper, GIB),))
        assert status(gpu_host)[:2] == [
            f"0  {ROW}    1.0 / 141.0 GiB  free",
            f"     {gpu_user()}  pid {sleeper}  1.0 GiB  graphics  sleep 1000",
        ]

    def test_hidden_devices_are_shown(self, gpu_host: Host) -> None:
        """It is the host's status, not this shell's."""
        assert len(status(gpu_host, CUDA_VISIBLE_DEVICES="1")) == 4

    def test_mig_instances(self, libraries: Path, tmp_path: Path) -> None:
        """By their ids: they have the number of one GPU."""
        host = make_host(libraries, tmp_path, 0)
        assert host.driver is not None
        first, second = (Mig(f"MIG-{uuid4()}", gi=number) for number in (1, 2))
        host.driver.gpus = [Gpu(f"GPU-{uuid4()}", mig_enabled=True, mig=(first, second))]
        row = "0  Stand-in GPU MIG 1g.10gb     -      -    0.0 /  10.0 GiB  free"
        assert status(host) == [row, f"     {first.uuid}", row, f"     {second.uuid}"]

    def test_a_device_that_does_not_answer(self, gpu_host: Host) -> None:
        assert gpu_host.driver is not None
        gpu_host.driver.fault("nvmlDeviceGetMemoryInfo_v2", 999, 0)
        rows = status(gpu_host)
        assert rows[:2] == [
            "0  NVIDIA H200  40°C    0 %      - / 141.0 GiB  failed",
            "     does not answer: Unknown Error",
        ]

    def test_one_that_is_lost_is_noted(self, gpu_host: Host) -> None:
        """The driver does not list it any more."""
        assert gpu_host.driver is not None
        gpu_host.driver.lose(1)
        assert status(gpu_host)[-1] == (
            "note: GPU 1 is lost (it fell off the bus: see 'dmesg', then reset or reboot); the pool goes on without it"
        )

    def test_no_gpu(self, cpu_host: Host) -> None:
        """A sentence; nothing is wrong."""
        said = "gpupool: there is no GPU on this host: no NVIDIA driver here: libnvidia-ml.so.1 is not found\n"
        assert gpupool(cpu_host, "status") == (0, said, "")
        assert document(cpu_host)["devices"] == []

    def test_one_that_waits_and_is_stopped(self, gpu_host: Host, start: Start) -> None:
        """It delays nobody, and is marked."""
        run(start, gpu_host, "--devices", "0")
        waits = start(gpu_host, "run", "--devices", "0", "--", "true")
        waits.until("held by")
        waits.send(signal.SIGSTOP)
        wait_until(lambda: "does not respond" in status(gpu_host)[-1])
        assert timeless(status(gpu_host)[-1:]) == [
            f"  1. {gpu_user()}  does not respond  pid {waits.process.pid}  for N s  wants 1 of 0  true"
        ]
        assert not document(gpu_host)["waiters"][0]["responds"]
        waits.send(signal.SIGCONT)


class TestTerminal:
    """Where it is looked at."""

    @pytest.mark.parametrize("columns", [40, 80, 120])
    def test_no_line_wraps(self, gpu_host: Host, open_shell: Open, start: Start, sleeper: int, columns: int) -> None:
        """Whatever others call their commands; where there is room there is more."""
        assert gpu_host.driver is not None
        name = "a very long 名字 of a command " * 5 + ".py"
        run(start, gpu_host, "--devices", "0", name=name)
        gpu_host.driver.replace(
            1, name="NVIDIA 加速器 with a name of many words and an end", processes=((sleeper, GIB),)
        )
        shell = open_shell(gpu_host, "gpupool", "status", columns=columns, lines=40)
        assert shell.finish() == 0
        lines = shell.picture.everything.splitlines()
        assert [line[0] for line in lines if line[0].isdigit()] == ["0", "1", "2", "3"]
        rows = [line for line in lines if line.startswith(("0 ", "1 "))]
        assert [row.split()[-1] for row in rows] == ["leased", "busy"]
        if columns > 40:
            assert "141.0 GiB" in rows[0]
        assert lines[0].split()[1:3] == ["2", "free"]

    def test_it_is_in_colour(self, gpu_host: Host, open_shell: Open) -> None:
        """Free devices are green."""
        shell = open_shell(gpu_host, "gpupool", "status")
        shell.finish()
        assert shell.picture.raw.count(b"\033[32mfree\033[0m") == 4

    @pytest.mark.parametrize(
        ("args", "changes", "coloured"),
        [
            ((), {"NO_COLOR": "1"}, False),
            ((), {"TERM": "dumb"}, False),
            (("--color=never",), {}, False),
            (("--color=always",), {"NO_COLOR": "1"}, True),
        ],
    )
    def test_who_wants_no_colour(
        self, gpu_host: Host, open_shell: Open, args: tuple[str, ...], changes: dict[str, str], coloured: bool
    ) -> None:
        shell = open_shell(gpu_host, "gpupool", "status", *args, **changes)
        shell.finish()
        assert (b"\033[" in shell.picture.raw) == coloured

    def test_watching(self, gpu_host: Host, open_shell: Open, start: Start) -> None:
        """In place, at whatever size; Ctrl-C ends it with 0, and leaves the terminal as it was."""
        shell = open_shell(gpu_host, lines=10)
        shell.type("gpupool status --watch\n")
        shell.until("4 free", "3  NVIDIA H200")
        _, pid = run(start, gpu_host)
        shell.until("3 free  1 leased", f"pid {pid}")
        shell.picture.resize(columns=60, lines=4)
        shell.until("lines more")
        shell.picture.resize(columns=100, lines=30)
        wait_until(lambda: "lines more" not in shell.shown() and "3  NVIDIA H200" in shell.shown())
        shell.type("\x03")
        assert shell.status() == "0"
        assert shell.picture.raw.count(b"\033[?1049h") == shell.picture.raw.count(b"\033[?1049l") == 1
        assert shell.picture.cursor

    def test_watching_can_be_stopped(self, gpu_host: Host, open_shell: Open) -> None:
        """Ctrl-Z gives the terminal back, fg goes on."""
        shell = open_shell(gpu_host)
        shell.type("gpupool status --watch\n")
        shell.until("4 free")
        shell.type("\x1a")
        shell.until("Stopped")
        assert shell.picture.raw.count(b"\033[?1049l") == 1
        shell.type("fg\n")
        wait_until(lambda: shell.shown() != "" and shell.picture.raw.count(b"\033[?1049h") == 2)
        shell.type("\x03")
        assert shell.status() == "0"


class TestPipe:
    """Where a program reads it."""

    def test_watching_prints_one_after_the_other(self, gpu_host: Host, start: Start) -> None:
        """Without colours, and without cutting a line."""
        run(start, gpu_host, name="x" * 200)
        watch = start(gpu_host, "status", "--watch", COLUMNS=None)
        wait_until(lambda: watch.out.count("3 free  1 leased") >= 2)
        assert "x" * 150 in watch.out
        assert "\033" not in watch.out
        watch.send(signal.SIGINT)
        assert watch.finish()[0] == 0

    def test_watching_json_prints_a_line_each(self, gpu_host: Host, start: Start) -> None:
        watch = start(gpu_host, "status", "--watch", "--json")
        wait_until(lambda: watch.out.count("\n") >= 2)
        watch.send(signal.SIGINT)
        assert watch.finish()[0] == 0
        assert all(len(json.loads(line)["devices"]) == 4 for line in watch.out.splitlines())

    def test_nobody_reads_on(self, gpu_host: Host) -> None:
        """As with head."""
        line = f"{sys.executable} -m pytest_gpupool status --watch | head -n 1"
        done = subprocess.run(["sh", "-c", line], env=gpu_host.environ(), capture_output=True, text=True, check=True)
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""


class TestJson:
    """Keys that other programs rely on."""

    def test_the_document(self, gpu_host: Host, start: Start, sleeper: int) -> None:
        _, pid = run(start, gpu_host, "--devices", "0", script=LISTENER)
        waits = start(gpu_host, "run", "--devices", "0,1", "--gpus", 2, "--", "true")
        waits.until("held by")
        assert gpu_host.driver is not None
        gpu_host.driver.replace(1, used=8 * GIB, processes=((sleeper, 8 * GIB),), utilization=12)
        gpupool(gpu_host, "quarantine", "3", "--reason", "ECC errors")
        told = document(gpu_host)
        assert told.keys() == {
            "time", "host", "driver", "problem", "notes", "devices", "waiters", "quarantined_elsewhere"
        }  # fmt: skip
        first, second, third, fourth = told["devices"]
        assert [device["state"] for device in told["devices"]] == ["leased", "busy", "free", "quarantined"]
        assert third == {
            "id": ids(gpu_host)[2],
            "index": 2,
            "kind": "gpu",
            "name": "NVIDIA H200",
            "state": "free",
            "memory_total_bytes": 141 * GIB,
            "memory_used_bytes": 0,
            "utilization": 0.0,
            "temperature_c": 40,
            "leases": [],
            "foreign": [],
            "quarantine": None,
            "unexplained_bytes": 0,
            "problem": None,
        }
        (lease,) = first["leases"]
        assert lease.keys() == {
            "pid", "user", "uid", "host", "run", "command", "worker", "test", "since", "until", "held_s", "number"
        }  # fmt: skip
        assert (lease["pid"], lease["user"], lease["command"]) == (pid, gpu_user(), "python3 train.py")
        assert re.fullmatch(r"\d{8}T\d{6}Z-\w+", lease["run"])
        assert lease["held_s"] >= 0
        assert second["foreign"] == [
            {"pid": sleeper, "user": gpu_user(), "command": "sleep 1000", "memory_bytes": 8 * GIB, "type": "compute"}
        ]
        assert second["utilization"] == 12.0
        assert fourth["quarantine"]["reason"] == "ECC errors"
        (waiter,) = told["waiters"]
        assert (waiter["pid"], waiter["gpus"], waiter["responds"]) == (waits.process.pid, 2, True)
        assert waiter["devices"] == list(ids(gpu_host)[:2])

    def test_a_quarantine_of_a_device_that_is_elsewhere(self, gpu_host: Host) -> None:
        gpu_host.lock_dir.mkdir()
        (gpu_host.lock_dir / "GPU-far.quarantine").write_text('{"reason": "rust", "since": "2026-11-21T10:00:00Z"}')
        assert document(gpu_host)["quarantined_elsewhere"]["GPU-far"]["reason"] == "rust"
        assert re.fullmatch(
            rf"note: GPU-far, which is not here, is quarantined by {gpu_user()} .* ago: rust", status(gpu_host)[-1]
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_any_user_sees_it(libraries: Path, start: Start) -> None:
    """Of another user's lease as much as its owner; nothing is changed for it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        host = make_host(libraries, Path(place), 2)
        assert isinstance(host.driver, Driver)
        _, pid = run(start, host, "--devices", "1")
        before = {path.name: path.stat().st_mtime_ns for path in host.lock_dir.iterdir()}
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "status"], env=host.environ(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert timeless(done.stdout.splitlines()[3:4]) == [f"     {gpu_user()}  pid {pid}  for N s  python3 train.py"]
        assert {path.name: path.stat().st_mtime_ns for path in host.lock_dir.iterdir()} == before


def timeless(lines: list[str]) -> list[str]:
    """The lines with N for how many seconds something took."""
    return [re.sub(r"\b\d+ s\b", "N s", line) for line in lines]


def gpu_user() -> str:
    """Who runs these tests."""
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name

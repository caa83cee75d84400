"""'gpupool run' as scripts call it: status, environment, stdin, signals, what a command leaves behind."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from made_hosts import GIB, GPUPOOL, LISTENER, SLEEPER, Program, ids, make_host, state, wait_until
from program import gpupool
from standin import Gpu, Mig
from support import LIMIT, Host, locked_files, processes_of

Start = Callable[..., Program]


@pytest.fixture
def gpu_host(gpu_host: Host) -> Host:
    """With what is run on it."""
    gpu_host.write("sleeper.py", SLEEPER)
    gpu_host.write("listener.py", LISTENER)
    return gpu_host


def run(host: Host, *args: object, **changes: str) -> tuple[int, str, str]:
    return gpupool(host, "run", *map(str, args), folder=".", **changes)


def ready(program: Program) -> int:
    """The pid that its command says."""
    return int(re.findall(r"ready (\d+)\.", program.until(".\n"))[0])


def gone(host: Host) -> bool:
    """Whether nothing that was started there lives, nor holds a lock."""
    return not processes_of(host.lock_dir) and not locked_files(host.lock_dir)


class TestEnvironment:
    """What the command finds."""

    def test_it_sees_its_devices_alone(self, gpu_host: Host) -> None:
        """By their numbers, in the order that the driver has."""
        status, out, err = run(gpu_host, "--gpus", 2, "--devices", "1,3", "--", "env")
        assert (status, err) == (0, "")
        told = dict(line.partition("=")[::2] for line in out.splitlines())
        assert told["CUDA_VISIBLE_DEVICES"] == "1,3"
        assert told["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        assert told["GPUPOOL_DEVICES"] == ",".join(ids(gpu_host)[number] for number in (1, 3))
        assert re.fullmatch(r"\d{8}T\d{6}Z-\w+", told["GPUPOOL_RUN"])
        assert gone(gpu_host)

    def test_the_environments_own_list_counts(self, gpu_host: Host) -> None:
        """As with pytest."""
        assert run(gpu_host, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="2")[1] == "2\n"
        status, _, err = run(gpu_host, "--devices", "0", "--", "true", CUDA_VISIBLE_DEVICES="2")
        assert status == 4
        assert err == (
            f"gpupool: --devices=0: GPU 0 is hidden by CUDA_VISIBLE_DEVICES; there are: 2 ({ids(gpu_host)[2]})\n"
        )

    def test_no_gpus_hides_them(self, gpu_host: Host) -> None:
        """Also from a command inside a lease."""
        line = "echo $CUDA_VISIBLE_DEVICES/$GPUPOOL_RUN/$GPUPOOL_DEVICES"
        inherited = {"GPUPOOL_RUN": "r", "GPUPOOL_DEVICES": "GPU-1"}
        assert run(gpu_host, "--gpus", 0, "--", "sh", "-c", line, **inherited) == (0, "-1//\n", "")
        assert not gpu_host.lock_dir.exists()

    def test_mig_is_named_by_uuid(self, libraries: Path, tmp_path: Path) -> None:
        """One process sees one instance, so that two are more than the pool has."""
        host = make_host(libraries, tmp_path, 0)
        assert host.driver is not None
        instances = tuple(Mig(f"MIG-{uuid4()}", gi=number) for number in (1, 2))
        host.driver.gpus = [Gpu(f"GPU-{uuid4()}", mig_enabled=True, mig=instances)]
        assert run(host, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")[1] == f"{instances[0].uuid}\n"
        status, _, err = run(host, "--gpus", 2, "--", "true")
        assert status == 69
        assert err == (
            "gpupool: --gpus 2, but the pool holds 2 MIG instances (Stand-in GPU MIG 1g.10gb)"
            " (a process can use one MIG instance at a time)\n"
        )

    def test_what_is_open_stays_open(self, gpu_host: Host) -> None:
        """As for any command that a shell starts."""
        reading, writing = os.pipe()
        os.write(writing, b"from the third\n")
        os.close(writing)
        command = [*GPUPOOL, "run", "--", "bash", "-c", f"cat <&{reading}"]
        done = subprocess.run(command, env=gpu_host.environ(), pass_fds=[reading], stdout=-1, check=True)
        os.close(reading)
        assert done.stdout == b"from the third\n"

    def test_stdin_is_the_commands(self, gpu_host: Host) -> None:
        """A pipe."""
        done = subprocess.run(
            [*GPUPOOL, "run", "cat"], env=gpu_host.environ(), input="piped", capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "piped", "")


class TestStatus:
    """The exit status is the command's, or says what kept it from running."""

    @pytest.mark.parametrize(
        ("source", "status", "said"),
        [
            ("exit 0", 0, ""),
            ("exit 7", 7, ""),
            ("kill -TERM $$", 143, ""),
            ("kill -INT $$", 130, ""),
            ("kill -KILL $$", 137, "gpupool: sh was ended by SIGKILL\n"),
            ("kill -SEGV $$", 139, "gpupool: sh was ended by SIGSEGV\n"),
        ],
    )
    def test_of_the_command(self, gpu_host: Host, source: str, status: int, said: str) -> None:
        """128 and the number where a signal ended it."""
        assert run(gpu_host, "--", "sh", "-c", source) == (status, "", said)

    def test_what_cannot_be_run(self, gpu_host: Host) -> None:
        """It is said before anything is leased or waited for, as far as it can be known then."""
        gpu_host.write("plain.txt", "text")
        gpu_host.write("lost.py", "#!/nowhere/python\n").chmod(0o755)
        gpu_host.write("empty", "\x00").chmod(0o755)
        project = gpu_host.project
        for name, status, said in (
            ("pyhton", 127, "pyhton: no such command"),
            ("./none", 127, "./none: no such command"),
            ("./plain.txt", 126, "./plain.txt: cannot be run: it is not executable ('chmod +x' makes it so)"),
            (f"{project}", 126, f"{project}: cannot be run: it is a directory"),
        ):
            assert run(gpu_host, "--", name) == (status, "", f"gpupool: {said}\n")
        assert not gpu_host.lock_dir.exists()
        said = "gpupool: ./lost.py: cannot be run: No such file or directory (see the '#!' of its first line)\n"
        assert run(gpu_host, "--", "./lost.py") == (127, "", said)
        assert run(gpu_host, "./empty") == (126, "", "gpupool: ./empty: cannot be run: Exec format error\n")
        assert gone(gpu_host)

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["--gpus", "x", "--", "true"], "--gpus x: give a whole number from 0"),
            (["--gpus"], "argument --gpus: expected one argument; see 'gpupool run --help'"),
            (["--gpus=-1", "--", "true"], "--gpus -1: give a whole number from 0"),
            (["--memory", "much", "true"], "--memory much: give a size such as 20GiB or 500MB"),
            (["--wait", "1d", "true"], "--wait 1d: give seconds from 0, or a time such as 90s, 5m or 2h"),
            (["--yes", "--", "true"], "unrecognized arguments: --yes; see 'gpupool run --help'"),
            ([], "give a command: gpupool run [--gpus N] -- CMD…"),
            (["--gpus", "2", "--"], "give a command: gpupool run [--gpus N] -- CMD…"),
        ],
    )
    def test_a_bad_option(self, gpu_host: Host, args: list[str], said: str) -> None:
        """4, with what is to be given."""
        assert run(gpu_host, *args) == (4, "", f"gpupool: {said}\n")

    def test_a_bad_device(self, gpu_host: Host) -> None:
        status, _, err = run(gpu_host, "--devices", "9", "true")
        there = ", ".join(f"{number} ({uuid})" for number, uuid in enumerate(ids(gpu_host)))
        assert (status, err) == (4, f"gpupool: --devices=9: no device '9' here; there are: {there}\n")

    def test_more_than_the_pool_has(self, gpu_host: Host) -> None:
        """69, at once."""
        assert run(gpu_host, "--gpus", 5, "true") == (
            69,
            "",
            "gpupool: --gpus 5, but the pool holds 4 GPUs (NVIDIA H200)\n",
        )
        status, _, err = run(gpu_host, "--memory", "200GiB", "--devices", "0", "true")
        assert status == 69
        assert err == (
            "gpupool: --memory 200.0 GiB, but no GPU of the pool has that much:\n  GPU 0  NVIDIA H200  141.0 GiB\n"
        )

    def test_no_gpu(self, cpu_host: Host) -> None:
        """69, and what to do."""
        assert run(cpu_host, "--", "true") == (
            69,
            "",
            "gpupool: --gpus 1, but there is no GPU here: no NVIDIA driver here: libnvidia-ml.so.1 is not found\n"
            "'--gpus 0' runs the command without one.\n",
        )
        assert run(cpu_host, "--gpus", 0, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES") == (0, "-1\n", "")


class TestWaiting:
    """Where every device is held."""

    def test_it_says_for_whom_it_waits(self, gpu_host: Host, start: Start) -> None:
        """Once, until somebody else is in the way; then that it has begun."""
        first = start(gpu_host, "run", "--devices", "0", "--", sys.executable, "listener.py", stdin=subprocess.PIPE)
        pid = ready(first)
        second = start(gpu_host, "run", "--devices", "0", "--", "echo", "mine")
        said = second.until("held by")
        assert re.fullmatch(
            r"gpupool: waiting for a device\n"
            rf"  GPU 0  NVIDIA H200  held by pid {pid} \(\w+, {sys.executable} listener.py\) for \d+ s\n",
            said.replace(f"ready {pid}.\n", ""),
        )
        assert first.process.stdin is not None
        first.process.stdin.close()
        assert first.finish()[0] == 0
        status, out, err = second.finish()
        assert (status, out) == (0, "mine\n")
        assert re.search(rf"\ngpupool: leased GPU 0 \({ids(gpu_host)[0]}\) after \d+ s\n$", err)
        assert err.count("\n") == 3

    def test_it_may_be_too_long(self, gpu_host: Host, start: Start) -> None:
        """75, at once with ``--wait 0``."""
        pid = ready(start(gpu_host, "run", "--devices", "0", "--", sys.executable, "sleeper.py"))
        status, _, err = run(gpu_host, "--devices", "0", "--wait", 0, "true")
        assert status == 75
        assert re.fullmatch(
            rf"gpupool: no device is free\.\n  GPU 0  NVIDIA H200  held by pid {pid} \(.*\) for \d+ s\n"
            r"Wait longer \(--wait\), choose other devices \(--devices\), or see 'gpupool status'\.\n",
            err,
            re.DOTALL,
        )
        status, _, err = run(gpu_host, "--devices", "0,1", "--gpus", 2, "--wait", "0.5s", "true")
        assert status == 75
        assert "gpupool: no 2 devices came free together in 0 s.\n" in err
        assert "\n  GPU 1  NVIDIA H200  free, but 2 devices are needed together\n" in err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_it(self, gpu_host: Host, start: Start, number: signal.Signals) -> None:
        """With 128 and its number; nothing is left of it in the queue."""
        first = start(gpu_host, "run", "--gpus", 4, "--", sys.executable, "sleeper.py")
        ready(first)
        second = start(gpu_host, "run", "--", "true")
        second.until("held by")
        second.send(number)
        assert second.finish()[0] == 128 + number
        assert not list(gpu_host.lock_dir.glob("*.ticket"))


class TestSignals:
    """What is sent to the program reaches the command, once."""

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
    def test_they_are_passed_on(self, gpu_host: Host, start: Start, name: str) -> None:
        """The command decides what to do."""
        program = start(gpu_host, "run", "--", sys.executable, "listener.py", name, stdin=subprocess.PIPE)
        ready(program)
        program.send(getattr(signal, name))
        program.until(f"heard {name}\n")
        assert program.process.stdin is not None
        program.process.stdin.write(b"x\n")
        program.process.stdin.close()
        status, out, _ = program.finish()
        assert status == 0
        assert out.splitlines()[1:] == [f"heard {name}", "read x after 1"]

    def test_what_ignores_them_goes_on(self, gpu_host: Host, start: Start) -> None:
        """Nobody kills it for that, nor is its lease lost."""
        program = start(gpu_host, "run", "--", sys.executable, "sleeper.py", "SIGTERM")
        pid = ready(program)
        for count in (1, 2):
            program.send(signal.SIGTERM)
            wait_until(lambda count=count: program.out.count("heard") == count, program.out)  # type: ignore[misc]
        assert f"{ids(gpu_host)[0]}.lock" in locked_files(gpu_host.lock_dir)
        os.kill(pid, signal.SIGKILL)
        assert program.finish()[0] == 137
        assert gone(gpu_host)


class TestLease:
    """It lasts as long as anything of the command."""

    def test_children_that_are_left_behind(self, gpu_host: Host, start: Start) -> None:
        """They are named, and waited for; the status is the command's."""
        source = f"{sys.executable} -c 'import sys; print(1, flush=True); sys.stdin.read()' <&3 & exit 3"
        reading, writing = os.pipe()
        command = [*GPUPOOL, "run", "--", "bash", "-c", source.replace("<&3", f"<&{reading}")]
        process = subprocess.Popen(
            command,
            env=gpu_host.environ(),
            pass_fds=[reading],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.close(reading)
        assert process.stderr is not None
        said = process.stderr.readline()
        assert re.fullmatch(
            rf"gpupool run: waiting for 1 process that bash left behind: pid \d+ \({sys.executable} -c .*\) "
            r"\(Ctrl-C ends it\)\n",
            said,
        )
        assert locked_files(gpu_host.lock_dir) == {f"{ids(gpu_host)[0]}.lock"}
        os.close(writing)
        assert process.wait(LIMIT) == 3
        process.communicate()
        assert gone(gpu_host)

    @pytest.mark.parametrize(
        "leaves",
        ["", "setsid ", "env -i setsid "],
        ids=["in its group", "in a session of its own", "with an environment of its own"],
    )
    def test_a_signal_ends_what_is_left_behind(self, gpu_host: Host, start: Start, leaves: str) -> None:
        """The first asks, the second does not."""
        source = f"{leaves}{sys.executable} sleeper.py SIGTERM & exit 3"
        program = start(gpu_host, "run", "--", "sh", "-c", source)
        ready(program)
        program.until("left behind")
        program.send(signal.SIGINT)
        program.until("heard SIGTERM")
        program.send(signal.SIGINT)
        assert program.finish()[0] == 3
        assert gone(gpu_host)

    def test_a_killed_program_frees_nothing(self, gpu_host: Host, start: Start) -> None:
        """The command goes on with the lock; whoever waits is told of the command."""
        program = start(gpu_host, "run", "--devices", "0", "--", sys.executable, "sleeper.py")
        pid = ready(program)
        program.send(signal.SIGKILL)
        program.process.wait()
        assert locked_files(gpu_host.lock_dir) == {f"{ids(gpu_host)[0]}.lock"}
        status, _, err = run(gpu_host, "--devices", "0", "--wait", 0, "true")
        assert status == 75
        assert f"  GPU 0  NVIDIA H200  held by pid {pid} (" in err
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not state(pid))
        assert run(gpu_host, "--devices", "0", "--wait", 0, "true") == (0, "", "")

    def test_lock_files_are_put_back(self, gpu_host: Host, start: Start) -> None:
        """Also where somebody has removed the whole directory."""
        program = start(gpu_host, "run", "--devices", "0", "--", sys.executable, "sleeper.py")
        pid = ready(program)
        lock = gpu_host.lock_dir / f"{ids(gpu_host)[0]}.lock"
        for path in gpu_host.lock_dir.iterdir():
            path.unlink()
        gpu_host.lock_dir.rmdir()
        assert run(gpu_host, "--devices", "0", "--wait", 0, "true")[0] == 75
        wait_until(lambda: lock.name in locked_files(gpu_host.lock_dir))
        os.kill(pid, signal.SIGKILL)
        assert program.finish()[1:] == (f"ready {pid}.\n", f"gpupool: {sys.executable} was ended by SIGKILL\n")

    def test_one_that_another_has_locked(self, gpu_host: Host, start: Start) -> None:
        """It cannot be put back: the user is told, once."""
        program = start(gpu_host, "run", "--devices", "0", "--", sys.executable, "sleeper.py")
        pid = ready(program)
        lock = gpu_host.lock_dir / f"{ids(gpu_host)[0]}.lock"
        with (gpu_host.directory / "aside").open("w") as aside:
            fcntl.flock(aside, fcntl.LOCK_EX)
            Path(aside.name).rename(lock)
            said = (
                f"gpupool: the lease is not safe any more: {lock} was removed while it was locked, "
                "and another process has locked a new one\n"
            )
            program.until(said)
            os.kill(pid, signal.SIGTERM)
            assert program.finish() == (143, f"ready {pid}.\n", said)

    def test_a_busy_device_is_not_leased(self, gpu_host: Host) -> None:
        """Locks know nothing of processes that do not lock."""
        assert gpu_host.driver is not None
        gpu_host.driver.processes(0, (os.getpid(), 61 * GIB))
        assert run(gpu_host, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")[1] == "1\n"
        status, _, err = run(gpu_host, "--wait", 0, "--devices", 0, "true")
        assert (status, "busy: pid " in err) == (75, True)


class TestInside:
    """Of a lease that a process above holds."""

    def test_its_devices_are_the_pool(self, gpu_host: Host) -> None:
        """Two commands inside it never have the same device; more than it has is refused."""
        inner = " ".join([*GPUPOOL, "run", "--wait 60 -- sh -c 'echo in $CUDA_VISIBLE_DEVICES; sleep 0.3; echo out'"])
        source = f"{inner} & {inner} & wait; {' '.join(GPUPOOL)} run --gpus 2 true"
        status, out, err = run(gpu_host, "--devices", 2, "--", "sh", "-c", source)
        assert out.split() == ["in", "2", "out"] * 2
        assert (status, err.splitlines()[-1]) == (69, "gpupool: --gpus 2, but the pool holds 1 GPU (NVIDIA H200)")
        assert gone(gpu_host)

    def test_a_lease_that_nobody_holds(self, gpu_host: Host) -> None:
        """A shell has kept the variables: they count for nothing, and that is said."""
        uuid = ids(gpu_host)[1]
        status, out, err = run(
            gpu_host, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES", GPUPOOL_RUN="old", GPUPOOL_DEVICES=uuid
        )
        assert (status, out) == (0, "0\n")
        assert err == f"gpupool: GPUPOOL_RUN=old is set, but no process above this one holds {uuid}: ignored\n"

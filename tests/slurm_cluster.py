"""A SLURM cluster on this host: SLURM's own daemons, two nodes with two stand-in GPUs each, all files in one directory.

Debian's ``slurm-wlm`` and ``munge`` are what it needs, and a user who may make device files.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

LIMIT = 300.0
"""Seconds after which something hangs for sure."""
NODES = {"n1": 2, "n2": 2}
"""How many GPUs each has."""
CPUS = 16  # of a node, as SLURM counts: tests wait for GPUs, never for these
_PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "salloc", "squeue", "sinfo", "scontrol", "scancel", "setpriv")
# Where Debian has daemons, which users' PATH leaves out.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_LOWEST_PORT, _HIGHEST_PORT = 20000, 30000  # below those that the kernel gives to clients

_CONFIGURATION = """
ClusterName=standin
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.sock
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={directory}/prolog
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000
SlurmdParameters=config_overrides
GresTypes=gpu
# A node is lost soon, yet not for a busy machine; an ended job leaves soon.
SlurmdTimeout=10
MessageTimeout=10
KillWait=2
ReturnToService=2
MailProg=/bin/true
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
PartitionName=small Nodes=n1 MaxTime=1:00:00 State=UP
"""


class CannotStart(Exception):
    """This environment has no SLURM, or does not let it run."""


class SlurmCluster:
    """The daemons, and what is asked of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._mark = f"SLURM_CONF={directory / 'slurm.conf'}"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def environ(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a user of the cluster, outside of any allocation."""
        given = os.environ if environ is None else environ
        kept = {name: value for name, value in given.items() if not name.startswith(("SLURM_", "SQUEUE_", "SINFO_"))}
        return kept | {"SLURM_CONF": str(self.directory / "slurm.conf"), "PATH": _PATH}

    def start(self) -> None:
        """Start everything and wait until all nodes are idle.

        Raises:
            CannotStart: it says why.
        """
        missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
        if missing:
            raise CannotStart(f"{', '.join(missing)} not found; Debian has them in slurm-wlm and munge")
        try:
            self._make_files()
        except OSError as error:
            raise CannotStart(f"no device file can be made here: {error}") from error
        try:
            self.heal()
        except AssertionError as error:
            raise CannotStart(f"{error}\n{self._logs()}") from error

    def _make_files(self) -> None:
        self.directory.joinpath("state").mkdir()
        key = self.directory / "munge.key"
        key.touch(0o600)
        key.write_bytes(random.randbytes(256))
        ports = _free_ports(1 + len(NODES))
        host = socket.gethostname()
        nodes, gpus = [], []
        for (node, count), port in zip(NODES.items(), ports[1:], strict=True):
            nodes.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory=20000"
                f" Gres=gpu:{count}"
            )
            for number in range(count):
                # The same as /dev/null: SLURM takes nothing but a device for a GPU.
                os.mknod(self.directory / f"{node}-gpu{number}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            self.directory.joinpath(f"{node}.environ").touch()
            gpus.append(f"NodeName={node} Name=gpu File={self.directory}/{node}-gpu[0-{count - 1}]")
        text = _CONFIGURATION.format(host=host, ports=ports, directory=self.directory, nodes="\n".join(nodes))
        self.directory.joinpath("slurm.conf").write_text(text)
        prolog = self.directory / "prolog"
        prolog.write_text(f'#!/bin/sh\nsed "s/^/export /" "{self.directory}/$SLURMD_NODENAME.environ"\n')
        prolog.chmod(0o755)
        self.directory.joinpath("gres.conf").write_text("\n".join([*gpus, ""]))

    def _start_munge(self) -> None:
        names = {"socket": "munge.sock", "key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munge.seed"}
        places = [f"--{option}={self.directory / name}" for option, name in names.items()]
        self._daemon("munged", "munged", "--foreground", "--force", *places)
        self.until((self.directory / "munge.sock").exists, "munged does not start")

    def _daemon(self, name: str, *command: str) -> None:
        with (self.directory / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                # They end with this process, however that ends.
                ["setpriv", "--pdeathsig=KILL", *command],
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start_node(self, node: str) -> None:
        """Switch a node on."""
        self._daemon(node, "slurmd", "-D", "-N", node)

    def give(self, node: str, **variables: str) -> None:
        """Have variables in the environment of what runs on a node from now on."""
        lines = "".join(f"{name}={value}\n" for name, value in variables.items())
        self.directory.joinpath(f"{node}.environ").write_text(lines)

    def kill_slurmd(self, node: str) -> None:
        """Kill a node's daemon; what runs there runs on."""
        self._daemons[node].kill()
        self._daemons[node].wait(LIMIT)

    def power_down(self, node: str) -> None:
        """Kill a node's daemon and all that runs there."""
        self.kill_slurmd(node)
        tasks = self._marked(f"SLURMD_NODENAME={node}")
        # First those that would tell of the others' ends.
        for pid in [parent for parent in map(_parent, tasks) if _command(parent).startswith("slurmstepd")] + tasks:
            _kill(pid)

    def stop(self) -> None:
        """End everything: jobs, daemons, and what they have left."""
        for name in reversed(self._daemons):
            self._daemons[name].terminate()
            try:
                self._daemons[name].wait(20)
            except subprocess.TimeoutExpired:
                self._daemons[name].kill()
                self._daemons[name].wait(LIMIT)
        for pid in self._marked(self._mark):
            _kill(pid)

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of SLURM's programs and return what it says."""
        done = subprocess.run(command, env=self.environ(), capture_output=True, text=True, timeout=LIMIT, check=False)
        assert done.returncode == 0 or not check, done.stderr + self._ended()
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """The nodes' states by name, in SLURM's words."""
        lines = self.run("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T", check=False)
        rows = (line.split() for line in lines.splitlines())
        return {row[0]: row[1] for row in rows}

    def jobs(self) -> list[str]:
        """The names of all jobs that wait or run."""
        return self.run("squeue", "--noheader", "--format=%j").splitlines()

    def steps(self, job: str) -> list[str]:
        """The names of an allocation's steps, but those on lost nodes, which SLURM goes on to list."""
        lines = self.run("squeue", "--noheader", "--steps", f"--jobs={job}", "--format=%j %N").splitlines()
        states = self.states()
        rows = (line.split() for line in lines)
        return [name for name, node in rows if not states[node].startswith("down")]

    def processes(self) -> dict[int, str]:
        """The command lines of what runs in jobs, by pid."""
        return {pid: _command(pid) for pid in self._marked(self._mark) if _variable(pid, "SLURM_PROCID") is not None}

    def srun_of(self, parent: int, job: str) -> int:
        """The pid of the srun that a process has started for a job, of which the name's beginning is given."""
        pids = [pid for pid in self._marked(self._mark) if _parent(pid) == parent]
        (srun,) = [pid for pid in pids if _command(pid).startswith(f"srun --job-name={job}")]
        return srun

    def until(self, holds: Callable[[], object], otherwise: str) -> None:
        """Wait until something holds; fails with these words where it never does."""
        deadline = time.monotonic() + LIMIT
        while not holds():
            if time.monotonic() > deadline:
                said = [self.run(program, check=False) for program in ("squeue", "sinfo")]
                raise AssertionError("\n".join([f"{otherwise}:", *said, self._ended()]))
            time.sleep(0.05)

    def until_empty(self, *but: str) -> None:
        """Wait until nothing runs nor waits any more, but jobs of these names."""
        self.until(lambda: set(self.jobs()) <= {*but}, "jobs are left")
        if not but:
            self.until(lambda: not self.processes(), "processes are left")

    def heal(self) -> None:
        """Start what does not run, cancel what is left, and have all nodes idle."""
        if not self._runs("munged"):
            self._start_munge()
        if not self._runs("slurmctld"):
            self._daemon("slurmctld", "slurmctld", "-D", "-c")
        self.run("scancel", f"--user={os.getuid()}", check=False)
        for node in NODES:
            if not self._runs(node):
                self.start_node(node)
            if self.states().get(node, "").startswith(("drain", "down", "fail")):
                self.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
        self.until(lambda: self.states() == dict.fromkeys(NODES, "idle"), "the nodes are not idle")

    @contextlib.contextmanager
    def allocation(self, *options: str) -> Iterator[dict[str, str]]:
        """Allocate as salloc does, and give the environment within."""
        place = self.directory / f"allocation-{random.randrange(1 << 30):x}"
        script = f"env --null > {place}.part && mv {place}.part {place} && exec cat"
        salloc = subprocess.Popen(
            ["salloc", "--quiet", "--time=60", *options, "sh", "-c", script],
            env=self.environ(),
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        assert salloc.stdin is not None
        try:
            self.until(lambda: place.exists() or salloc.poll() is not None, "nothing is allocated")
            pairs = (line.partition("=") for line in place.read_text().split("\0") if line)
            yield {name: value for name, _, value in pairs}
        finally:
            salloc.stdin.close()
            salloc.wait(LIMIT)
            self.until_empty()

    def _marked(self, mark: str) -> list[int]:
        name, _, value = mark.partition("=")
        pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        daemons = {daemon.pid for daemon in self._daemons.values() if daemon.poll() is None} | {os.getpid()}
        ours = [pid for pid in pids if pid not in daemons and _variable(pid, name) == value]
        return [pid for pid in ours if f"{self.directory}" == str(Path(_variable(pid, "SLURM_CONF") or "").parent)]

    def _runs(self, name: str) -> bool:
        return name in self._daemons and self._daemons[name].poll() is None

    def _ended(self) -> str:
        """Which daemons have ended, and what they had said; the empty text where all run."""
        ended = [
            f"{name} has ended: {daemon.returncode}"
            for name, daemon in self._daemons.items()
            if daemon.poll() is not None
        ]
        return "\n".join([*ended, self._logs()]) if ended else ""

    def _logs(self) -> str:
        paths = [*self.directory.glob("*.log"), *self.directory.glob("*.out")]
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}" for path in paths)


def limited_srun(directory: Path, environ: Mapping[str, str], *words: str, workers: int = 1) -> dict[str, str]:
    """An environment whose srun refuses, with these words, who comes while so many (0 or 1) run; the others it calls.

    Real SLURM counts a user's jobs only where it has an accounting database.
    """
    srun = shutil.which("srun", path=environ["PATH"])
    lines = "".join(f'echo "srun: error: {word}" >&2\n' for word in words)
    taken = f'[ -e "{directory}/taken" ] && kill -0 "$(cat "{directory}/taken")" 2>/dev/null' if workers else "true"
    script = f"""#!/bin/sh
exec 9>"{directory}/lock"
flock 9
if {taken}; then
{lines}exit 1
fi
echo $$ > "{directory}/taken"
exec 9>&-
exec {srun} "$@"
"""
    programs = directory / "programs"
    programs.mkdir()
    programs.joinpath("srun").write_text(script)
    programs.joinpath("srun").chmod(0o755)
    return {**environ, "PATH": f"{programs}:{environ['PATH']}"}


def _variable(pid: int, name: str) -> str | None:
    """A variable of a process; none of one that is gone or a zombie."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if line.startswith(f"{name}=".encode()):
                return line.decode(errors="replace").partition("=")[2]
    return None


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(_LOWEST_PORT, _HIGHEST_PORT)
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports


@contextlib.contextmanager
def started(directory: Path) -> Iterator[SlurmCluster]:
    """Run a cluster, once more where another program has taken a port meanwhile; skips where there can be none."""
    for attempt in (1, 2):
        place = directory / f"slurm{attempt}"
        place.mkdir()
        cluster = SlurmCluster(place)
        try:
            cluster.start()
        except CannotStart as error:
            cluster.stop()
            if attempt == 2 or "not found" in str(error):
                # In CI its absence would pass unseen.
                (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no SLURM here: {error}")
        else:
            break
    try:
        yield cluster
    finally:
        cluster.stop()

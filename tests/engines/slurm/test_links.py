"""Links of a real SLURM: bytes there and back, GPUs that no two have, what waits, and how all of it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from slurm_cluster import LIMIT, SlurmCluster

from pytest_gpupool.engines.engine import Room
from pytest_gpupool.engines.frames import GONE_STATUS
from pytest_gpupool.engines.slurm.engine import SlurmEngine
from pytest_gpupool.engines.slurm.link import SrunLink
from pytest_gpupool.values.errors import UsageProblem

ECHO = [sys.executable, "-c", "import os\nwhile data := os.read(0, 65536):\n    os.write(1, data)"]
# Says where it is, and stays as long as somebody writes to it.
HERE = """
import json, os, sys
names = ("SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_JOB_NAME")
print(json.dumps({name: os.environ.get(name) for name in names} | {"pid": os.getpid()}), flush=True)
sys.stdin.buffer.read()
"""
STAYS = [sys.executable, "-c", HERE]
ALL_GPUS = {("n1", "0"), ("n1", "1"), ("n2", "0"), ("n2", "1")}

Start = Callable[..., SlurmEngine]


@pytest.fixture(params=["outside", "inside"])
def environ(request: pytest.FixtureRequest, slurm: SlurmCluster) -> Iterator[dict[str, str]]:
    """The environment of a user on a login node, or within an allocation of the whole cluster."""
    if request.param == "outside":
        yield slurm.environ()
        return
    with slurm.allocation("--nodes=2", "--gpus-per-node=2", "--cpus-per-task=8", "--no-kill") as within:
        yield within


@pytest.fixture
def engine(environ: dict[str, str]) -> Iterator[SlurmEngine]:
    """An engine for that user."""
    engine = SlurmEngine({}, environ)
    yield engine
    engine.close()


@pytest.fixture
def outside(slurm: SlurmCluster) -> Iterator[Start]:
    """Makes engines outside of any allocation."""
    with ExitStack() as stack:

        def make(**given: str) -> SlurmEngine:
            arguments = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
            engine = SlurmEngine(arguments, slurm.environ())
            stack.callback(engine.close)
            return engine

        yield make


def line(link: SrunLink) -> bytes:
    """The first line that a link brings."""
    data = b""
    while not data.endswith(b"\n"):
        more = link.read()
        assert more, f"ended: {link.end_words()}"
        data += more
    return data


def place(link: SrunLink) -> tuple[str, str]:
    """The node and the GPUs of a link on which STAYS runs."""
    said = json.loads(line(link))
    return said["SLURMD_NODENAME"], said["CUDA_VISIBLE_DEVICES"]


def rest(link: SrunLink) -> bytes:
    """All that a link brings until its end."""
    return b"".join(iter(link.read, b""))


def waits(link: SrunLink, *words: str) -> str:
    """Wait until a link says that it waits, with these words."""
    deadline = time.monotonic() + LIMIT
    while not link.waits_for() or not all(word in link.waits_for() for word in words):
        assert time.monotonic() < deadline, link.waits_for()
        time.sleep(0.1)
    return link.waits_for()


@contextlib.contextmanager
def a_user(slurm: SlurmCluster, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python of the cluster's user that runs this code, in a process group of its own."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=slurm.environ(), stdout=subprocess.PIPE, start_new_session=True) as user:
        yield user


def first_line(user: subprocess.Popen[bytes]) -> bytes:
    """What it says first."""
    assert user.stdout is not None
    return user.stdout.readline()


def srun_of(link: SrunLink) -> int:
    """The pid of a link's srun."""
    return link.pid


class TestBytes:
    """What goes through."""

    def test_come_as_they_were_sent(self, engine: SlurmEngine) -> None:
        """All values, some megabytes, in order."""
        link = engine.launch("gw0", 1, ECHO)
        sent = bytes(range(256)) * 12_000

        def send() -> None:
            for at in range(0, len(sent), 70_000):
                link.write(sent[at : at + 70_000])

        writer = threading.Thread(target=send)
        writer.start()
        got = bytearray()
        while len(got) < len(sent):
            data = link.read()
            assert data, link.end_words()
            got += data
        writer.join(LIMIT)
        assert got == sent

    def test_small_ones_are_not_kept_back(self, engine: SlurmEngine) -> None:
        """A byte without a line's end is there, both ways."""
        link = engine.launch("gw0", 0, ECHO)
        for number in range(20):
            link.write(bytes([number]))
            assert link.read() == bytes([number])

    def test_after_the_end_nobody_takes_any(self, engine: SlurmEngine) -> None:
        """Writing fails, reading says so."""
        link = engine.launch("gw0", 0, ["true"])
        assert rest(link) == b""
        assert link.end_words() == ""
        srun = link._srun.process
        srun.wait(LIMIT)
        with pytest.raises(OSError, match=r"ended|pipe"):
            link.write(b"x")

    def test_stderr_is_for_people(self, engine: SlurmEngine, capsys: pytest.CaptureFixture[str]) -> None:
        """What the program writes there is shown here, and is no word of SLURM's."""
        link = engine.launch("gw0", 0, ["sh", "-c", "echo help >&2; exit 3"])
        assert rest(link) == b""
        assert link.end_words() == ""
        assert "help" in capsys.readouterr().err


class TestGpus:
    """Who gets which."""

    def test_no_two_have_the_same(self, engine: SlurmEngine) -> None:
        """Four workers, four GPUs, on both hosts."""
        links = [engine.launch(f"gw{number}", 1, STAYS) for number in range(4)]
        assert {place(link) for link in links} == ALL_GPUS

    def test_a_worker_without_has_none(self, engine: SlurmEngine) -> None:
        """Also where all are taken."""
        links = [engine.launch(f"gw{number}", 2, STAYS) for number in range(2)]
        assert {place(link) for link in links} == {("n1", "0,1"), ("n2", "0,1")}
        assert json.loads(line(engine.launch("gw2", 0, STAYS)))["CUDA_VISIBLE_DEVICES"] is None

    def test_who_finds_none_waits_with_words(self, engine: SlurmEngine, environ: dict[str, str]) -> None:
        """And starts when one ends."""
        links = [engine.launch(f"gw{number}", 1, STAYS) for number in range(4)]
        places = [place(link) for link in links]
        fifth = engine.launch("gw4", 1, STAYS)
        waits(fifth, "a step of job" if "SLURM_JOB_ID" in environ else "is pending (")
        links[2].end()
        assert place(fifth) == places[2]
        assert fifth.waits_for() == ""

    def test_more_than_any_host_has(self, engine: SlurmEngine) -> None:
        """That worker could never start."""
        with pytest.raises(UsageProblem, match=r"a worker of 3 GPUs: no host of SLURM .* has more than 2"):
            engine.launch("gw0", 3, STAYS)


class TestEnds:
    """How workers end, and what is said of it."""

    def test_by_the_controller(self, engine: SlurmEngine, slurm: SlurmCluster) -> None:
        """One that runs, one that does not want to, and one that waits: nothing is left, nothing is said."""
        stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + HERE
        links = [
            engine.launch("gw0", 2, [sys.executable, "-c", stubborn]),
            engine.launch("gw1", 2, STAYS),
        ]
        for link in links:
            line(link)
        links.append(engine.launch("gw2", 1, STAYS))
        waits(links[2])
        for link in reversed(links):
            link.end()
            link.end()
            assert rest(link) == b""
        assert [link.end_words() for link in links] == [""] * 3
        slurm.until(lambda: not [pid for pid, line in slurm.processes().items() if "SLURMD_NODENAME" in line], "alive")

    def test_one_that_has_just_been_asked_for(self, engine: SlurmEngine) -> None:
        """At any moment of its start."""
        for pause in (0.0, 0.01, 0.03, 0.1, 0.2):
            link = engine.launch("gw0", 1, STAYS)
            time.sleep(pause)
            link.end()
            rest(link)

    def test_of_the_engine(self, environ: dict[str, str], slurm: SlurmCluster) -> None:
        """All that is left goes with it."""
        engine = SlurmEngine({}, environ)
        line(engine.launch("gw0", 1, STAYS))
        for number in range(1, 6):
            engine.launch(f"gw{number}", 1, STAYS)
        engine.close()
        slurm.until_empty(*([environ["SLURM_JOB_NAME"]] if "SLURM_JOB_ID" in environ else []))
        engine.close()

    def test_of_srun(self, engine: SlurmEngine) -> None:
        """Killed by somebody, it takes its job along."""
        link = engine.launch("gw0", 1, STAYS)
        line(link)
        os.kill(srun_of(link), signal.SIGKILL)
        assert rest(link) == b""
        assert link.end_words() == "its srun was ended by SIGKILL"

    def test_of_the_program_itself(self, engine: SlurmEngine) -> None:
        """Killed on its host."""
        link = engine.launch("gw0", 1, STAYS)
        os.kill(json.loads(line(link))["pid"], signal.SIGKILL)
        assert rest(link) == b""
        assert link.end_words().endswith("task 0: Killed")


class TestLostNodes:
    """Nodes come and go."""

    def test_one_that_is_powered_down(self, engine: SlurmEngine, slurm: SlurmCluster, environ: dict[str, str]) -> None:
        """Costs its own worker; what comes then goes elsewhere. In an allocation that takes ``--no-kill``."""
        links = [engine.launch(f"gw{number}", 2, STAYS) for number in range(2)]
        nodes = {place(link)[0]: link for link in links}
        slurm.power_down("n2")
        assert rest(nodes["n2"]) == b""
        assert nodes["n2"].end_words() == "node n2 failed"
        assert engine.room() == Room(2, 2, 1)
        assert nodes["n1"].poll() is None
        nodes["n1"].end()
        if "SLURM_JOB_ID" in environ:
            return  # SLURM 22.05 never frees the CPUs of steps that ran in an allocation when it lost a node
        assert place(engine.launch("gw2", 1, STAYS))[0] == "n1"


class TestJobs:
    """Outside of an allocation."""

    def test_the_room(self, outside: Start, slurm: SlurmCluster) -> None:
        """Of the partition that is meant; drained nodes do not count."""
        assert outside().room() == Room(4, 2, 2)
        assert outside(partition="small").room() == Room(2, 2, 1)
        slurm.run("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=test")
        assert outside().room() == Room(2, 2, 1)
        with pytest.raises(UsageProblem, match="no host of SLURM partition small that is up has a GPU"):
            outside(partition="small").launch("gw0", 1, STAYS)

    def test_what_it_is(self, outside: Start) -> None:
        """For pytest's header; a time limit is always set."""
        size = "2 hosts, 4 GPUs"
        assert outside().describe() == f"SLURM partition main ({size}), a job of at most 12:00:00 for each worker"
        assert "small (1 host, 2 GPUs), a job of at most 1:00:00" in outside(partition="small").describe()
        assert "at most 2:00:00 for" in outside(time="2:00:00").describe()

    def test_a_job_has_a_time_limit_and_a_name(self, outside: Start, slurm: SlurmCluster) -> None:
        """For those who look at the queue."""
        line(outside().launch("gw7", 1, STAYS))
        name, limit = slurm.run("squeue", "--noheader", "--format=%j %l").split()
        assert name.startswith("gpupool-gw7-")
        assert limit == "12:00:00"

    def test_cancelled_by_somebody(self, outside: Start, slurm: SlurmCluster) -> None:
        """Where it runs and where it waits."""
        engine = outside()
        links = [engine.launch(f"gw{number}", 2, STAYS) for number in range(2)]
        for link in links:
            line(link)
        links.append(engine.launch("gw2", 2, STAYS))
        waits(links[2], "Resources")
        for link in (links[0], links[2]):
            number = slurm.run("squeue", "--noheader", f"--name={link.name}", "--format=%i")
            slurm.run("scancel", number)
            rest(link)
            assert link.end_words() == f"job {number} was cancelled"

    def test_its_srun_killed_while_it_waits(self, outside: Start, slurm: SlurmCluster) -> None:
        """SLURM would keep the job, and place it with nobody there."""
        engine = outside()
        for number in range(2):
            line(engine.launch(f"gw{number}", 2, STAYS))
        link = engine.launch("gw2", 1, STAYS)
        waits(link)
        os.kill(srun_of(link), signal.SIGKILL)
        rest(link)
        slurm.until(lambda: link.name not in slurm.jobs(), "it is in the queue")

    def test_nobody_there_any_more(self, slurm: SlurmCluster) -> None:
        """With pytest, srun and all killed at once, a job ends when its program says that it is alone."""
        program = ["sh", "-c", f"echo; sleep 2; exit {GONE_STATUS}"]
        code = (
            "import time\n"
            "from pytest_gpupool.engines.slurm.engine import SlurmEngine\n"
            "engine = SlurmEngine({})\n"
            f"link = engine.launch('gw0', 1, {program})\n"
            "link.read(); print(link.pid, flush=True); time.sleep(1000)\n"
        )
        with a_user(slurm, code) as user:
            srun = int(first_line(user))
            os.killpg(srun, signal.SIGSTOP)  # it hears nothing of the other's end
            user.kill()
            os.killpg(srun, signal.SIGKILL)
        assert len(slurm.jobs()) == 1
        slurm.until_empty()

    def test_a_drained_node(self, outside: Start, slurm: SlurmCluster) -> None:
        """Goes on with what it has, and gets no more."""
        engine = outside(nodelist="n1")
        link = engine.launch("gw0", 2, STAYS)
        line(link)
        slurm.run("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=test")
        second = SlurmEngine.launch(engine, "gw1", 0, STAYS)
        assert "n1" in waits(second, "ReqNodeNotAvail")
        link.end()
        slurm.run("scontrol", "update", "NodeName=n1", "State=RESUME")
        assert place(second)[0] == "n1"

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"account": "x", "nonsense": "1"}, "unrecognized option '--nonsense=1'"),
            ({"time": "soon"}, "invalid --time specification"),
        ],
    )
    def test_what_srun_does_not_take(self, outside: Start, given: dict[str, str], words: str) -> None:
        """Its own words reach the user."""
        link = outside(**given).launch("gw0", 1, STAYS)
        rest(link)
        assert words.lower() in link.end_words().lower()

    def test_a_partition_that_is_not_there(self, outside: Start) -> None:
        """Is known before any worker starts."""
        with pytest.raises(UsageProblem, match="there is no partition nope"):
            outside(partition="nope")

    def test_a_user_who_is_killed(self, slurm: SlurmCluster) -> None:
        """With all of the process group: what runs ends, and what waits leaves the queue."""
        code = (
            "import sys, time\n"
            "from pytest_gpupool.engines.slurm.engine import SlurmEngine\n"
            "engine = SlurmEngine({})\n"
            "command = ['sh', '-c', 'echo; exec sleep 1000']\n"
            "links = [engine.launch(f'gw{n}', 2, command) for n in range(2)]\n"
            "[link.read() for link in links]\n"
            "links.append(engine.launch('gw2', 2, command))\n"
            "while 'pending' not in links[2].waits_for(): time.sleep(0.1)\n"
            "print('waits', flush=True); time.sleep(1000)\n"
        )
        with a_user(slurm, code) as user:
            assert first_line(user) == b"waits\n"
            os.killpg(user.pid, signal.SIGKILL)
        slurm.until_empty()


class TestSteps:
    """Within an allocation."""

    def test_what_it_is(self, slurm: SlurmCluster) -> None:
        """For pytest's header."""
        with slurm.allocation("--nodes=1", "--gpus=2", "--cpus-per-task=2") as within:
            engine = SlurmEngine({}, within)
            assert engine.describe() == f"SLURM allocation {within['SLURM_JOB_ID']} (1 host, 2 GPUs)"
            engine.close()

    def test_one_that_has_ended(self, slurm: SlurmCluster) -> None:
        """Its variables are still there."""
        with slurm.allocation("--nodes=1") as within:
            pass
        with pytest.raises(UsageProblem, match="has ended"):
            SlurmEngine({}, within)

    def test_with_less_memory_than_steps(self, slurm: SlurmCluster) -> None:
        """They share it, and all start."""
        with slurm.allocation("--nodes=1", "--gpus=2", "--cpus-per-task=2", "--mem=100") as within:
            engine = SlurmEngine({}, within)
            assert len({place(engine.launch(f"gw{number}", 1, STAYS)) for number in range(2)}) == 2
            engine.close()

    def test_cancelled_by_somebody(self, slurm: SlurmCluster) -> None:
        """With the step's number."""
        with slurm.allocation("--nodes=1", "--gpus=2") as within:
            engine = SlurmEngine({}, within)
            link = engine.launch("gw0", 1, STAYS)
            line(link)
            step = f"{within['SLURM_JOB_ID']}.0"
            assert slurm.steps(within["SLURM_JOB_ID"]) == [link.name]
            slurm.run("scancel", step)
            rest(link)
            assert link.end_words() == f"step {step} was cancelled"
            engine.close()

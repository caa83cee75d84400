"""What SLURM writes and reads: arguments, command lines, what it has, why a worker waits or has ended."""

from __future__ import annotations

import pytest

from pytest_gpupool.engines.slurm import arguments, command_line, endings, room, times
from pytest_gpupool.engines.slurm.client import Client, environ
from pytest_gpupool.engines.slurm.endings import Heard
from pytest_gpupool.engines.slurm.queue import Entry
from pytest_gpupool.engines.slurm.room import Found, Host
from pytest_gpupool.values.errors import UsageProblem

NONE = arguments.parse({})


def line(gpus: int, given: arguments.Arguments = NONE, *, within: bool = False, limited: bool = False) -> list[str]:
    """The options of srun for a worker."""
    found = Found((Host("n1", 2, 9), Host("n2", 4, 33)), "main", 3600 * 48)
    command = command_line.srun(
        "gpupool-gw0-1", gpus, ["run", "me"], arguments=given, found=found, within=within, limited=limited
    )
    assert command[0] == "srun"
    assert command[-2:] == ["run", "me"]
    return [word for word in command[1:-2] if word not in FIXED]


FIXED = ("--job-name=gpupool-gw0-1", "--ntasks=1", "--nodes=1", "--unbuffered", "--mpi=none")


class TestArguments:
    """What the site needs."""

    def test_are_handed_on_as_srun_reads_them(self) -> None:
        """Long ones, short ones, and those without a value."""
        given = arguments.parse({"--partition": "gpu,old", "-A": "me", "--requeue": None, "--unknown": "x"})
        assert list(given.words()) == ["--partition=gpu,old", "-A", "me", "--requeue", "--unknown=x"]

    def test_short_forms_are_understood(self) -> None:
        """Where their meaning counts here."""
        given = arguments.parse({"-p": "gpu", "-t": "5"})
        assert given.value("--partition") == "gpu"
        assert given.has("--time")
        assert not given.has("--cpus-per-task")

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("--ntasks", "2", "one task on one host; pytest's -n says how many"),
            ("-n", "2", "one task on one host"),
            ("-N2", None, "one task on one host"),
            ("--gres", "gpu:1", "gpupool(gpus=2)"),
            ("--gpus-per-task", "2", "--gpus-per-task=TYPE"),
            ("--gpus-per-task", None, "--gpus-per-task=TYPE"),
            ("--pty", None, "bytes"),
            ("--output", "x", "bytes"),
            ("--outp", "x", "bytes"),
            ("--overlap", None, "the same GPU"),
            ("--job-name", "x", "found again"),
            ("--cluster", "x", "export SLURM_CLUSTERS"),
            ("--jobid", "7", "salloc"),
            ("partition", "x", "as --partition=NAME"),
        ],
    )
    def test_what_would_break_a_worker_is_refused(self, name: str, value: str | None, words: str) -> None:
        """With what to do instead."""
        with pytest.raises(UsageProblem) as caught:
            arguments.parse({name: value})
        assert words in str(caught.value)
        assert f"--gpupool-engine-args={name}" in str(caught.value)

    @pytest.mark.parametrize("name", ["--mem", "--nodelist", "--exclude", "--exclusive", "--gres-flags", "--no-kill"])
    def test_what_resembles_it_is_not(self, name: str) -> None:
        """It only begins like another one."""
        assert arguments.parse({name: "x"}).has(name)


class TestCommandLines:
    """How srun is called."""

    def test_a_job(self) -> None:
        """Has its GPUs, and always a time limit."""
        assert line(2)[:2] == ["--gpus-per-task=2", "--time=12:00:00"]
        assert line(0)[:2] == ["--gres=none", "--time=12:00:00"]
        assert line(1, arguments.parse({"--time": "5"}))[:2] == ["--gpus-per-task=1", "--time=5"]
        assert line(1, limited=True)[:2] == ["--gpus-per-task=1", "sh"]

    def test_a_step(self) -> None:
        """Has its share of the allocation's CPUs, and no memory of its own."""
        assert line(1, within=True) == ["--gpus-per-task=1", "--exact", "--mem=0", "--cpus-per-task=4"]
        assert line(2, within=True)[-1] == "--cpus-per-task=8"
        assert line(0, within=True) == ["--gres=none", "--exact", "--mem=0", "--cpus-per-task=1"]
        given = arguments.parse({"-c": "2", "--mem": "3G"})
        assert line(1, given, within=True) == ["--gpus-per-task=1", "--exact", "-c", "2", "--mem=3G"]

    def test_a_type(self) -> None:
        """Goes with the number."""
        given = arguments.parse({"--gpus-per-task": "a100"})
        assert line(2, given, within=True)[0] == "--gpus-per-task=a100:2"
        assert line(0, given, within=True)[0] == "--gres=none"

    def test_the_environment(self) -> None:
        """What an allocation leaves is no option of a step's; what a user exports for all jobs is."""
        given = {
            "PATH": "/bin",
            "SLURM_CONF": "c",
            "SLURM_GPUS_PER_NODE": "2",
            "SLURM_PARTITION": "p",
            "SQUEUE_USERS": "x",
        }
        assert environ(given) == {"PATH": "/bin", "SLURM_CONF": "c", "SLURM_PARTITION": "p"}
        within = given | {"SLURM_JOB_ID": "7"}
        assert environ(within) == {"PATH": "/bin", "SLURM_CONF": "c", "SLURM_JOB_ID": "7"}

    def test_no_slurm_here(self) -> None:
        """Says where there is one."""
        with pytest.raises(UsageProblem, match="no srun here; start on a login node"):
            Client({"PATH": "/nowhere"})


class TestTimes:
    """SLURM's way to write them."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("5", 300),
            ("5:30", 330),
            ("2:00:00", 7200),
            ("1-2", 26 * 3600),
            ("2-01:02:03", 2 * 86400 + 3723),
            ("infinite", None),
            ("UNLIMITED", None),
            ("n/a", None),
            ("", None),
        ],
    )
    def test_read(self, text: str, seconds: int | None) -> None:
        assert times.seconds(text) == seconds

    def test_written(self) -> None:
        assert times.text(12 * 3600 + 61) == "12:01:01"


class TestRoom:
    """What there is."""

    @pytest.mark.parametrize(
        ("gres", "kind", "count"),
        [
            ("gpu:2", "", 2),
            ("gpu:a100:4(S:0-1)", "", 4),
            ("gpu:a100:4(S:0-1),gpu:v100:2(S:1),shard:8", "", 6),
            ("gpu:a100:4(S:0-1),gpu:v100:2(S:1)", "v100", 2),
            ("gpu:2(IDX:0,3)", "", 2),
            ("gpu", "", 1),
            ("(null)", "", 0),
            ("", "", 0),
            ("mps:gpu:4", "", 0),
        ],
    )
    def test_gpus_of_a_node(self, gres: str, kind: str, count: int) -> None:
        assert room.gpus_of(gres, kind) == count

    @pytest.mark.parametrize("state", ["idle", "mixed", "allocated", "idle~", "mixed#", "planned", "completing"])
    def test_nodes_that_count(self, state: str) -> None:
        assert room.usable(state)

    @pytest.mark.parametrize("state", ["down", "down*", "idle*", "drained", "draining", "fail", "maint", "unknown"])
    def test_nodes_that_do_not(self, state: str) -> None:
        assert not room.usable(state)

    def test_a_worker_needs_a_cpu(self) -> None:
        """More GPUs of a host than CPUs are of no use to more workers; one may have them all."""
        assert Found((Host("n1", 4, 2), Host("n2", 2, 8))).room == (4, 4, 2)
        assert Found(()).room == (0, 0, 0)


class TestWords:
    """Why a worker waits, and how it ended."""

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (["srun: error: Node failure on n2", "srun: error: Node failure on n2"], "node n2 failed"),
            (["slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-01-01T10:00:00 ***"], "step 8.0 was cancelled"),
            (
                [
                    "slurmstepd-n1: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-01-01T10:00:00 DUE TO TIME LIMIT ***",
                    "srun: error: n1: task 0: Terminated",
                ],
                "step 8.0 reached its time limit",
            ),
            (
                ["slurmstepd: error: *** JOB 8 ON n1 CANCELLED AT 2026-01-01T10:00:00 DUE TO NODE FAILURE, SEE ***"],
                "node n1 failed",
            ),
            (
                ["slurmstepd: error: Detected 1 oom-kill event(s) in StepId=8.0. Some of your processes may have been"],
                "its step needed more memory than it may have",
            ),
            (["srun: error: n1: task 0: Exited with exit code 3"], ""),
            (["srun: error: n1: task 0: Killed"], "srun: error: n1: task 0: Killed"),
            (["srun: unrecognized option '--x'", 'Try "srun --help"'], "srun: unrecognized option '--x'"),
            (["srun: job 8 queued and waiting for resources"], ""),
            ([], ""),
        ],
    )
    def test_by_what_srun_writes(self, lines: list[str], words: str) -> None:
        heard = Heard()
        for said in lines:
            heard.add(said)
        assert endings.words(None, heard, 1) == words

    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("NODE_FAIL", "node n1 failed"),
            ("CANCELLED", "job 8 was cancelled"),
            ("PREEMPTED", "job 8 had to give way to another one"),
            ("COMPLETED", ""),
            ("FAILED", ""),
        ],
    )
    def test_by_the_state_of_the_job(self, state: str, words: str) -> None:
        assert endings.words(Entry("8", state, "None", "n1", "x"), Heard(), 1) == words

    def test_by_both(self) -> None:
        """The step is all that the job is, which may not have come to its end yet."""
        heard = Heard()
        heard.add("slurmstepd: error: *** STEP 8.0 ON n1 CANCELLED AT 2026-01-01T10:00:00 ***")
        assert endings.words(Entry("8", "COMPLETING", "None", "n1", "x"), heard, 0) == "job 8 was cancelled"

    def test_of_srun_itself(self) -> None:
        assert endings.words(None, Heard(), -9) == "its srun was ended by SIGKILL"

    def test_what_is_the_programs_is_told_apart(self) -> None:
        """It is passed on."""
        heard = Heard()
        assert not heard.add("Traceback (most recent call last):")
        assert heard.add("srun: error: n1: task 0: Exited with exit code 1")
        assert heard.add("slurmstepd-n1: error: x")

    def test_waiting(self) -> None:
        """In SLURM's words, until it is placed."""
        heard = Heard()
        entry = Entry("8", "PENDING", "Priority", "", "x")
        assert endings.waiting("", entry, heard) == "job 8 is pending (Priority)"
        booting = entry._replace(state="CONFIGURING", hosts="n1")
        assert endings.waiting("", booting, heard) == "job 8 waits for n1 to start"
        heard.add("srun: job 8 has been allocated resources")
        assert endings.waiting("", entry, heard) == ""

    def test_a_step_that_waits(self) -> None:
        """SLURM does not list it; srun tells why after some time."""
        heard = Heard()
        assert endings.waiting("8", None, heard) == "a step of job 8 waits"
        heard.add("srun: Job 8 step creation temporarily disabled, retrying (Requested nodes are busy)")
        assert endings.waiting("8", None, heard) == "a step of job 8 waits (Requested nodes are busy)"
        heard.add("srun: Step created for job 8")
        assert endings.waiting("8", None, heard) == ""
        assert endings.waiting("8", Entry("8.0", "RUNNING", "", "n1", "x"), heard) == ""

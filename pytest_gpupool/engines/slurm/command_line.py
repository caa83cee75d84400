"""The command line: how srun is called for one worker, as a job of its own or as a step of the allocation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..frames import GONE_STATUS
from . import times
from .arguments import Arguments
from .room import Found

DEFAULT_LIMIT = 12 * 3600
"""Seconds that a worker's own job may last where nobody says so. None is without a limit: were all of the run killed
at once, its srun too, nobody else would end a job whose host hangs."""

# The allocation of a job that srun has made is ended by srun, not by the end of what runs in it: without srun, and with
# nobody there that the program could serve, it would stay.
# The shell says nothing of its own, and ends as the program did.
_IN_OWN_JOB = f"""
exec 3>&2 2>/dev/null
"$@" 2>&3 3>&-
status=$?
[ $status -ne {GONE_STATUS} ] || scancel --quiet "$SLURM_JOB_ID"
[ $status -le 128 ] || kill -$((status - 128)) $$
exit $status
"""


def srun(
    name: str, gpus: int, command: Sequence[str], *, arguments: Arguments, found: Found, within: bool, limited: bool
) -> list[str]:
    """Return the command that runs a program for one worker.

    ``within`` is whether it is a step, ``limited`` whether a time limit of the site's or the allocation's holds anyway.
    """
    fixed = ["srun", f"--job-name={name}", "--ntasks=1", "--nodes=1", "--unbuffered", "--mpi=none"]
    if within:
        return [*fixed, *_step(gpus, arguments, found), *arguments.words(), *command]
    limit = [] if limited or arguments.has("--time") else [f"--time={times.text(own_limit(found))}"]
    return [*fixed, *_gpus(gpus, arguments), *limit, *arguments.words(), "sh", "-c", _IN_OWN_JOB, "sh", *command]


def own_limit(found: Found) -> int:
    """Return the time limit of a worker's job in seconds, where nobody says one."""
    return min(DEFAULT_LIMIT, found.longest or DEFAULT_LIMIT)


def _gpus(gpus: int, arguments: Arguments) -> list[str]:
    # Not --gpus: of several hosts it would be the sum. A step with nothing said has all that its allocation has.
    kind = f"{arguments.gpu_type}:" if arguments.gpu_type and gpus else ""
    return [f"--gpus-per-task={kind}{gpus}"] if gpus else ["--gres=none"]


def _step(gpus: int, arguments: Arguments, found: Found) -> Iterator[str]:
    yield from _gpus(gpus, arguments)
    yield "--exact"  # else a step takes whole hosts, and the next one waits
    if not arguments.has("--mem", "--mem-per-cpu", "--mem-per-gpu"):
        yield "--mem=0"  # all the allocation's memory, shared by its steps; else the first one takes all of it
    if not arguments.has("--cpus-per-task", "--cpus-per-gpu"):
        yield f"--cpus-per-task={_cpus(gpus, found)}"


def _cpus(gpus: int, found: Found) -> int:
    """Return how many CPUs go with so many GPUs: as many with each, and one of each host is left for who has none."""
    shares = [(host.cpus - 1) // host.gpus for host in found.hosts if host.gpus]
    return max(1, min(shares, default=1) * gpus)

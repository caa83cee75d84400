"""The client: SLURM's own programs, run for what they say, and the environment in which they are run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

from ...values.errors import UsageProblem

JOB = "SLURM_JOB_ID"
"""The allocation within which this process runs, where it runs within one."""

_SECONDS = 60.0  # as busy as a controller may be: its clients themselves try for that long

_KEPT = {
    # Which cluster, which allocation, and who asks.
    *(JOB, "SLURM_JOBID", "SLURM_CONF", "SLURM_CLUSTERS", "SLURM_WORKING_CLUSTER", "SLURM_JWT"),
    # Where the hosts of an allocation are, where they come and go.
    *("SLURM_NODE_ALIASES", "SLURM_NODE_ADDRS"),
}
_SITE = {
    f"SLURM_{name}"
    for name in ("ACCOUNT", "PARTITION", "QOS", "RESERVATION", "CONSTRAINT", "CLUSTER_CONSTRAINT", "WCKEY", "TIMELIMIT")
}
"""What a user exports once for all jobs; within an allocation it is decided."""


def environ(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for SLURM's programs.

    An allocation leaves many variables that srun reads as options, ``SLURM_GPUS_PER_NODE`` for one: each worker would
    get all GPUs of its host. Others change what squeue and sinfo show.
    """
    kept = _KEPT if JOB in given else _KEPT | _SITE
    ours = ("SLURM_", "SRUN_", "SQUEUE_", "SINFO_", "SCANCEL_")
    return {name: value for name, value in given.items() if name in kept or not name.startswith(ours)}


class Client:
    """Runs SLURM's programs.

    Raises:
        UsageProblem: they are not there.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self.environ = environ(given)
        self.allocation = self.environ.get(JOB, "")
        """The number of the job within which all this runs; empty outside of any."""
        self.site = {name: self.environ[name] for name in _SITE if name in self.environ}
        if shutil.which("srun", path=self.environ.get("PATH")) is None:
            raise UsageProblem("--gpupool-engine=slurm: there is no srun here; start on a login node of the cluster")

    def ask(self, *command: str) -> str:
        """Run one of them and return what it says.

        Raises:
            UsageProblem: it fails, with its own words.
        """
        done = self._run(*command)
        if done is None:
            raise UsageProblem(f"--gpupool-engine=slurm: {command[0]} has not answered for {_SECONDS:.0f} s")
        if done.returncode != 0:
            words = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
            raise UsageProblem(f"--gpupool-engine=slurm: {words[-1]}")
        return done.stdout

    def try_to(self, *command: str) -> str:
        """Run one of them and return what it says, nothing where it fails."""
        done = self._run(*command)
        return done.stdout if done is not None and done.returncode == 0 else ""

    def _run(self, *command: str) -> subprocess.CompletedProcess[str] | None:
        try:
            return subprocess.run(
                command,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                start_new_session=True,  # Ctrl-C is not meant for it
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None

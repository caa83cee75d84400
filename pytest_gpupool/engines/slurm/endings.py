"""Endings: what srun and SLURM say of a worker's job or step, put into a clause for people."""

from __future__ import annotations

import re
import signal

from .queue import Entry

_KEPT_LINES = 50

_BY_STATE = {
    "NODE_FAIL": "node {hosts} failed",
    "BOOT_FAIL": "node {hosts} did not start",
    "CANCELLED": "job {number} was cancelled",
    "TIMEOUT": "job {number} reached its time limit (--gpupool-engine-args=--time=… gives it more)",
    "DEADLINE": "job {number} reached its deadline",
    "OUT_OF_MEMORY": "job {number} needed more memory than it may have (--gpupool-engine-args=--mem=… gives it more)",
    "PREEMPTED": "job {number} had to give way to another one",
}
"""By the state in which SLURM has a job that has ended."""

_BY_LINE = (
    (re.compile(r"Node failure on (?P<hosts>\S+)"), "node {hosts} failed"),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON (?P<hosts>\S+) CANCELLED .* DUE TO NODE FAILURE"), "node {hosts} failed"),
    (re.compile(r"\*\*\* (?P<what>(?:JOB|STEP) \S+) ON .* DUE TO TIME LIMIT"), "{what} reached its time limit"),
    (re.compile(r"\*\*\* (?P<what>(?:JOB|STEP) \S+) ON .* DUE TO PREEMPTION"), "{what} had to give way to another job"),
    (re.compile(r"oom[-_ ]?kill|Out Of Memory|OOM Killed", re.I), "its step needed more memory than it may have"),
    (re.compile(r"\*\*\* (?P<what>(?:JOB|STEP) \S+) ON \S+ CANCELLED"), "{what} was cancelled"),
)
"""By what srun writes, the surest first. Of a step nothing else tells."""

_NOT_NOW = re.compile(
    r"Requested nodes are busy|Memory required by task is not available|Insufficient GRES available"
    r"|Too many job steps on node|Slurm is busy|step creation (temporarily|still) disabled$"
    r"|\w*MaxSubmit\w*|Job violates accounting/QOS policy"
)
"""Refusals for what other workers may hold."""
_LIMIT = re.compile(r"(QOS|Assoc)\w+")  # a line of its own before the refusal

_OF_SLURM = re.compile(r"(srun|slurmstepd[^:]*): ")
_WORDS = re.compile(r"(srun|slurmstepd[^:]*): (error|fatal): |srun: (unrecognized|invalid|option|unknown)", re.I)
_EXIT_STATUS = re.compile(r"Exited with exit code")  # the program's own doing
_WAITS = re.compile(r"step creation temporarily disabled, retrying \((?P<why>.*)\)")
_PLACED = re.compile(r"srun: (Step created for |job \S+ has been allocated resources)")


class Heard:
    """What srun has written to stderr, as far as it is SLURM's own."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.step_waits = ""
        """Why a step waits, in srun's words; empty where it has said nothing, or does not wait any more."""
        self.placed = False
        """Whether it has said that it waits no more. It may have started at once without a word."""

    def add(self, line: str) -> bool:
        """Keep a line; return whether it is SLURM's, not the program's."""
        if _OF_SLURM.match(line) is None and "slurmstepd" not in line:
            return False
        if found := _WAITS.search(line):
            self.step_waits = found["why"]
        elif _PLACED.match(line):
            self.step_waits, self.placed = "", True
        self._lines = [*self._lines[1 - _KEPT_LINES :], line]
        return True

    def words(self) -> str:
        """Return what these lines say of the end."""
        for pattern, words in _BY_LINE:
            for line in self._lines:
                if found := pattern.search(line):
                    known = {name: _lower(value.rstrip(",")) for name, value in found.groupdict().items()}
                    return words.format(**known)
        return self.errors()[-1] if self.errors() else ""

    def errors(self) -> list[str]:
        """Return the lines that tell of what is wrong, but for the program's own doing."""
        return [line for line in self._lines if _WORDS.match(line) and not _EXIT_STATUS.search(line)]


def refusal(heard: Heard) -> str:
    """Return the words by which a worker was refused for what others may hold; empty where it was not."""
    errors = [line.removeprefix("srun: error: ") for line in heard.errors()]
    if heard.placed or not errors or not _NOT_NOW.search(errors[-1]):
        return ""
    limits = [error for error in errors if _LIMIT.fullmatch(error)]
    if not limits:
        return errors[-1]
    # Another limit, as of a job's time, will be the same the next time.
    return f"{errors[-1]}: {limits[-1]}" if "MaxSubmit" in limits[-1] else ""


def words(job: Entry | None, heard: Heard, status: int | None) -> str:
    """Return how a worker's srun ended that is not the program's doing; empty where that is nothing."""
    if status is not None and status < 0:
        return f"its srun was ended by {signal.Signals(-status).name}"
    if job is None:
        return heard.words()
    if job.state in _BY_STATE:
        return _BY_STATE[job.state].format(number=job.number, hosts=job.hosts)
    # Its step is all of it. SLURM may not have come to the end of the job by now.
    return re.sub(r"^step \d+\.\d+", f"job {job.number}", heard.words())


def waiting(allocation: str, entry: Entry | None, heard: Heard) -> str:
    """Return why a worker is not placed yet; empty where SLURM says nothing, or has placed it."""
    if entry is None and allocation and not heard.placed:
        # srun tells why, but only when it has asked again, after a minute or more.
        return f"a step of job {allocation} waits" + (f" ({heard.step_waits})" if heard.step_waits else "")
    if entry is None:
        return ""
    if entry.state == "PENDING" and not heard.placed:
        return f"job {entry.number} is pending ({entry.reason})"
    return f"job {entry.number} waits for {entry.hosts} to start" if entry.state == "CONFIGURING" else ""


def _lower(text: str) -> str:
    """Return SLURM's ``STEP 12.0`` as people write it."""
    return re.sub(r"^(JOB|STEP)\b", lambda found: found[0].lower(), text)

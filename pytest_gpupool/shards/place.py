"""The place: which of how many shards a machine runs, as the user or the CI system says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..values.errors import UsageProblem

AUTO = "auto"
"""What stands for what the CI system's variables say."""

MOST = 10_000
"""More shards than this are a mistake."""

EXPECTED = f"I/N with I from 1 to N, such as 2/4, N at most {MOST}, or 'auto'"
"""What may be given, for a message."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard ``index``, from 1, of ``count``."""

    index: int
    count: int

    def __str__(self) -> str:
        """Return it as users write it."""
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True)
class _System:
    """A CI system, and by which variables it tells a job which one it is of how many, from which number on."""

    name: str
    index: str
    count: str
    first: int


SYSTEMS = (
    _System("any", "GPUPOOL_SHARD_INDEX", "GPUPOOL_SHARD_TOTAL", 1),
    _System("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
    _System("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
    _System("Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
    _System("Azure Pipelines", "SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE", 1),
)
"""In which order they are asked. GitHub Actions has no variables for it: a job's ``env`` sets the first ones."""


def parse(text: str, environ: Mapping[str, str]) -> Shard:
    """Read a shard as a user writes it; for ``auto`` ask the CI system's variables.

    Raises:
        ValueError: it is none.
        UsageProblem: the variables do not tell.
    """
    if text.strip() == AUTO:
        return _of_ci(environ)
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text, re.ASCII)
    if match is None:
        raise ValueError(text)
    return _checked(int(match[1]), int(match[2]))


def _checked(index: int, count: int) -> Shard:
    if not 1 <= index <= count <= MOST:
        raise ValueError(f"{index}/{count}")
    return Shard(index, count)


def _number(text: str) -> int:
    """Read what a CI system writes: digits, as in ``--gpupool-shard``. Raises ValueError."""
    if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) is None:
        raise ValueError(text)
    return int(text)


def _of_ci(environ: Mapping[str, str]) -> Shard:
    for system in SYSTEMS:
        index, count = environ.get(system.index, ""), environ.get(system.count, "")
        if not index and count in ("", "1"):
            continue  # not this system, or one that has not divided the job
        try:
            return _checked(_number(index) + 1 - system.first, _number(count))
        except ValueError:
            last = f"{system.count}{' - 1' if not system.first else ''}"
            raise UsageProblem(
                f"--gpupool-shard=auto: {system.index}={index!r} and {system.count}={count!r}: "
                f"set both, the first from {system.first} to {last}, the other to {MOST} at most"
            ) from None
    if any(environ.get(system.count) == "1" for system in SYSTEMS):
        return Shard(1, 1)
    if environ.get("GITHUB_ACTIONS"):
        raise UsageProblem(
            "--gpupool-shard=auto: GitHub Actions does not say which shard this is; set in the job's env "
            "GPUPOOL_SHARD_INDEX: ${{ matrix.shard }} and GPUPOOL_SHARD_TOTAL: ${{ strategy.job-total }}"
        )
    known = ", ".join(f"{system.index} and {system.count}" for system in SYSTEMS)
    raise UsageProblem(
        f"--gpupool-shard=auto: no CI system says which shard this is; known are {known}; give I/N, such as 2/4"
    )

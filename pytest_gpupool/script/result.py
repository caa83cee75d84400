"""The result of a script: what it has left, and how it failed."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..values.errors import GpupoolError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """What a script left.

    ``stdout`` and ``stderr`` are the last 4 MiB of each; ``duration`` is in seconds; ``metrics`` has values by name. Of
    several ranks the output is that of rank 0; ``returned`` has what a function has returned, rank by rank.
    """

    returncode: int
    stdout: str
    stderr: str
    duration: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    returned: tuple[Any, ...] = ()


class ScriptError(GpupoolError):
    """A script that cannot be started, failed, took too long, or gave metrics that are none."""


def status_text(returncode: int) -> str:
    """Return how a process ended: ``exit status 3``, or ``signal 9 (SIGKILL)``."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        name = f" ({signal.Signals(-returncode).name})"
    except ValueError:
        name = ""
    return f"signal {-returncode}{name}"


ScriptError.__module__ = __name__.rpartition(".")[0]  # from where users import it

"""Engines by name."""

from __future__ import annotations

from collections.abc import Mapping

from ..values.errors import UsageProblem
from .engine import Engine

LOCAL = "local"
"""No engine: workers are processes of this host."""
NAMES = (LOCAL, "ray", "slurm")


def engine(name: str, arguments: Mapping[str, str | None]) -> Engine:
    """Return the engine of that name, which finds its cluster; the arguments are what the site needs.

    Raises:
        UsageProblem: there is no such cluster, its client is not installed, or it does not know an argument.
    """
    # Only here: each costs what its cluster's client costs to import.
    if name == "slurm":
        from .slurm.engine import SlurmEngine

        return SlurmEngine(arguments)
    if name == "ray":
        from .ray.engine import RayEngine

        return RayEngine(arguments)
    raise UsageProblem(f"--gpupool-engine={name}: give one of {', '.join(NAMES)}")

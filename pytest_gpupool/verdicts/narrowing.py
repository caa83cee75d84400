"""Narrowing: whether a run may have left out tests that are there. Pure: standard library only, no clock, no files."""

from __future__ import annotations

import re
import shlex

# What makes pytest, or a plugin that many use, collect a part of a file alone.
_SHORT = re.compile(r"-[qvsxhl]*[km]")
_LONG = frozenset(
    {"--deselect", "--gpupool-select", "--lf", "--last-failed", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip"}
    | {"--splits", "--num-shards", "--testmon", "--gpupool-shard"}
)


def is_narrowed(command: str) -> bool:
    """Say whether a command line of pytest may have left out tests of a file that it collected."""
    try:
        _, *args = shlex.split(command)
    except ValueError:
        return True
    return any(
        _SHORT.match(arg) or arg.split("=")[0] in _LONG if arg.startswith("-") else "::" in arg or arg.startswith("@")
        for arg in args
    )

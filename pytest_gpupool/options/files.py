"""Files: what a run or a command writes goes to files of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from ..values.errors import UsageProblem


def refuse_same(files: Mapping[str, Path | None]) -> None:
    """Refuse two files that are one, by whatever name: who is written last would take away what the other one has.

    ``files`` are by the option that names each. Pipes and devices take several, one after the other.

    Raises:
        UsageProblem: naming both options.
    """
    given = [(name, path) for name, path in files.items() if path is not None and not _takes_several(path)]
    for (name, path), (other, same) in combinations(given, 2):
        if _are_same(path, same):
            raise UsageProblem(f"{name} and {other} are the same file, {path}: give each one of its own")


def _takes_several(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _are_same(one: Path, other: Path) -> bool:
    try:
        return os.path.realpath(one) == os.path.realpath(other) or one.samefile(other)
    except OSError:  # one is not there yet
        return False

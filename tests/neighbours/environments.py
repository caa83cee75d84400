"""Two virtual environments that differ in one thing: whether pytest-gpupool is installed.

Each has links to what this environment has of the distributions that a suite and pytest-gpupool need, and to nothing
else: no other plugin, and where ours is left out neither its package nor its entry points, whatever process a suite
starts, and whatever variables it clears.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import recorded_outcomes
from packaging.requirements import Requirement

import pytest_gpupool

OURS = "pytest-gpupool"


def make(directory: Path, needs: Iterable[str], *, ours: bool) -> Path:
    """Make an environment for these distributions and what ours needs, with ours or without; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    base = {"base": str(directory), "platbase": str(directory)}
    packages = Path(sysconfig.get_path("purelib", "venv", base))
    for name in _with_requirements([OURS, *needs]) - {OURS}:
        _link(packages, _top_levels(name))
    if ours:
        # An editable installation names the package in a .pth file only, which has the whole checkout imported.
        package = Path(pytest_gpupool.__file__).parent
        _link(packages, {package, *(path for path in _top_levels(OURS) if path.suffix == ".dist-info")})
    _link(packages, {Path(recorded_outcomes.__file__)})
    return directory / "bin" / "python"


def _with_requirements(names: Iterable[str]) -> set[str]:
    """Return the names of these distributions and of all that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _requirements(name)
    return found


def _requirements(name: str) -> Iterator[str]:
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name.lower().replace("_", "-")


def _top_levels(name: str) -> set[Path]:
    """Return the files and folders of a distribution that lie in site-packages itself."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    return {Path(str(distribution.locate_file(top))) for top in tops}


def _link(packages: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        (packages / path.name).symlink_to(path)

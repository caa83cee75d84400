"""The role: what this process is in a run, by pytest's and xdist's options, the ini file and the environment."""

from __future__ import annotations

import glob
import os
import sys
from enum import Enum, auto
from pathlib import Path
from typing import Any

import pytest


class Role(Enum):
    """What this process is in a run."""

    OFF = auto()  # leases nothing, writes nothing
    CONTROLLER = auto()  # gives tests to workers
    WORKER = auto()  # holds a lease and runs tests
    SINGLE_PROCESS = auto()  # both, without xdist


def role_of(config: pytest.Config, *, is_worker: bool) -> Role:
    """Say what this process is. ``is_worker``: it was started by our own worker program, and has its lease."""
    if is_worker:
        return Role.WORKER
    if only_informs(config) or not _is_on(config) or _is_inside_a_lease() or _is_foreign_worker():
        return Role.OFF
    return Role.CONTROLLER if _is_distributed(config) else Role.SINGLE_PROCESS


def only_informs(config: pytest.Config) -> bool:
    """Say whether pytest will run no test, only tell of something."""
    names = (
        "help",
        "version",
        "collectonly",
        "markers",
        "showfixtures",
        "show_fixtures_per_test",
        "cacheshow",
    )
    return any(getattr(config.known_args_namespace, name, None) for name in names)


def _is_on(config: pytest.Config) -> bool:
    if not config.getini("gpupool"):
        return False
    folders = [(config.rootpath / folder).resolve() for folder in config.getini("gpupool_paths")]
    return not folders or all(any(path.is_relative_to(folder) for folder in folders) for path in _arguments(config))


def _arguments(config: pytest.Config) -> list[Path]:
    """Return the paths that this run is about, by pytest's own rules."""
    start = config.invocation_params.dir
    named = [start / arg.split("::", 1)[0] for arg in config.known_args_namespace.file_or_dir]
    if named:
        # Options of a conftest.py are not known yet: their values look like arguments, but are no paths.
        return [path.resolve() for path in named if path.exists()] or [path.resolve() for path in named]
    testpaths: list[str] = config.getini("testpaths") if start == config.rootpath else []
    # They may be patterns, which pytest expands in the same way.
    found = [path for pattern in testpaths for path in glob.iglob(pattern, root_dir=start, recursive=True)]  # noqa: PTH207
    return [(start / path).resolve() for path in found] or [start.resolve()]


def _is_inside_a_lease() -> bool:
    # pytest called by a test or script that has devices already: these are its devices too.
    return "GPUPOOL_RUN" in os.environ


def _is_foreign_worker() -> bool:
    # A worker of a run in which this plugin is off. execnet starts it by "python -c"; a pytest that a test starts
    # inherits the variable, but not the command line.
    return "PYTEST_XDIST_WORKER" in os.environ and sys.argv[:1] == ["-c"]


def _is_distributed(config: pytest.Config) -> bool:
    """Say by xdist's own rules whether it will start workers."""
    given: Any = config.known_args_namespace
    if not hasattr(given, "numprocesses"):
        return False  # xdist is not there
    if given.numprocesses in ("auto", "logical"):
        return not getattr(given, "usepdb", False)
    if given.numprocesses is not None:
        return bool(given.numprocesses)
    return (given.dist != "no" or given.distload) and bool(given.tx)

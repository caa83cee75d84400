"""The role: what this process is in a run, by pytest's and xdist's options, the ini file and the environment.

It is asked for early, since a lease has to come before any conftest.py, and again when more is known.
"""

from __future__ import annotations

import os
import sys
from enum import Enum, auto
from typing import Any

import pytest

from ..foreign import xdist_protocol
from ..values.errors import UsageProblem
from . import parsing, paths


class Role(Enum):
    """What this process is in a run."""

    OFF = auto()  # leases nothing, writes nothing
    ELSEWHERE = auto()  # the same, since this is not Linux
    CONTROLLER = auto()  # gives tests to workers
    WORKER = auto()  # holds a lease and runs tests
    SINGLE_PROCESS = auto()  # both, without xdist
    PLANNED = auto()  # collects tests and says what their run would be like


class Known(Enum):
    """How much is known of the options when the role is asked for."""

    EARLY = auto()  # no conftest.py was loaded, so that options of its own look like paths
    PARSED = auto()  # all, as it was typed and as plugins have changed that
    SETTLED = auto()  # xdist and every pytest_cmdline_main have done with them what they do


def role_of(
    config: pytest.Config, *, is_worker: bool, within_worker: bool, known: Known = Known.EARLY
) -> tuple[Role, str | None]:
    """Say what this process is for a configuration of pytest, and why the pool is off where options say so.

    ``is_worker``: it was started by our own worker program, and has its lease. ``within_worker``: it is such a worker,
    and a test in it has called pytest.

    Raises:
        UsageProblem: an option or ini value that decides it makes no sense.
    """
    if is_worker:
        return Role.WORKER, None
    if only_informs(config) or (_is_foreign_worker() and not within_worker):
        return Role.OFF, None
    if not parsing.ini_flag(config, "gpupool"):
        return Role.OFF, "by the ini file"
    if (stray := paths.outside(config, early=known is Known.EARLY)) is not None:
        return Role.OFF, stray
    if not sys.platform.startswith("linux"):
        return Role.ELSEWHERE, None
    if parsing.Source(config).flag("gpupool-plan"):
        return Role.PLANNED, None
    return (Role.CONTROLLER if _is_distributed(config, known) else Role.SINGLE_PROCESS), None


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


def changed_too_late(config: pytest.Config, role: Role) -> str | None:
    """Return, as the session starts, what is wrong where xdist does not do what this process's role needs."""
    if role not in (Role.CONTROLLER, Role.SINGLE_PROCESS):
        return None
    if config.pluginmanager.hasplugin(xdist_protocol.SESSION) is (role is Role.CONTROLLER):
        return None
    what = "has taken back" if role is Role.CONTROLLER else "has added"
    return (
        f"a plugin or conftest.py {what} workers (--dist, --tx) in its pytest_configure, after the pool was set up: "
        "give -n on the command line or in the ini value addopts, or set it in pytest_cmdline_main or "
        "pytest_xdist_auto_num_workers"
    )


def _is_foreign_worker() -> bool:
    # A worker of a run in which this plugin is off. execnet starts it by "python -c"; a pytest that a test starts
    # inherits the variable, but not the command line.
    return "PYTEST_XDIST_WORKER" in os.environ and sys.argv[:1] == ["-c"]


def _is_distributed(config: pytest.Config, known: Known) -> bool:
    """Say by xdist's own rules whether it will start workers."""
    given: Any = config.known_args_namespace if known is Known.EARLY else config.option
    if not hasattr(given, "numprocesses"):
        return False  # xdist is not there
    if known is Known.SETTLED:
        return bool(given.dist != "no" and given.tx)
    if given.numprocesses in ("auto", "logical"):
        return not getattr(given, "usepdb", False)
    if given.numprocesses is not None:
        if given.numprocesses < 0:
            raise UsageProblem(f"-n {given.numprocesses}: give a number of workers from 0, or auto")
        return bool(given.numprocesses)
    return (given.dist != "no" or given.distload) and bool(given.tx)

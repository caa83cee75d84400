"""Companions: the options of pytest, xdist and pytest-cov that matter here, also before all are parsed."""

from __future__ import annotations

from typing import Any

import pytest


def distribution_mode(config: pytest.Config) -> str:
    """Return xdist's ``--dist``, ``no`` where xdist is not there."""
    return str(_given(config, "dist", "no"))


def runs_each(config: pytest.Config) -> bool:
    """Whether every worker runs every test."""
    # As a run begins, config.option has the default still, and nothing later makes it this mode.
    return bool(getattr(config.known_args_namespace, "dist", "no") == "each")


def groups_by_mark(config: pytest.Config) -> bool:
    """Whether xdist's mark ``xdist_group`` says which tests stay together. xdist keeps that apart from its mode."""
    return bool(config.getoption("loadgroup", False))


def largest_group_first(config: pytest.Config) -> bool:
    """Whether xdist's ``--no-loadscope-reorder`` was not given."""
    return bool(config.getoption("loadscopereorder", True))


def debugs(config: pytest.Config) -> bool:
    """Whether a debugger may take the terminal. Any of pytest's own plugins may be off, and with it its options."""
    return bool(_given(config, "usepdb", False) or _given(config, "trace", False))


def captures(config: pytest.Config) -> bool:
    """Whether pytest captures what tests write."""
    return bool(_given(config, "capture", "no") != "no")


def is_quiet(config: pytest.Config) -> bool:
    """Whether the user asked for quiet."""
    return bool(_given(config, "verbose", 0) < 0)


def keep_coverage(config: pytest.Config) -> None:
    """Have pytest-cov, where it is there, add to the data that it finds."""
    if hasattr(config.known_args_namespace, "cov_append"):
        config.known_args_namespace.cov_append = True


def _given(config: pytest.Config, name: str, default: Any) -> Any:
    # Until the command line is parsed whole, pytest knows of it what it could make out without conftest.py files.
    return getattr(config.option, name, getattr(config.known_args_namespace, name, default))

"""Scope: where a run looks for tests, so that it is known which of a baseline's it should have found."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import collection, parsing

_NARROWING = (
    *("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "pyargs", "lf", "stepwise"),
    *("stepwise_skip", "splits", "num_shards", "testmon"),
)
"""Options of pytest, or of plugins that many use, by which a run leaves out tests of what it is given."""


def paths(config: pytest.Config) -> list[str] | None:
    """Return the files and folders that the run's tests are collected from, relative to rootdir, which is empty.

    None where an option leaves out tests of these, as one for a shard does.
    """
    return None if parsing.Source(config).text("gpupool-shard") is not None else of_all_shards(config)


def of_all_shards(config: pytest.Config) -> list[str] | None:
    """Return the same of all shards together."""
    if is_narrowed(config):
        return None
    found = []
    for argument in config.args:
        path = (config.invocation_params.dir / argument).resolve()
        if "::" in argument or argument.startswith("@") or not path.exists():
            return None
        found += _within(path, config.rootpath.resolve())
    return found


def is_narrowed(config: pytest.Config) -> bool:
    """Say whether an option leaves out tests of what the run is given."""
    return any(getattr(config.option, name, None) for name in _NARROWING) or collection.selects(config)


def _within(path: Path, root: Path) -> list[str]:
    if root.is_relative_to(path):
        return [""]
    return [path.relative_to(root).as_posix()] if path.is_relative_to(root) else []

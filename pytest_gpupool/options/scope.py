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

    None where something leaves out tests of these, as a shard does.
    """
    return None if parsing.Source(config).text("gpupool-shard") is not None else of_all_shards(config, others=0)


def of_all_shards(config: pytest.Config, *, others: int) -> list[str] | None:
    """Return the same of all shards together; ``others`` are how many tests were left to other shards here."""
    if any(getattr(config.option, name, None) for name in _NARROWING) or collection.selects(config):
        return None
    found = []
    for argument in config.args:
        path = (config.invocation_params.dir / argument).resolve()
        if "::" in argument or argument.startswith("@") or not path.exists():
            return None
        found += _within(path, config.rootpath.resolve())
    reporter = config.pluginmanager.getplugin("terminalreporter")
    deselected = 0 if reporter is None else len(reporter.stats.get("deselected", ()))
    return None if deselected > others else found


def _within(path: Path, root: Path) -> list[str]:
    if root.is_relative_to(path):
        return [""]
    return [path.relative_to(root).as_posix()] if path.is_relative_to(root) else []

"""Paths: what a run is about, for ``gpupool_paths``: by pytest's own rules, as far as its arguments are known."""

from __future__ import annotations

import glob
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest


def outside(config: pytest.Config, *, early: bool) -> str | None:
    """Return why ``gpupool_paths`` switches the pool off, for people; None where it does not.

    ``early``: options of a conftest.py are not known yet, so that a word may be a path or such an option's value. What
    may be one is taken for one where that leaves the pool on: to take the lease too late is worse than to give it back.
    """
    names: list[str] = config.getini("gpupool_paths")
    if not names:
        return None
    folders = [(config.rootpath / name).resolve() for name in names]
    words = _early_words(config) if early else [(arg, False) for arg in config.args]
    if not words:
        words = [(str(path), False) for path in _unnamed(config)]
    pyargs = bool(getattr(config.known_args_namespace, "pyargs", False))
    found = [(word, doubtful, _path(config, word, pyargs=pyargs, early=early)) for word, doubtful in words]
    stray = [(word, doubtful) for word, doubtful, path in found if not _lies_in(path, folders)]
    if not stray or (len(stray) < len(found) and all(doubtful for _, doubtful in stray)):
        return None
    shown = next((word for word, doubtful in stray if not doubtful), stray[0][0])
    return f"by gpupool_paths: {_short(shown)} lies in none of {', '.join(names)}"


def _early_words(config: pytest.Config) -> list[tuple[str, bool]]:
    """Return the words that pytest takes for arguments by now, and of each whether it may be an option's value."""
    named = list(config.known_args_namespace.file_or_dir)
    typed = list(config.invocation_params.args)
    after_option = {word for before, word in pairwise(typed) if before.startswith("-") and "=" not in before}
    exists = [word for word in named if _exists(config.invocation_params.dir / _file_of(word))]
    return [(word, word in after_option) for word in exists or named]


def _unnamed(config: pytest.Config) -> Iterable[Path]:
    """Return what pytest collects where nothing is named."""
    start = config.invocation_params.dir
    testpaths: list[str] = config.getini("testpaths") if start == config.rootpath else []
    # They may be patterns, which pytest expands in the same way.
    found = [path for pattern in testpaths for path in glob.iglob(pattern, root_dir=start, recursive=True)]  # noqa: PTH207
    return [start / path for path in found] or [start]


def _path(config: pytest.Config, word: str, *, pyargs: bool, early: bool) -> Path:
    path = config.invocation_params.dir / _file_of(word)
    if pyargs and not _exists(path):
        path = _of_module(_file_of(word), early=early) or path
    return path


def _of_module(name: str, *, early: bool) -> Path | None:
    """Return where a module or package lies; early by its name alone, since to ask Python imports what it is in."""
    if early:
        parts = name.split(".")
        places = (Path(place or os.curdir, *parts) for place in sys.path)
        return next((path for path in places if _exists(path) or _exists(path.with_suffix(".py"))), None)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return None if spec.origin is None else Path(spec.origin)


def _lies_in(path: Path, folders: Sequence[Path]) -> bool:
    try:
        resolved = path.resolve()
    except OSError:  # longer than any file's name
        return False
    return any(resolved.is_relative_to(folder) for folder in folders)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # as of an option's value of 300 characters
        return False


def _file_of(word: str) -> str:
    return word.split("::", 1)[0]


def _short(word: str) -> str:
    return word if len(word) <= 60 else f"{word[:59]}…"

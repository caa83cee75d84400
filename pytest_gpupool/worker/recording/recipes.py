"""Recipes of the tests of this session: digests of what each one's result depends on. See :mod:`recipe`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ...foreign.pytest_names import declared_options, parameters_of
from ...records.recipe import digest, recipe, steady
from ...values.texts import safe_repr
from ..items.seeds import seed_key

_NONE = digest([])

declared_key: pytest.StashKey[frozenset[str]] = pytest.StashKey()
"""The options and ini values that a conftest.py declares: a suite's own, such as ``--model``."""


class Recipes:
    """What each test depends on, as it was when the tests were collected."""

    def __init__(self, session: pytest.Session) -> None:
        """Read the files now: who edits one while the run goes on does not change what the run has loaded."""
        config = session.config
        self._root = config.rootpath
        self._options = _digest_of_options(config)
        self._conftests: dict[Path, str] = {}
        self._scripts: dict[Path, bytes] = {}
        self._files: dict[Path, tuple[str, str]] = {}
        for item in session.items:
            self._file(item.path)
            list(self._of(getattr(item, "gpupool_sources", ())))

    def of(self, item: pytest.Item) -> str:
        """Return a test's recipe."""
        file, conftests = self._file(item.path)
        sources = getattr(item, "gpupool_sources", None)  # of a test that is a script
        return recipe(digest([file.encode(), *self._of(sources)]) if sources else file, conftests, *self._rest(item))

    def _rest(self, item: pytest.Item) -> tuple[str, str]:
        return _digest_of_params(item), self._options

    def _of(self, sources: Iterable[Path]) -> Iterable[bytes]:
        for path in sources:
            if path not in self._scripts:
                self._scripts[path] = digest(_contents([path])).encode()
            yield self._scripts[path]

    def _file(self, path: Path) -> tuple[str, str]:
        known = self._files.get(path)
        if known is None:
            known = self._files[path] = digest(_contents([path])), self._conftests_of(path.parent)
        return known

    def _conftests_of(self, folder: Path) -> str:
        known = self._conftests.get(folder)
        if known is None:
            # Those above rootdir are not loaded, unless rootdir is beside the tests.
            above = [parent for parent in (folder, *folder.parents) if parent.is_relative_to(self._root)] or [folder]
            known = self._conftests[folder] = digest(_contents(parent / "conftest.py" for parent in above))
        return known


def declared(parser: pytest.Parser) -> frozenset[str]:
    """Return the names of all options and ini values that are declared by now."""
    return frozenset(declared_options(parser))


def _contents(paths: Iterable[Path]) -> Iterable[bytes]:
    for path in paths:
        try:
            yield path.read_bytes()
        except OSError:
            yield b""


def _digest_of_params(item: pytest.Item) -> str:
    params = parameters_of(item)
    if not params:
        return _NONE
    texts = [text for name, value in params.items() for text in (name, _text(value))]
    return digest([text.encode(errors="backslashreplace") for text in texts])


def _text(value: object) -> str:
    if isinstance(value, set | frozenset):  # its order changes from process to process
        return str(sorted(steady(safe_repr(item)) for item in value))
    return steady(safe_repr(value, limit=100_000))


def _digest_of_options(config: pytest.Config) -> str:
    names = sorted(config.stash.get(declared_key, ()))
    values = {name: _option(config, name) for name in names}
    if (seed := config.stash.get(seed_key, None)) is not None:
        values["--gpupool-seed"] = seed
    return digest([json.dumps(values, default=lambda value: steady(safe_repr(value))).encode()])


def _option(config: pytest.Config, name: str) -> Any:
    if name.startswith("ini:"):
        return config.getini(name.removeprefix("ini:"))
    return getattr(config.option, name, None)

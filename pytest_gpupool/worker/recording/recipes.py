"""Recipes: what each test's result depends on, as far as it can be seen, in short; and what of it has changed.

A recipe is four digests in one text, in the order of :data:`PARTS`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ...foreign.pytest_names import declared_options, parameters_of
from ...values.texts import safe_repr
from ..items.seeds import seed_key

PARTS = ("its source file", "a conftest.py", "its parameters", "the options")
"""What a recipe is made of, as the user is told of a change."""

_DIGITS = 12  # 48 bits: that one of a million changes goes unnoticed has a chance of one in 280 million


def digest(parts: Iterable[bytes]) -> str:
    """Return a short digest of some texts; where one ends and the next begins counts."""
    whole = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return hashlib.sha256(whole).hexdigest()[:_DIGITS]


def recipe(source: str, conftests: str, params: str, options: str) -> str:
    """Return the recipe of these digests."""
    return ":".join((source, conftests, params, options))


def change_of(before: str | None, now: str) -> str | None:
    """Return what of a recipe has changed, in the words of :data:`PARTS`; None where nothing has."""
    if before == now:
        return None
    old, new = (before or "").split(":"), now.split(":")
    if len(old) != len(new):
        return "its record, which says not how it was made"
    return next(part for part, one, other in zip(PARTS, old, new, strict=True) if one != other)


def steady(text: str) -> str:
    """Return a repr without what differs from process to process: the addresses of objects."""
    return re.sub(r"\bat 0x[0-9a-f]+", "at …", text) if "at 0x" in text else text


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

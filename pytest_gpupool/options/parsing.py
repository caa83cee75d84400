"""Parsing: how the text of an option, from the command line or the ini file, becomes a value.

Every converter raises ValueError where the text is not what it must be.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ..engines import engines
from ..foreign.pytest_names import ini_values
from ..values import texts
from ..values.device import Export
from ..values.errors import UsageProblem
from ..values.verdicts import FAILING

T = TypeVar("T")

NONE = "none"


class Source:
    """One option at a time: the command line's value, else the ini file's."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def text(self, name: str) -> str | None:
        """Return the value as it was written, None where it was not given."""
        return self._given(name)[0]

    def parse(self, name: str, convert: Callable[[str], T], expected: str, default: T) -> T:
        """Return the converted value, else the default."""
        value = self.text(name)
        if value is None:
            return default
        try:
            return convert(value)
        except ValueError:
            raise UsageProblem(f"--{name}={value}: give {expected}") from None

    def path(self, name: str) -> Path | None:
        """Return a path: the command line's is relative to where pytest was called, the ini file's to rootdir."""
        value, by_ini = self._given(name)
        if value is None:
            return None
        if not value:
            raise UsageProblem(f"--{name} is empty: give a path")
        config = self._config
        return (config.rootpath if by_ini else config.invocation_params.dir) / Path(value).expanduser()

    def flag(self, name: str) -> bool:
        """Return an option without a value."""
        given = getattr(self._config.known_args_namespace, name.replace("-", "_"), None)
        return ini_flag(self._config, name.replace("-", "_")) if given is None else bool(given)

    def _given(self, name: str) -> tuple[str | None, bool]:
        dest = name.replace("-", "_")
        value = getattr(self._config.known_args_namespace, dest, None)
        return (value, False) if value is not None else (self._config.getini(dest), True)


def ini_flag(config: pytest.Config, name: str) -> bool:
    """Return a value of the ini file that is on or off. Raises UsageProblem where it is neither."""
    try:
        return bool(config.getini(name))
    except (ValueError, TypeError, pytest.UsageError):  # pytest does not name the option, or not as an error of usage
        raise UsageProblem(f"{name} = {ini_values(config).get(name)}: give on or off") from None


def spec(text: str) -> str:
    """Read a list of devices, which is not empty."""
    # Empty is no default: it is what an unset variable of a CI script gives.
    if not text.strip():
        raise ValueError(text)
    return text.strip()


def whole(text: str) -> int:
    """Read a whole number from 0."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def positive(text: str) -> int:
    """Read a whole number from 1."""
    number = whole(text)
    if not number:
        raise ValueError(text)
    return number


def seed(text: str) -> int:
    """Read a whole number from 0 that has 63 bits at most, as every library and report can carry it."""
    number = whole(text)
    if number >= 1 << 63:
        raise ValueError(text)
    return number


def order(text: str) -> bool:
    """Read whether the longest test goes first."""
    if text not in ("longest", "file"):
        raise ValueError(text)
    return text == "longest"


def limit(text: str) -> float | None:
    """Read a time above 0."""
    allowed = texts.seconds(text)
    if not allowed:
        raise ValueError(text)
    return allowed


def number(text: str) -> float:
    """Read a number from 0."""
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError(text)
    return value


def chance(text: str) -> float:
    """Read a probability, which is neither 0 nor 1."""
    value = float(text)
    if not 0 < value < 1:
        raise ValueError(text)
    return value


def export(text: str) -> Export:
    """Read how a GPU is named."""
    if text == "index":
        return "index"
    if text == "uuid":
        return "uuid"
    raise ValueError(text)


def run(text: str) -> str:
    """Read the name of a run."""
    if not text.strip():
        raise ValueError(text)
    return text.strip()


def engine(text: str) -> str:
    """Read an engine's name."""
    if text not in engines.NAMES:
        raise ValueError(text)
    return text


def engine_args(text: str) -> dict[str, str | None]:
    """Read what the site needs of an engine: ``K=V,K=V``; a comma in a value is doubled, a K may have no V."""
    given = [part.replace("\0", ",").strip() for part in text.replace(",,", "\0").split(",")]
    found: dict[str, str | None] = {}
    for part in filter(None, given):
        name, has_value, value = part.partition("=")
        if not name or name in found:
            raise ValueError(text)
        found[name] = value if has_value else None
    return found


def writable(path: Path | None, name: str) -> Path | None:
    """Find out now, not after hours, that a report cannot be written."""
    if path is None:
        return None
    if path.is_dir():
        raise UsageProblem(f"--{name}={path} is a directory: give the path of a file")
    target = Path(os.path.realpath(path))  # a link stays one
    if target.is_symlink():
        raise UsageProblem(f"--{name}={path} is a link to itself: choose another path")
    if target.is_file() and not os.access(target.parent, os.W_OK):  # a file is replaced as a whole
        raise UsageProblem(f"--{name}={path}: {target.parent} may not be written by this user: choose another path")
    nearest = next(ancestor for ancestor in (path, *path.parents) if ancestor.exists())
    if nearest != path and not nearest.is_dir():
        raise UsageProblem(f"--{name}={path}: {nearest} is not a directory: choose another path")
    if not os.access(nearest, os.W_OK):
        raise UsageProblem(f"--{name}={path} may not be written by this user: choose another path")
    return path


def fail_on(text: str) -> frozenset[str]:
    """Read the verdicts that fail a test; ``none`` adds nothing."""
    kinds = {kind.strip() for kind in text.split(",")}
    if not kinds <= {*FAILING, NONE}:
        raise ValueError(text)
    return frozenset(kinds - {NONE})

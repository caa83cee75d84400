"""Collection: which tests there are, and which of them run. These options hold where the pool is off, too."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ..values.errors import UsageProblem
from . import companions, parsing

T = TypeVar("T")

_PARAMETERS = re.compile(r"(\bnot\s+)?([^\s()=]+)\s*=+\s*([^\s()=]+)")
"""A parameter and its value in an expression of ``-k``."""

_scripts_key: pytest.StashKey[Path] = pytest.StashKey()

GROUP = "gpupool"
"""The group of options under which pytest's help shows them."""

_OPTIONS = (
    ("gpupool-scripts", "FILE", False, "Collect scripts and their parameters from a TOML file."),
    (
        "gpupool-select",
        "EXPR",
        True,
        "Run the tests that have these parameters or needs: lr=0.001,model=a or gpus<=1. Given more than once: any.",
    ),
)


def add_options(parser: pytest.Parser) -> None:
    """Declare them and their ini twins."""
    group = parser.getgroup(GROUP)
    for name, metavar, many, help_text in _OPTIONS:
        action = "append" if many else "store"
        group.addoption(f"--{name}", metavar=metavar, action=action, default=None, help=help_text)
        parser.addini(name.replace("-", "_"), help_text, type="string", default=None)
    lines = "Metrics that are judged over many tests, one a line: TEST NAME of=METRIC by=PARAM,PARAM floor=0.6 …"
    parser.addini("gpupool_aggregates", lines, type="linelist", default=[])


def aggregates(config: pytest.Config) -> list[str]:
    """Return the lines of the ini value that says which metrics are judged over many tests."""
    return [line for line in config.getini("gpupool_aggregates") if line.strip()]


def narrowed(config: pytest.Config, place: str) -> str | None:
    """Return what chooses some of the tests of a function, class, file or folder, None where all are collected."""
    if any(getattr(config.known_args_namespace, name, None) for name in ("lf", "last_failed")):
        return "--last-failed"
    asked = [_id_of(config, arg) for arg in config.args]
    if any(arg == "" or place == arg or place.startswith((f"{arg}::", f"{arg}/")) for arg in asked):
        return None
    return next((arg for arg in asked if arg.startswith((f"{place}[", f"{place}::", f"{place}/"))), None)


def _id_of(config: pytest.Config, arg: str) -> str:
    """Return an argument as ids name it, empty for all that is below rootdir."""
    path, colons, names = str(arg).partition("::")
    whole = os.path.relpath(config.invocation_params.dir / path, config.rootpath).replace(os.sep, "/")
    return "" if whole == "." or whole.startswith("..") else f"{whole}{colons}{names}"


def add_scripts(config: pytest.Config) -> None:
    """Have pytest collect the file that lists scripts, where one is given. Raises UsageProblem."""
    path = parsing.Source(config).path("gpupool-scripts")
    if path is None:
        return
    if not path.is_file():
        raise UsageProblem(f"--gpupool-scripts={path}: there is no such file")
    config.stash[_scripts_key] = path.resolve()
    by_ini = getattr(config.known_args_namespace, "gpupool_scripts", None) is None
    companions.add_argument(config, path, by_ini=by_ini)


def lists_scripts(config: pytest.Config, path: Path) -> bool:
    """Whether this is that file, which pytest may come across in a folder that is named as well."""
    return config.stash.get(_scripts_key, None) == path.resolve()


def selects(config: pytest.Config) -> bool:
    """Whether ``--gpupool-select`` is given."""
    return bool(getattr(config.known_args_namespace, "gpupool_select", None) or config.getini("gpupool_select"))


def selected(config: pytest.Config, parse: Callable[[str], T]) -> list[T]:
    """Return what ``--gpupool-select`` gives, each by ``parse``, which raises ValueError. Raises UsageProblem."""
    given = getattr(config.known_args_namespace, "gpupool_select", None) or [config.getini("gpupool_select")]
    found = []
    for text in filter(None, given):
        try:
            found.append(parse(text))
        except ValueError:
            raise UsageProblem(f"--gpupool-select {text}: give such as lr=0.001,model=a or gpus<=1") from None
    return found


def refuse_keyword(config: pytest.Config) -> None:
    """Say what to do where ``-k`` has what it does not take. Raises UsageProblem."""
    keyword = getattr(config.known_args_namespace, "keyword", None) or ""
    if "=" in keyword:
        raise UsageProblem(f"-k {keyword!r}: -k takes no '='; choose by parameter with {as_selection(keyword)}")


def as_selection(keyword: str) -> str:
    """Return what does what somebody may have meant by an expression of ``-k`` that names parameters with values."""
    found = [f"{name}{'!=' if without else '='}{value}" for without, name, value in _PARAMETERS.findall(keyword)]
    # What -k joins by "or" are options of their own, each of which is enough.
    told = (" --gpupool-select " if re.search(r"\bor\b", keyword) else ",").join(found) or "NAME=VALUE"
    rest = re.sub(r"[\s()]|\b(and|or|not)\b", "", _PARAMETERS.sub("", keyword))
    return f"--gpupool-select {told}" + (", beside a -k without it" if found and rest else "")

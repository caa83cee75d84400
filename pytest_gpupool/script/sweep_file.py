"""The sweep file: scripts and their configurations, in TOML, each configuration of which is a test."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..matrices.axes import combinations, listed, text_of, with_names
from ..values.errors import GpupoolError, MarkerProblem, UsageProblem
from ..values.requirement import Requirement
from ..values.texts import safe_repr
from .command import script_at
from .measured import declared
from .parameters import STYLES, checked
from .result import ScriptError
from .running import limit_of
from .toml_lines import Lines

_TABLE = "eval"
_NEEDS = ("gpus", "memory", "priority", "serial", "lock", "stage")
"""Keys that mean what those of the marker mean."""

_KEYS = ("script", "name", "base", "matrix", "exclude", "sample", "seed", "style", "args", "env", "timeout", "metrics")
_PLACE = re.compile(r"\{(\w*)\}")
_OF_TEST = ("out", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One test: a script with its parameters; ``needs`` are keys of the marker. ``args`` and ``env`` are templates."""

    name: str
    script: Path
    params: Mapping[str, Any]
    chosen: Mapping[str, Any]
    """The parameters of the matrix alone."""
    line: int
    style: str = "json"
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs: Mapping[str, Any] = field(default_factory=dict)

    def filled(self, template: str, out: str, id: str) -> str:
        """Return a template with ``{out}``, ``{id}`` and the parameters in their places."""
        values = {**self.params, "out": out, "id": id}
        return _PLACE.sub(lambda match: str(values[match[1]]), template)


class _Wrong(Exception):
    """What is wrong with the value of a key; keys within keys follow."""

    def __init__(self, text: str, *keys: str) -> None:
        super().__init__(text)
        self.keys = keys


def configurations(path: Path) -> list[Configuration]:
    """Return the tests of a file, in its order.

    Raises:
        UsageProblem: with a line for each thing that is wrong, which names the file's line and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"{path.name} cannot be read: {error.strerror}") from None
    except ValueError as error:  # of UTF-8
        raise UsageProblem(f"{path.name} is no TOML: {error}") from None
    return configurations_of(text, path)


def configurations_of(text: str, path: Path) -> list[Configuration]:
    """Return the tests that a file of this text would have. Raises UsageProblem, as :func:`configurations`."""
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise UsageProblem(f"{path.name} is no TOML: {error}") from None
    lines, problems = Lines(text), list[str]()
    found: list[Configuration] = []
    evals = data.get(_TABLE)
    other = next((key for key in data if key != _TABLE), None)
    if other is not None:
        problems.append(f"{path.name}, line {lines.of(other, 0, other)}: {other}: only [[{_TABLE}]] may be here")
    if not isinstance(evals, list) or not evals or not all(isinstance(one, dict) for one in evals):
        problems.append(f"{path.name} has no [[{_TABLE}]]: each is a script with its parameters")
        evals = []
    for place, told in enumerate(evals):
        try:
            found += _Eval(path, told, lines.of(_TABLE, place)).configurations()
        except _Wrong as wrong:
            line = lines.of(_TABLE, place, *wrong.keys)
            problems.append(f"{path.name}, line {line}: {'.'.join(wrong.keys) or _TABLE}: {wrong}")
    if problems:
        raise UsageProblem("\n".join(problems))
    return found


class _Eval:
    """One ``[[eval]]``."""

    def __init__(self, path: Path, told: Mapping[str, Any], line: int) -> None:
        self._path = path
        self._told = told
        self._line = line

    def configurations(self) -> Iterator[Configuration]:
        """Yield its tests. Raises _Wrong."""
        self._check_keys()
        script = self._script()
        base = self._params("base")
        about = {
            "script": script,
            "style": self._style(),
            "env": self._texts_by_name("env"),
            "timeout": self._checked("timeout", limit_of),
            "metrics": self._checked("metrics", declared),
            "needs": self._needs(),
            "line": self._line,
        }
        args = self._args()
        name = self._name(script)
        for label, chosen in self._matrix(base):
            params = {**base, **chosen}
            configuration = Configuration(
                name=f"{name}[{label}]" if label else name, params=params, chosen=chosen, args=args, **about
            )
            self._check_templates(configuration)
            yield configuration

    def _check_keys(self) -> None:
        known = (*_KEYS, *_NEEDS)
        for key in self._told:
            if key not in known:
                like = get_close_matches(key, known, n=1)
                meant = f"; did you mean {like[0]}?" if like else f"; there are {', '.join(known)}"
                raise _Wrong(f"there is no such key{meant}", key)

    def _script(self) -> Path:
        given = self._told.get("script")
        if not isinstance(given, str) or not given:
            key = ("script",) if "script" in self._told else ()
            raise _Wrong("script is the path of a script, which is needed", *key)
        return Path(self._checked("script", lambda path: script_at(path, [self._path.parent])))

    def _name(self, script: Path) -> str:
        name = self._told.get("name", re.sub(r"[^\w.-]+", "_", script.stem) or _TABLE)
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
            raise _Wrong(f"a name has letters, digits, '_', '.' and '-', not {safe_repr(name, 60)}", "name")
        return name

    def _params(self, key: str) -> dict[str, Any]:
        given = self._told.get(key, {})
        if not isinstance(given, dict):
            raise _Wrong(f"it is a table such as {{lr = 0.1}}, not {safe_repr(given, 60)}", key)
        found: dict[str, Any] = {}
        for name, value in given.items():
            try:
                found |= checked({name: value})
            except ScriptError as error:
                raise _Wrong(str(error), key, name) from None
        return found

    def _matrix(self, base: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the label and the parameters of each combination."""
        axes = self._params("matrix")
        if not axes:
            for key in ("matrix", "exclude", "sample", "seed"):
                if key in self._told:
                    raise _Wrong("there is no matrix" if key != "matrix" else "it has no axis", key)
            yield "", {}
            return
        twice = next((name for name in axes if name in base), None)
        if twice is not None:
            raise _Wrong("it is in base as well", "matrix", twice)
        try:
            values = {name: listed(name, one) for name, one in axes.items()}
        except UsageProblem as problem:
            wrong = next((name for name, one in axes.items() if not isinstance(one, list) or not one), "")
            raise _Wrong(str(problem).removeprefix("matrix: "), "matrix", wrong) from None
        sample, seed = self._told.get("sample"), self._told.get("seed", 0)
        try:
            chosen = combinations(values, exclude=self._told.get("exclude", ()), sample=sample, seed=seed)
        except UsageProblem as problem:
            text = str(problem).removeprefix("matrix: ")
            key = next((key for key in ("exclude", "sample", "seed") if text.startswith(key)), "matrix")
            raise _Wrong(text, key) from None
        texts = {name: with_names(name, [text_of(name, *one) for one in enumerate(values[name])]) for name in values}
        for places in chosen:
            at = dict(zip(values, places, strict=True))
            label = "-".join(texts[name][place] for name, place in at.items())
            yield label, {name: values[name][place] for name, place in at.items()}

    def _style(self) -> str:
        style = self._told.get("style", "json")
        if not isinstance(style, str) or style not in STYLES:
            raise _Wrong(f"it is one of {', '.join(STYLES)}, not {safe_repr(style, 40)}", "style")
        return str(style)

    def _args(self) -> tuple[str, ...]:
        given = self._told.get("args", [])
        if not isinstance(given, list) or not all(type(one) in (str, int, float) for one in given):
            raise _Wrong(f"it is a list of texts and numbers, not {safe_repr(given, 60)}", "args")
        return tuple(map(str, given))

    def _texts_by_name(self, key: str) -> dict[str, str]:
        given = self._told.get(key, {})
        if not isinstance(given, dict) or not all(isinstance(one, str) for one in given.values()):
            raise _Wrong(f"it is a table of texts, not {safe_repr(given, 60)}", key)
        return dict(given)

    def _needs(self) -> dict[str, Any]:
        needs = {}
        for key in _NEEDS:
            if key in self._told:
                try:
                    Requirement.from_markers([((), {key: self._told[key]})])
                except MarkerProblem as problem:
                    raise _Wrong(str(problem).partition("): ")[2] or str(problem), key) from None
                needs[key] = self._told[key]
        return needs

    def _check_templates(self, configuration: Configuration) -> None:
        texts = [("args", text) for text in configuration.args]
        texts += [("env", text) for text in configuration.env.values()]
        for key, text in texts:
            for name in _PLACE.findall(text):
                if name not in (*configuration.params, *_OF_TEST):
                    known = ", ".join(f"{{{one}}}" for one in (*_OF_TEST, *configuration.params))
                    raise _Wrong(f"{text!r} has {{{name}}}, which there is not; there are {known}", key)

    def _checked(self, key: str, check: Any) -> Any:
        try:
            return check(self._told.get(key))
        except GpupoolError as error:
            raise _Wrong(str(error), key) from None

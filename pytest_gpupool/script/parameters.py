"""Parameters: those of a script, checked before it starts, and how each style writes them on a command line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..values.texts import safe_repr
from .result import ScriptError

_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
"""A text that Hydra's grammar takes as it is, unless it is a word of its own."""

_WORDS = ("true", "false", "null", "nan", "inf")


def checked(params: object) -> dict[str, Any]:
    """Return a script's parameters as plain values that JSON has; NumPy and torch scalars become numbers.

    Raises:
        ScriptError: naming the parameter.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise ScriptError(f"the parameters of a script are a dict, not {safe_repr(params, 60)}")
    return {_key(name, "parameters"): _plain(str(name), value) for name, value in params.items()}


def arguments(args: object) -> list[Any]:
    """Return what follows the parameters, as a list. Raises ScriptError, as for a text, whose letters nobody means."""
    if isinstance(args, str | bytes) or not isinstance(args, Iterable):
        raise ScriptError(f"args is a list, not {safe_repr(args, 60)}: write args=[{safe_repr(args, 60)}]")
    return list(args)


def _plain(path: str, value: object) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ScriptError(f"parameter {path} is {value!r}, which JSON has not: give a finite number or a text")
        return float(value)
    if isinstance(value, Mapping):
        return {_key(name, path): _plain(f"{path}.{name}", one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(f"{path}[{number}]", one) for number, one in enumerate(value)]
    item = getattr(value, "item", None)
    if callable(item) and math.prod(getattr(value, "shape", (2,))) == 1:
        return _plain(path, item())
    raise ScriptError(
        f"parameter {path} is {safe_repr(value, 60)}, of type {type(value).__name__}, which JSON has not: "
        "give texts, numbers, booleans, None, lists and dicts"
    )


def _key(name: object, path: str) -> str:
    if not isinstance(name, str) or not name:
        raise ScriptError(f"{path}: a name is a non-empty text, not {safe_repr(name, 60)}")
    return name


def _as_json(params: Mapping[str, Any]) -> list[str]:
    return ["--params", json.dumps(params)] if params else []


def _as_flags(params: Mapping[str, Any]) -> list[str]:
    """Write ``--lr 0.001 --flag``: False and None are left out, a list is several words, a dict is JSON."""
    return [word for name, value in params.items() for word in _flag(name, value)]


def _flag(name: str, value: Any) -> Iterator[str]:
    if value is False or value is None:
        return
    words = [] if value is True else [_word(one) for one in (value if isinstance(value, list) else [value])]
    if len(words) == 1 and words[0].startswith("-"):  # argparse would take it for a flag
        yield f"--{name}={words[0]}"
        return
    yield f"--{name}"
    yield from words


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_hydra(params: Mapping[str, Any]) -> list[str]:
    """Write ``lr=0.001``, by the grammar of Hydra's overrides: what would be read as something else is quoted."""
    return [f"{name}={_hydra(value)}" for name, value in params.items()]


def _hydra(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        quoted = re.sub(r"(\\*)'", r"\1\1\\'", value)  # backslashes count only before a quote
        trailing = len(quoted) - len(quoted.rstrip("\\"))
        return f"'{quoted}{chr(92) * trailing}'"
    if isinstance(value, list):
        return f"[{','.join(map(_hydra, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{name}:{_hydra(one)}' for name, one in value.items())}}}"
    return json.dumps(value)


STYLES: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "json": _as_json,
    "flags": _as_flags,
    "hydra": _as_hydra,
}
"""How parameters stand on a command line, by the name of the style."""

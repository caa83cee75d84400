"""The command: what is started for a script of each kind."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..values.texts import safe_repr
from .parameters import STYLES, arguments
from .result import ScriptError

NOTEBOOK = ".ipynb"


def command_of(script: Path, params: Mapping[str, Any], args: Sequence[object], style: str) -> list[str]:
    """Return the command line of a script; ``params`` are checked.

    Python runs ``.py`` unbuffered, a shell ``.sh`` that may not be executed; a notebook gets its parameters in a cell.

    Raises:
        ScriptError: the style is unknown, or the script cannot be run.
    """
    words = [*_in_style(style, params), *map(_argument, arguments(args))]
    if script.suffix == ".py":
        return [sys.executable, "-u", str(script), *words]
    if script.suffix == NOTEBOOK:
        if args:
            raise ScriptError(f"{script.name}: a notebook takes parameters, but no args")
        return [sys.executable, "-u", "-m", f"{__package__}.notebook", str(script), json.dumps(params)]
    if os.access(script, os.X_OK):
        return [str(script), *words]
    if script.suffix == ".sh":
        return [shutil.which("bash") or "/bin/sh", str(script), *words]
    raise ScriptError(f"{script} is not executable, nor a .py, .sh or {NOTEBOOK} file: chmod +x {script}")


def script_at(path: str | os.PathLike[str], folders: Sequence[Path]) -> Path:
    """Return a script, a relative one in the first of the folders that has it.

    Raises:
        ScriptError: it is not there, or is no file.
    """
    tried = [folder / os.fspath(path) for folder in folders]
    found = next((one for one in tried if one.exists()), None)
    if found is None:
        raise ScriptError(f"there is no script {os.fspath(path)}{_meant(tried)}")
    if not found.is_file():
        raise ScriptError(f"{found} is a directory: give the path of a script")
    if not os.access(found, os.R_OK) and not os.access(found, os.X_OK):
        raise ScriptError(f"{found} may not be read by this user")
    return found


def _meant(tried: Sequence[Path]) -> str:
    for path in tried:
        if path.parent.is_dir():
            like = get_close_matches(path.name, [one.name for one in path.parent.iterdir()], n=1, cutoff=0.7)
            if like:
                return f" in {path.parent}; did you mean {like[0]}?"
    return " in " + " or ".join(dict.fromkeys(str(path.parent) for path in tried))


def _in_style(style: str, params: Mapping[str, Any]) -> list[str]:
    if not isinstance(style, str) or style not in STYLES:
        raise ScriptError(f"style={safe_repr(style, 40)}: give one of {', '.join(map(repr, STYLES))}")
    return STYLES[style](params)


def _argument(value: object) -> str:
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, str | int | float):
        return str(value)
    raise ScriptError(f"args has {safe_repr(value, 60)}: each is a text, a number or a path")

"""``gpupool sweep``: a script over a product of parameters, as tests of one run."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...records.store import write_whole
from ...script.sweep_file import configurations_of
from ...values.errors import UsageProblem

_ABOUT = """\
Runs SCRIPT once for each combination of the values, each as a test on a device of its own, by pytest with what is given
behind '--': gpupool sweep evaluation_script.py lr=1e-3,1e-4 batch_size=32,64 -n 8 -- --gpupool-json=report.json

The configurations are kept in .gpupool/sweeps/NAME.toml, which can be edited, and run again by
pytest --gpupool-scripts=FILE. A file that was edited is not overwritten.
"""

_HEAD = "# Made by gpupool sweep. Without changes it is "
"""How the file begins; a digest of the rest follows, from which is known whether somebody has changed it."""

_DIGITS = 16

_AXIS = re.compile(r"([^\s=-][^\s=]*)=(.+)", re.DOTALL)


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "sweep",
        help="run a script over a product of parameters",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="gpupool sweep SCRIPT NAME=V,V… [-n N] [--style S] [--gpus N] [--timeout S] [-- ARGS…]",
    )
    command.add_argument("script", metavar="SCRIPT")
    text = "parameters with their values, these options, and behind '--' what is for pytest"
    command.add_argument("words", metavar="NAME=V,V…", nargs=argparse.REMAINDER, help=text)
    _add_options(command)
    command.set_defaults(run=_run, refuse=command.error, fail=command.error)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", metavar="N", help="how many workers (default auto: one per free device)")
    parser.add_argument("--style", default="json", help="json (default), flags or hydra")
    parser.add_argument("--gpus", metavar="N", help="devices that each needs (default 1)")
    parser.add_argument("--timeout", metavar="S", help="the longest that one may take (90s, 5m, 2h)")


def _run(args: argparse.Namespace) -> int:
    words = list(args.words)
    place = words.index("--") if "--" in words else len(words)
    ours, others = words[:place], words[place + 1 :]
    # Parameters and options in any order, which the parser of a call within a program does not take.
    inner = argparse.ArgumentParser(add_help=False)
    _add_options(inner)
    inner.add_argument("words", nargs="*")
    inner.error = args.fail  # type: ignore[method-assign]
    del args.words  # which is what that parser looks for, and wonders about
    args = inner.parse_intermixed_args(ours, args)
    axes = [match for word in args.words if (match := _AXIS.fullmatch(word))]
    if wrong := next((word for word in args.words if not _AXIS.fullmatch(word)), None):
        raise UsageProblem(f"{wrong!r} is no parameter: write NAME=V,V…, as in lr=1e-3,1e-4")
    if empty := next((axis[0] for axis in axes if not all(axis[2].split(","))), None):
        raise UsageProblem(f"{empty!r} has a value that is empty: write NAME=V,V…, as in lr=1e-3,1e-4")
    script = Path(args.script)
    if not script.is_file():
        raise UsageProblem(f"there is no script {script} in {Path.cwd()}")
    workers = _workers(args.n, others)
    path = Path(".gpupool") / "sweeps" / f"{script.stem or 'script'}.toml"
    text = sweep_text(script, [(axis[1], axis[2].split(",")) for axis in axes], vars(args))
    configurations_of(text, path)  # what is wrong is said before anything is written, or any worker starts
    _write(path, text)
    command = [sys.executable, "-m", "pytest", *workers, f"--gpupool-scripts={path}", *others]
    sys.stdout.flush()
    os.execv(command[0], command)


def sweep_text(script: Path, axes: Sequence[tuple[str, Sequence[str]]], about: dict[str, Any]) -> str:
    """Return the file's text: what has one value is in ``base``, what has several in ``matrix``.

    Raises:
        UsageProblem: a parameter is given twice.
    """
    names = [name for name, _ in axes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageProblem(f"{twice} is given twice: write all its values at once, as in {twice}=1,2")
    lines = ["[[eval]]", f"script = {_toml(str(script.resolve()))}"]
    lines.append(f"style = {_toml(about['style'])}")
    lines += [f"{key} = {_value(about[key])}" for key in ("gpus", "timeout") if about.get(key) is not None]
    single = [f"{_toml(name)} = {_value(values[0])}" for name, values in axes if len(values) == 1]
    several = [f"{_toml(name)} = [{', '.join(map(_value, values))}]" for name, values in axes if len(values) > 1]
    for key, told in (("base", single), ("matrix", several)):
        if told:
            lines.append(f"{key} = {{{', '.join(told)}}}")
    return "\n".join(lines) + "\n"


def _workers(asked: str | None, others: Sequence[str]) -> list[str]:
    """Return what pytest is told of workers: nothing without pytest-xdist, where nobody has asked for some.

    Raises:
        UsageProblem: somebody has.
    """
    is_off = "-pno:xdist" in others or ("-p", "no:xdist") in pairwise(others)
    if not is_off and find_spec("xdist") is not None:
        return ["-n", asked or "auto"]
    if asked in (None, "0"):
        return []
    why = "is switched off" if is_off else "is not installed (pip install pytest-xdist)"
    raise UsageProblem(f"-n {asked}: workers are pytest-xdist's, which {why}; without -n one runs after the other")


def _write(path: Path, text: str) -> None:
    """Write the file, with a word from which it is known whether somebody has changed it since.

    Raises:
        UsageProblem: somebody has changed the one that is there, or it cannot be written.
    """
    try:
        if (there := _read(path)) is not None and there not in (text, _with_head(text)) and _is_edited(there):
            raise UsageProblem(
                f"{path} was edited since gpupool sweep made it, and is not overwritten: run it by "
                f"pytest --gpupool-scripts={path}, or move it away first"
            )
        text = _with_head(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        ignore = path.parents[1] / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Made by pytest-gpupool: records of runs.\n*\n", encoding="utf-8")
        write_whole(path, text)
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror}") from None


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return None


def _with_head(text: str) -> str:
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:_DIGITS]
    return f"{_HEAD}{digest}.\n{text}"


def _is_edited(there: str) -> bool:
    return there != _with_head(there.partition("\n")[2])


def _value(text: str) -> str:
    """Return a value as TOML has it: a number or a boolean where it reads as one, else a text."""
    if text.lower() in ("true", "false"):
        return text.lower()
    if re.fullmatch(r"[+-]?(0|[1-9]\d*)", text):
        return text
    try:
        number = float(text)
    except ValueError:
        return _toml(text)
    return repr(number) if re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", text, re.IGNORECASE) else _toml(text)


def _toml(text: str) -> str:
    # What JSON escapes, TOML's basic texts escape in the same way, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

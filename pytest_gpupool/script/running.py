"""Running: one script, from the check of what it is given to what it has left."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..metrics.metric import Metric
from ..values.texts import safe_repr, seconds, visible
from . import process
from .command import command_of, script_at
from .measured import declared, measured, names
from .output import Echo, Kept
from .parameters import checked
from .process import Ended
from .recording import VARIABLE
from .result import ScriptError, ScriptResult, status_text

_LAST_LINES = 20
_LONGEST_COMMAND = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be run, and how; see the fixture ``run_script``. A relative ``path`` is in one of ``folders``."""

    path: str | os.PathLike[str]
    params: Mapping[str, object] | None = None
    args: Sequence[object] = ()
    style: str = "json"
    timeout: float | str | None = None
    env: Mapping[str, str] | None = None
    metrics: Mapping[str, Mapping[str, object]] | None = None
    folders: Sequence[Path] = (Path(),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a script has left: its metrics are to be recorded, then the ``error`` is to be raised, where there is one.

    ``note`` is what its user should know though it is no error.
    """

    result: ScriptResult
    metrics: list[Metric] = field(default_factory=list)
    error: ScriptError | None = None
    note: str | None = None


class Log(NamedTuple):
    """Where what a script writes is kept as it comes.

    ``folder`` is where its file of metrics is meanwhile, None for a temporary one; ``path`` says where the log is once
    something was written. What this process writes itself while it is ``aside`` is in the log already.
    """

    write: Callable[[bytes], None]
    folder: Path | None
    path: Callable[[], Path | None]
    aside: Callable[[], AbstractContextManager[None]]


def run(request: Request, log: Log) -> Ran:
    """Run a script, with its output passed on as it comes.

    Raises:
        ScriptError: what it is given makes no sense, or it cannot be started.
    """
    refuse_other_systems("run_script")
    script = script_at(request.path, request.folders)
    params, about, limit = checked(request.params), declared(request.metrics), limit_of(request.timeout)
    command = command_of(script, params, request.args, request.style)
    kept, echo = Kept(), Echo()

    def hear(stream: str, data: bytes) -> None:
        log.write(data)
        kept.hear(stream, data)
        with log.aside():
            echo.hear(stream, data)

    with _metrics_file(log.folder) as file:
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", **environ_of(request.env), VARIABLE: str(file)}
        try:
            ended = process.run(command, environ, hear, timeout=limit)
        finally:
            with log.aside():
                echo.close()
        has_failed = ended.took_too_long or ended.returncode != 0
        found = measured(file, kept.text("stdout"), about, all_of_them=not has_failed)
    result = ScriptResult(
        returncode=ended.returncode,
        stdout=kept.text("stdout"),
        stderr=kept.text("stderr"),
        duration=ended.duration,
        metrics=dict(names(found.metrics)),
    )
    problem = how(ended, limit) if has_failed else found.problem
    if problem is None:
        return Ran(result=result, metrics=found.metrics, note=found.note)
    lines = [f"{script.name}: {problem}", command_line(command), *last_lines(result.stderr), *log_line(log.path())]
    return Ran(result=result, metrics=found.metrics, error=ScriptError("\n".join(lines)), note=found.note)


def refuse_other_systems(fixture: str) -> None:
    """Raise ScriptError where what a script has started could not be ended."""
    if sys.platform != "linux":
        raise ScriptError(f"{fixture} works on Linux only, and this is {sys.platform}")


def how(ended: Ended, limit: float | None) -> str:
    """Return how a program has failed."""
    if ended.took_too_long:
        return f"took longer than {limit:g} s and was ended with all that it had started"
    return f"ended with {status_text(ended.returncode)} after {ended.duration:.1f} s"


def command_line(command: Sequence[str]) -> str:
    """Return the line of an error that has a command."""
    line = shlex.join(command)
    told = f"{line[:_LONGEST_COMMAND]}…" if len(line) > _LONGEST_COMMAND else line
    return f"  command: {visible(told)}"


def last_lines(stderr: str, whose: str = "") -> list[str]:
    """Return the lines of an error that have the end of what somebody has written to stderr."""
    last = stderr.rstrip().splitlines()[-_LAST_LINES:]
    return [f"  last lines of {whose}stderr:", *(f"    {visible(one[:500])}" for one in last)] if last else []


def log_line(log: Path | None, what: str = "log") -> list[str]:
    """Return the line of an error that says where a log is, none where there is none."""
    return [] if log is None else [f"  {what}: {os.path.relpath(log)}"]


def limit_of(value: object) -> float | None:
    """Return a time limit in seconds, None for none. Raises ScriptError."""
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        limit = seconds(value) if isinstance(value, str) else value
        if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0 and not math.isnan(limit):
            return None if math.isinf(limit) else float(limit)
    raise ScriptError(f"timeout={safe_repr(value, 40)}: give seconds above 0, or a time such as '90s', '5m' or '2h'")


def environ_of(env: object) -> dict[str, str]:
    """Return the variables that somebody adds, checked. Raises ScriptError."""
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise ScriptError(f"env is a dict of texts, not {safe_repr(env, 60)}")
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name:
            raise ScriptError(f"env has {safe_repr(name, 40)}: {safe_repr(value, 40)}; names and values are texts")
    return dict(env)


@contextlib.contextmanager
def _metrics_file(folder: Path | None) -> Iterator[Path]:
    """Give the name of a file that is not there yet, and is gone afterwards."""
    path = None if folder is None else _new_file(folder)
    temporary: Path | None = None
    if path is None:
        try:
            temporary = Path(tempfile.mkdtemp(prefix="gpupool-"))
        except OSError as error:
            raise ScriptError(f"no file for the metrics of a script can be made: {error}") from None
        path = temporary / "metrics"
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _new_file(folder: Path) -> Path | None:
    """Make an empty file; return None where that cannot be, as on a full disk or a read-only one."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve() / f".metrics-{secrets.token_hex(6)}"
        path.touch()
        return path
    return None

"""Options: what the user chose, on the command line or in the ini file. Parsed once, into a typed value."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from .archive import LATEST, is_run_id
from .errors import UsageProblem
from .model import Export, Size
from .role import only_informs

T = TypeVar("T")

_KEPT = 20

# name, metavar, help; each has an ini twin with "_" for "-".
_VALUED = (
    (
        "gpupool-devices",
        "SPEC",
        "The devices to lease: 'auto' (every visible GPU, CPU slots where there is none; the default), 'cpu', or a "
        "list as in CUDA_VISIBLE_DEVICES (0,2 or GPU-8a5c,… or MIG-…).",
    ),
    ("gpupool-require", "N", "Fail at once (exit 69) unless the pool holds at least N GPUs or MIG instances."),
    (
        "gpupool-wait",
        "S",
        "The longest the run waits for its first lease, in seconds (default 3600; 0 tries once; exit 75).",
    ),
    ("gpupool-export", "HOW", "How CUDA_VISIBLE_DEVICES names a GPU: 'index' (default) or 'uuid'."),
    (
        "gpupool-lock-dir",
        "PATH",
        "Where the lock files lie (default: $GPUPOOL_LOCK_DIR, else /dev/shm/gpupool). "
        "All runs of a host need the same.",
    ),
    ("gpupool-dir", "PATH", "Where records of runs are kept (default: .gpupool under rootdir)."),
    ("gpupool-json", "PATH", "Write the JSON report to this file."),
    ("gpupool-html", "PATH", "Write the HTML report, one file that works offline."),
    ("gpupool-markdown", "PATH", "Append a Markdown summary to this file, as for a CI job's summary."),
    ("gpupool-slots", "N", "How many workers may share one device (default 1: exclusive)."),
    (
        "gpupool-order",
        "HOW",
        "'longest' (default): the longest test first, by earlier runs' durations; 'file': the order of collection.",
    ),
    ("gpupool-timeout", "S", "The longest one test may take, in seconds: set-up, call and tear-down."),
    (
        "gpupool-busy-memory",
        "SIZE",
        "A GPU on which processes outside the pool hold more than this is busy (default 512MiB).",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a run, checked."""

    devices: str
    require: int
    wait: float
    export: Export
    lock_dir: str | None
    directory: Path
    json: Path | None
    html: Path | None
    markdown: Path | None
    resume: str | None
    keep_runs: int
    busy_memory: Size | None
    slots: int
    longest_first: bool
    timeout: float | None

    @classmethod
    def read(cls, config: pytest.Config) -> Options:
        """Read them from the command line, else from the ini file.

        Raises:
            UsageProblem: naming the option and what it may be.
        """
        source = _Source(config)
        return cls(
            devices=source.parse("gpupool-devices", _spec, "'auto', 'cpu' or a list such as 0,2", "auto"),
            require=source.parse("gpupool-require", _whole, "a whole number from 0", 0),
            wait=source.parse("gpupool-wait", _seconds, "a number of seconds from 0", 3600.0),
            export=source.parse("gpupool-export", _export, "'index' or 'uuid'", "index"),
            lock_dir=str(path) if (path := source.path("gpupool-lock-dir")) else None,
            directory=source.path("gpupool-dir") or config.rootpath / ".gpupool",
            json=_writable(source.path("gpupool-json"), "gpupool-json"),
            html=_writable(source.path("gpupool-html"), "gpupool-html"),
            markdown=_writable(source.path("gpupool-markdown"), "gpupool-markdown"),
            resume=source.parse("gpupool-resume", _run, "a run such as those that 'gpupool runs' lists", None),
            keep_runs=_keep_runs(config),
            busy_memory=None
            if source.flag("gpupool-allow-busy")
            else source.parse("gpupool-busy-memory", Size.parse, "a size such as 512MiB or 0.1", Size(512 * 2**20)),
            slots=source.parse("gpupool-slots", _positive, "a whole number from 1", 1),
            longest_first=source.parse("gpupool-order", _order, "'longest' or 'file'", True),
            timeout=source.parse("gpupool-timeout", _limit, "a number of seconds above 0", None),
        )


def add_options(parser: pytest.Parser) -> None:
    """Declare every option and its ini twin."""
    group = parser.getgroup("gpupool", "exclusive GPUs for workers (pytest-gpupool)")
    for name, metavar, help_text in _VALUED:
        group.addoption(f"--{name}", metavar=metavar, default=None, help=help_text)
        parser.addini(name.replace("-", "_"), help_text, type="string", default=None)
    resume = (
        "Go on with an earlier run, the latest where RUN is left out: only what has no final result yet runs, the "
        "rest is taken from its record."
    )
    group.addoption("--gpupool-resume", metavar="RUN", nargs="?", const=LATEST, default=None, help=resume)
    parser.addini("gpupool_resume", resume, type="string", default=None)
    parser.addini("gpupool_keep_runs", f"How many runs are kept on record (default {_KEPT}).", default=str(_KEPT))
    allow = "Lease busy GPUs all the same."
    group.addoption("--gpupool-allow-busy", action="store_true", default=None, help=allow)
    parser.addini("gpupool_allow_busy", allow, type="bool", default=False)
    parser.addini("gpupool", "Whether pytest-gpupool is on.", type="bool", default=True)
    parser.addini(
        "gpupool_paths",
        "Folders under rootdir: pytest-gpupool is on only where all arguments lie in one of them.",
        type="args",
        default=[],
    )


def given_in_vain(config: pytest.Config) -> list[str]:
    """Return the options that the command line has although the pool is off, once they are known to be right.

    Raises:
        UsageProblem: see :meth:`Options.read`.
    """
    names = [name for name, *_ in _VALUED] + ["gpupool-resume", "gpupool-allow-busy"]
    given = [name for name in names if getattr(config.known_args_namespace, name.replace("-", "_"), None) is not None]
    if given:
        Options.read(config)
    return [] if only_informs(config) else given


def mend_resume(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Give back a path that ``--gpupool-resume`` has taken for its run, as in ``--gpupool-resume evals/``."""
    taken = getattr(config.known_args_namespace, "gpupool_resume", None)
    if taken is None or is_run_id(taken) or "--gpupool-resume" not in args:
        return
    index = args.index("--gpupool-resume")
    if args[index + 1 : index + 2] == [taken]:
        args[index] = f"--gpupool-resume={LATEST}"
        known = parser.parse_known_args(args, namespace=copy.copy(config.option))
        known.confcutdir = config.known_args_namespace.confcutdir  # which pytest has worked out since
        config.known_args_namespace = known


class _Source:
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
        return bool(self._config.getini(name.replace("-", "_")) if given is None else given)

    def _given(self, name: str) -> tuple[str | None, bool]:
        dest = name.replace("-", "_")
        value = getattr(self._config.known_args_namespace, dest, None)
        return (value, False) if value is not None else (self._config.getini(dest), True)


def _spec(text: str) -> str:
    # Empty is no default: it is what an unset variable of a CI script gives.
    if not text.strip():
        raise ValueError(text)
    return text.strip()


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _positive(text: str) -> int:
    number = _whole(text)
    if not number:
        raise ValueError(text)
    return number


def _order(text: str) -> bool:
    if text not in ("longest", "file"):
        raise ValueError(text)
    return text == "longest"


def _limit(text: str) -> float | None:
    number = _seconds(text)
    if not number:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(text)
    return number


def _export(text: str) -> Export:
    if text == "index":
        return "index"
    if text == "uuid":
        return "uuid"
    raise ValueError(text)


def _run(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text.strip()


def _keep_runs(config: pytest.Config) -> int:
    text = config.getini("gpupool_keep_runs")
    try:
        return _positive(text)
    except ValueError:
        raise UsageProblem(f"gpupool_keep_runs = {text}: give a whole number from 1") from None


def _writable(path: Path | None, name: str) -> Path | None:
    """Find out now, not after hours, that a report cannot be written."""
    if path is None:
        return None
    if path.is_dir():
        raise UsageProblem(f"--{name}={path} is a directory: give the path of a file")
    nearest = next(ancestor for ancestor in (path, *path.parents) if ancestor.exists())
    if nearest != path and not nearest.is_dir():
        raise UsageProblem(f"--{name}={path}: {nearest} is not a directory: choose another path")
    if not os.access(nearest, os.W_OK):
        raise UsageProblem(f"--{name}={path} may not be written by this user: choose another path")
    return path

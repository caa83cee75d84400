"""The job: one script or function in several ranks, from the check of what it is given to what they have left."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...logs.log_file import LogFile
from ...values.errors import MetricProblem
from ...values.texts import safe_repr, visible
from .. import process
from ..command import command_of, script_at
from ..measured import Measured, declared, measured, names
from ..output import Echo, Kept
from ..parameters import arguments, checked
from ..process import Ended
from ..recording import VARIABLE
from ..result import ScriptError, ScriptResult, status_text
from ..running import (
    Log,
    Ran,
    command_line,
    environ_of,
    how,
    last_lines,
    limit_of,
    log_line,
    refuse_other_systems,
)
from . import calls, reduction
from .streams import RankStreams

_FOLDER = "GPUPOOL_RANKS"
"""The variable that names the folder with the pipes into which ranks write."""

# It becomes the rank, so that signals and statuses are the rank's. A program of ours would take longer.
_RANK = (
    f'{VARIABLE}="${_FOLDER}/$LOCAL_RANK.metrics"; export {VARIABLE}; '
    f'exec "$@" >"${_FOLDER}/$LOCAL_RANK.stdout" 2>"${_FOLDER}/$LOCAL_RANK.stderr"'
)

_FAILURES = "failures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be run in so many ranks, and how; see the fixture ``torchrun``.

    Each has its share of what ``threads`` names: variables with a number for the whole test. They meet at the port of
    this host that ``port`` gives. A relative path is in one of ``folders``.
    """

    target: str | os.PathLike[str] | Callable[..., object]
    ranks: int
    port: Callable[[], int]
    params: Mapping[str, object] | None = None
    args: Sequence[object] = ()
    style: str = "json"
    timeout: float | str | None = None
    env: Mapping[str, str] | None = None
    threads: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, object]] | None = None
    reduce: str | Mapping[str, str] | None = None
    folders: Sequence[Path] = (Path(),)


def run(job: Job, log: Log, rank_log: Callable[[int], LogFile | None]) -> Ran:
    """Run a job, with the output of its ranks passed on as it comes; ``rank_log`` gives the log of a rank.

    Raises:
        ScriptError: what it is given makes no sense, or it cannot be started.
    """
    refuse_other_systems("torchrun")
    if not _is_torch_there():
        raise ScriptError("torchrun needs torch, whose torch.distributed.run starts ranks: pip install torch")
    about, limit, reducers = declared(job.metrics), limit_of(job.timeout), reduction.checked(job.reduce)
    added = environ_of(job.env)
    with _folder(log.folder) as folder:
        name, command = _of_rank(job, folder)
        running = _Running(job.ranks, folder, log, [rank_log(rank) for rank in range(job.ranks)])
        threads = shares(job.threads, job.ranks)
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", **threads, **added, _FOLDER: str(folder)}
        ended = running.run(_launcher(job, folder, command), environ, limit)
        has_failed = ended.took_too_long or ended.returncode != 0
        found = running.measured(about, reducers, all_of_them=not has_failed)
        result = ScriptResult(
            returncode=ended.returncode,
            stdout=running.streams.text(0, "stdout"),
            stderr=running.streams.text(0, "stderr"),
            duration=ended.duration,
            metrics=dict(names(found.metrics)),
            returned=() if has_failed or not callable(job.target) else _returned(folder, job.ranks),
        )
        lines = running.failure(ended, limit) if has_failed else [found.problem] if found.problem is not None else []
    if not lines:
        return Ran(result=result, metrics=found.metrics, note=found.note)
    shown = [] if callable(job.target) else [command_line(["torchrun", *_shown(job, command)])]
    lines = [f"{name}: {lines[0]}", *shown, *lines[1:], *log_line(log.path()), *running.log_lines()]
    return Ran(result=result, metrics=found.metrics, error=ScriptError("\n".join(lines)), note=found.note)


def shares(threads: Mapping[str, str], ranks: int) -> dict[str, str]:
    """Return what each of so many ranks is given of numbers of threads, at least 1."""
    return {name: str(max(1, int(count) // ranks)) for name, count in threads.items()}


def _is_torch_there() -> bool:
    with contextlib.suppress(ValueError):  # a module that says nothing of where it came from
        return importlib.util.find_spec("torch") is not None
    return "torch" in sys.modules


def _of_rank(job: Job, folder: Path) -> tuple[str, list[str]]:
    """Return what the job is called, and what each rank runs. Raises ScriptError."""
    target = job.target
    if isinstance(target, str | os.PathLike):
        script = script_at(target, job.folders)
        return script.name, command_of(script, checked(job.params), job.args, job.style)
    if not callable(target):
        raise ScriptError(f"torchrun runs a script or a function, not a {type(target).__name__}")
    if job.params is not None and not isinstance(job.params, Mapping):
        raise ScriptError(f"the parameters of a function are a dict, not {safe_repr(job.params, 60)}")
    calls.write(folder / "call", target, arguments(job.args), job.params or {})
    program = f"{__package__}.function_rank"
    return calls.name_of(target), [sys.executable, "-P", "-u", "-m", program, str(folder)]


def _launcher(job: Job, folder: Path, command: Sequence[str]) -> list[str]:
    options = [
        *("--nnodes=1", "--node-rank=0", f"--nproc-per-node={job.ranks}"),
        *("--master-addr=127.0.0.1", f"--master-port={job.port()}"),
        *(f"--log-dir={folder / 'torchelastic'}", "--monitor-interval=0.1"),
    ]
    program = [sys.executable, "-P", "-u", "-m", f"{__package__}.launcher", str(folder / _FAILURES)]
    return [*program, *options, "--no-python", "/bin/sh", "-c", _RANK, "rank", *command]


def _shown(job: Job, command: Sequence[str]) -> list[str]:
    """Return how one would start the job by hand."""
    words = command[2:] if command[0] == sys.executable else ["--no-python", *command]
    return [f"--nproc-per-node={job.ranks}", *words]


def _returned(folder: Path, ranks: int) -> tuple[Any, ...]:
    return tuple(calls.returned(folder / f"{rank}.returned", rank) for rank in range(ranks))


class _Running:
    """A job that runs: its streams, and what comes of them."""

    def __init__(self, ranks: int, folder: Path, log: Log, rank_logs: Sequence[LogFile | None]) -> None:
        self._ranks = ranks
        self._folder = folder
        self._log = log
        self._rank_logs = rank_logs
        self._echo = Echo()
        self._of_launcher = Kept(2**16)
        self.streams = RankStreams(folder, rank_logs, self._pass_on)

    def run(self, command: Sequence[str], environ: Mapping[str, str], limit: float | None) -> Ended:
        """Run it to its end."""
        with self.streams:
            try:
                return process.run(command, environ, self._hear, timeout=limit, inputs=self.streams.inputs)
            finally:
                self.streams.close()
                with self._log.aside():
                    self._echo.close()

    def _hear(self, name: str, data: bytes) -> None:
        if name in ("stdout", "stderr"):
            self._of_launcher.hear(name, data)
            self._pass_on(name, data)
        else:
            self.streams.hear(name, data)

    def _pass_on(self, stream: str, data: bytes) -> None:
        self._log.write(data)
        with self._log.aside():
            self._echo.hear(stream, data)

    def measured(
        self, about: Mapping[str, Mapping[str, Any]], reducers: Mapping[str, str], *, all_of_them: bool
    ) -> Measured:
        """Return the metrics of rank 0, those that are to be reduced of all ranks."""
        found = self._measured(0, about, all_of_them)
        if not reducers or found.problem is not None:
            return found
        others = [self._measured(rank, about, False) for rank in range(1, self._ranks)]
        for rank, other in enumerate(others, 1):
            if other.problem is not None:
                return Measured(found.metrics, f"rank {rank}: {other.problem}", found.note)
        try:
            merged = reduction.reduced([found.metrics, *(one.metrics for one in others)], reducers)
        except MetricProblem as problem:
            # Of a job that has failed some ranks have given less, and what is of one of them is nobody's.
            kept = [one for one in found.metrics if one.name not in reducers and reduction.ALL not in reducers]
            return Measured(kept, str(problem), found.note)
        return Measured(merged, None, found.note)

    def _measured(self, rank: int, about: Mapping[str, Mapping[str, Any]], all_of_them: bool) -> Measured:
        file = self._folder / f"{rank}.metrics"
        return measured(file, self.streams.text(rank, "stdout"), about, all_of_them=all_of_them)

    def failure(self, ended: Ended, limit: float | None) -> list[str]:
        """Return the lines of an error: that of the rank which failed first comes first."""
        failures = self._failures()
        if not failures or ended.took_too_long:
            stderr = self._of_launcher.text("stderr")
            told = [] if ended.took_too_long else last_lines(stderr)
            return [how(ended, limit), *told, *self._last_words(range(self._ranks), {})]
        order = [rank for rank in self.streams.ended if rank in failures]
        first = order[0] if order else next(iter(failures))
        seconds = f"{ended.duration:.1f} s"
        problem = f"rank {first} of {self._ranks} ended with {status_text(failures[first])}, which ended all, {seconds}"
        others = [rank for rank in failures if rank != first]
        stderr = self.streams.text(first, "stderr")
        return [
            f"{problem} after the start",
            *last_lines(stderr, f"rank {first}'s "),
            *self._last_words(others, failures),
        ]

    def _failures(self) -> dict[int, int]:
        """Return the statuses of the ranks that have failed, as they were seen."""
        try:
            return dict(json.loads((self._folder / _FAILURES).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _last_words(self, ranks: Sequence[int], statuses: Mapping[int, int]) -> list[str]:
        lines = []
        for rank in ranks:
            last = self.streams.text(rank, "stderr").rstrip().rpartition("\n")[2]
            status = f" ended with {status_text(statuses[rank])}" if rank in statuses else ""
            if last or status:
                lines.append(f"  rank {rank}{status}{': ' if last else ''}{visible(last[:500])}")
        return lines

    def log_lines(self) -> list[str]:
        """Return the line of an error that says where the logs of ranks are."""
        path = next((log.path for log in self._rank_logs if log is not None and log.path.exists()), None)
        return log_line(None if path is None else path.parent, "logs of ranks")


@contextlib.contextmanager
def _folder(place: Path | None) -> Iterator[Path]:
    """Make a folder, in a place or, where that takes no named pipes, among temporary files; it is gone afterwards."""
    made = _made_in(place) if place is not None else None
    if made is None:
        made = _made_in(Path(tempfile.gettempdir()))
    if made is None:
        raise ScriptError("no folder with named pipes can be made, neither in the run's directory nor in $TMPDIR")
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _made_in(place: Path) -> Path | None:
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".ranks-", dir=place.resolve()))
        try:
            os.mkfifo(made / "try")
        except OSError:
            made.rmdir()
            return None
        return made
    return None

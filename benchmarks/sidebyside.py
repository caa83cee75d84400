"""Run the same suite in several ways in turn, and say when its tests began and ended.

Each test appends its begin and end to a file, on the clock that all processes share.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

SUITE = """
import os, time
from pathlib import Path
import pytest

CASES = {cases}

def param(number):
    gpus = CASES[number][1]
    return pytest.param(number, marks=[pytest.mark.gpupool(gpus=gpus)] if gpus > 1 else [])

@pytest.mark.parametrize("case", [param(number) for number in range(len(CASES))])
def test_case(case):
    began = time.monotonic()
    time.sleep(CASES[case][0])
    os.write(log, f"{{began}} {{time.monotonic()}}\\n".encode())

log = os.open(Path(__file__).with_name("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
"""

SHARING_SUITE = """
import os, time
from pathlib import Path
import pytest

DURATIONS = {durations}

@pytest.fixture(scope={scope!r}, params=range({models}))
def model(request):
    time.sleep({load})
    os.write(loads, b"1")
    return request.param

@pytest.mark.parametrize("task", range(len(DURATIONS)))
def test_case(model, task):
    began = time.monotonic()
    time.sleep(DURATIONS[task])
    os.write(log, f"{{began}} {{time.monotonic()}}\\n".encode())

log = os.open(Path(__file__).with_name("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
loads = os.open(Path(__file__).with_name("loads"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
"""

FIRST, LATER = "gpupool, first run", "gpupool, with history"
BESIDE = f"{LATER}, a second run beside it"

SCHEDULERS: Mapping[str, Sequence[str]] = {
    "xdist load": ("-p", "no:gpupool", "--dist", "load"),
    "xdist worksteal": ("-p", "no:gpupool", "--dist", "worksteal"),
    "xdist loadscope": ("-p", "no:gpupool", "--dist", "loadscope"),
    FIRST: ("-p", "pytest_gpupool.plugin", "--gpupool-devices", "cpu"),
    LATER: ("-p", "pytest_gpupool.plugin", "--gpupool-devices", "cpu"),
    BESIDE: ("-p", "pytest_gpupool.plugin", "--gpupool-devices", "cpu"),
}

Figures = TypeVar("Figures")


@dataclass(frozen=True)
class Case:
    """A test that sleeps."""

    seconds: float
    gpus: int = 1


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Tests that share models: each model has a test of each duration, and takes ``load`` seconds to set up."""

    models: int
    load: float
    durations: Sequence[float]
    scope: str


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to run a suite: what lies in a folder, and the command that is given there.

    ``learns`` is the file in which a run leaves what it learnt for the next one: it then runs once before it is timed.
    ``is_doubled`` says that the same runs beside it in another folder, on devices of its own.
    """

    lay_out: Callable[[Path], None]
    command: Sequence[str]
    learns: str | None = None
    is_doubled: bool = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a command in a folder that is still there; times in seconds."""

    folder: Path
    began: float
    wall: float


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One run, in seconds: the whole command, command to first test, first test to last end; and set-ups of models."""

    wall: float
    first: float
    makespan: float
    loads: int = 0


def write_suite(folder: Path, cases: Sequence[Case]) -> None:
    """Write sleeping tests for pytest into a folder."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_suite.py").write_text(SUITE.format(cases=[astuple(case) for case in cases]))


def write_sharing(folder: Path, suite: Sharing) -> None:
    """Write sleeping tests that share sleeping models."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_suite.py").write_text(SHARING_SUITE.format(**asdict(suite)))


def pytests(
    names: Collection[str], workers: int, lay_out: Callable[[Path], None], options: Sequence[str] = ()
) -> dict[str, Contender]:
    """Return pytest under schedulers by name, all with the same folder."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-p", "xdist", *options)
    return {
        name: Contender(
            lay_out=lay_out,
            command=(*pytest, *SCHEDULERS[name]),
            learns=".gpupool/durations.json" if name in (LATER, BESIDE) else None,
            is_doubled=name == BESIDE,
        )
        for name in names
    }


def sleepers(names: Collection[str], workers: int, cases: Sequence[Case]) -> dict[str, Contender]:
    """Return pytest with sleeping tests under schedulers by name."""
    return pytests(names, workers, partial(write_suite, cases=cases))


def timing(run: Run, tests: int) -> Timing:
    """Read when a run's tests began and ended."""
    spans = [tuple(map(float, line.split())) for line in (run.folder / "log").read_text().splitlines()]
    if len(spans) != tests:
        raise SystemExit(f"{len(spans)} of {tests} tests ran in {run.folder}")
    first = min(start for start, _ in spans)
    loads = run.folder / "loads"
    return Timing(
        wall=run.wall,
        first=first - run.began,
        makespan=max(end for _, end in spans) - first,
        loads=loads.stat().st_size if loads.exists() else 0,
    )


def rounds(
    contenders: Mapping[str, Contender], count: int, read: Callable[[Run], Figures]
) -> dict[str, Sequence[Figures]]:
    """Run every contender once per round, in turn, so that a slow moment of the machine meets all of them."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        folders = {key: base / str(number) for number, key in enumerate(contenders)}
        ready = [key for key, contender in contenders.items() if _prepare(key, contender, folders[key])]
        figures: dict[str, list[Figures]] = {key: [] for key in ready}
        for number in range(count):
            # Another one begins each time: what a run leaves behind for the next is then nobody's alone.
            start = number % max(1, len(ready))
            for key in (*ready[start:], *ready[:start]):
                _replace(folders[key], _prepared(folders[key]))
                figures[key].append(read(_timed(contenders[key], folders[key])))
    return dict(figures)


def median(figures: Sequence[Figures], figure: Callable[[Figures], float]) -> float:
    """Return the median of one figure."""
    return statistics.median(map(figure, figures))


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures], figure: Callable[[Figures], float]) -> float:
    """Return the median of one figure's ratios round by round."""
    return statistics.median(figure(our) / figure(their) for our, their in zip(ours, theirs, strict=True))


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n| {title} | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * len(columns)}")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")
    sys.stdout.flush()


def note(text: str) -> None:
    """Say something that is no part of a table."""
    print(text, file=sys.stderr, flush=True)


def _prepare(name: str, contender: Contender, folder: Path) -> bool:
    """Lay out what each timed run of a contender begins with; say whether it can be timed."""
    folder.mkdir()
    contender.lay_out(folder)
    if contender.learns is not None:
        _run(contender.command, folder)
        if not (folder / contender.learns).exists():
            note(f"{name}: left out, since its first run wrote no {contender.learns}")
            return False
    _replace(_prepared(folder), folder)
    return True


def _prepared(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.prepared")


def _replace(folder: Path, other: Path) -> None:
    """Put a copy of another folder in a folder's place.

    Without what was only cached: who has run before would else start faster, for a reason that is not its schedule.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(other, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache", "log", "loads"))


def _timed(contender: Contender, folder: Path) -> Run:
    if not contender.is_doubled:
        return _run(contender.command, folder)
    other = folder.with_name(f"{folder.name}.beside")
    _replace(other, _prepared(folder))
    with ThreadPoolExecutor() as pool:
        beside = pool.submit(_run, contender.command, other)
        run = _run(contender.command, folder)
        beside.result()
    return run


def _run(command: Sequence[str], folder: Path) -> Run:
    # Companions that happen to be installed would be timed as well.
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=600)
    wall = time.monotonic() - began
    if done.returncode != 0:
        said = done.stdout[-4000:] + done.stderr[-4000:]
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}\n{said}")
    return Run(folder=folder, began=began, wall=wall)

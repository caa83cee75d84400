"""Given: the runs that a call names: directories of runs, those around them, and packed runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...options.files import refuse_same
from ...records import archive
from ...records.archive import Recorded
from ...shards.agreement import shard_of
from ...shards.packing import SUFFIX, is_packed, unpack
from ...values.errors import UsageProblem
from ...values.texts import visible
from ..sources import warn

_DEPTH = 3  # folders in which CI systems put what they fetch


def load(names: Sequence[Path], into: Path, outputs: Mapping[str, Path | None]) -> list[Recorded]:
    """Return the runs; what is packed is unpacked below ``into``, a folder that is there and empty.

    Of a ``.gpupool`` directory they are the shards of the latest run that is one. ``outputs`` are what the call writes,
    by their options.

    Raises:
        UsageProblem: one of them is no run, cannot be read, or would be overwritten.
    """
    found: list[Recorded] = []
    for name in names:
        try:
            name.stat()
            runs = [run for path in _places(name, _DEPTH) for run in _runs(path, into, outputs)]
        except FileNotFoundError:
            raise UsageProblem(f"there is no {name}") from None
        except OSError as error:
            raise UsageProblem(f"{error.filename or name} cannot be read: {error.strerror or error}") from None
        if not runs:
            raise UsageProblem(
                f"{name} holds no run: give directories of runs, or what 'gpupool pack' has made of them"
            )
        found += runs
    for run in found:
        if archive.goes_on(run.path):
            raise UsageProblem(f"run {run.id} still goes on: merge it when it has ended")
    return found


def _places(path: Path, depth: int) -> Iterator[Path]:
    """Yield what holds runs: a run's directory, one of several, a packed run; or such in the folders of this one."""
    if not path.is_dir() or _is_run(path) or (path / "runs").is_dir():
        yield path
    elif depth:
        for inside in sorted(path.iterdir()):
            if inside.is_dir() or inside.name.endswith(SUFFIX):
                yield from _places(inside, depth - 1)


def _runs(path: Path, into: Path, outputs: Mapping[str, Path | None]) -> list[Recorded]:
    if path.is_dir():
        return [archive.load(path)] if _is_run(path) else _shards(path)
    if not is_packed(path):
        raise UsageProblem(f"{path} is no packed run: 'gpupool pack RUN' makes one")
    refuse_same({**outputs, str(path): path})
    folder = into / str(sum(1 for _ in into.iterdir()))
    folder.mkdir()
    run = unpack(path, folder)
    try:
        return [archive.load(run)]
    except UsageProblem:  # of a place that is of no use to anybody
        raise UsageProblem(f"{path} is damaged: its records cannot be read; 'gpupool pack RUN' makes one") from None


def _is_run(path: Path) -> bool:
    return (path / archive.CONTROLLER).is_file() or (path / archive.PLAN).is_file()


def _shards(base: Path) -> list[Recorded]:
    """Return the latest run on record that is a shard, and those that were cut as it was, of the same commit."""
    found, left_out = archive.load_all(archive.runs(base))
    known = [run for run in found if run.results.shard is not None]
    for text in left_out:
        warn(visible(text))
    return [run for run in known if _cut(run) == _cut(known[-1])]


def _cut(run: Recorded) -> tuple[object, ...]:
    git = run.facts()["git"]
    return shard_of(run)["fingerprint"], shard_of(run)["count"], git and git["commit"]

"""The baseline file on disk. It lies among a user's own files, so nothing is left beside it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from ...records.beside.items import link_or_copy
from ...records.store import LOCK_SECONDS, lock, write_whole
from ...values.errors import UsageProblem
from ..chance.cohort import Measurement
from . import cohort_files
from .baseline import Baseline, Entry, Key, parse
from .cohort_files import Addition
from .entries import BaselineProblem


class Update(Protocol):
    """What is to be written: the new entries, and what the run found of metrics that have one."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those that differ from the file's."""

    @property
    def additions(self) -> tuple[Addition, ...]:
        """What joins the cohorts of entries, new ones included."""

    @property
    def removed(self) -> tuple[Key, ...]:
        """The entries that are to go."""


_KEPT = "baseline.json"

U = TypeVar("U", bound=Update)


def load(path: Path) -> Baseline:
    """Read a baseline file, and the accepted runs beside it.

    Raises:
        UsageProblem: it is missing, cannot be read, or is not a sound baseline; it says which, where, and what to do.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        raise UsageProblem(
            f"the baseline file {path} is missing: make it with --gpupool-update-baseline, or give another one"
        ) from None


def save(path: Path, baseline: Baseline) -> None:
    """Write a baseline file whole, or leave it as it was; its directory is made. A symlink stays one.

    The samples of its entries lie beside it, see :func:`update`.

    Raises:
        OSError: as the system says it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, baseline.dump())


def at_start(path: Path, *, may_be_missing: bool) -> Baseline:
    """Read the baseline of a run that begins; one that is yet to be made is empty where it ``may_be_missing``.

    Raises:
        UsageProblem: see :func:`load`.
    """
    return Baseline() if may_be_missing and not path.exists() else load(path)


def keep(path: Path, baseline: Baseline, run: Path) -> None:
    """Keep a baseline beside a run's records, by which ``gpupool report`` judges a run that was killed."""
    # What cannot be written is said of the journals; somebody may change the file just now.
    with contextlib.suppress(OSError, ValueError):
        save(run / _KEPT, baseline)
        runs, copy = (cohort_files.directory_of(one) for one in (Path(os.path.realpath(path)), run / _KEPT))
        if runs.is_dir():
            copy.mkdir()
            for file in runs.glob("*.json"):  # many runs keep the same
                link_or_copy(file, copy / file.name)
        if inside := _inside(path):
            cohort_files.add(baseline, inside, copy)


def kept(run: Path) -> Baseline | None:
    """Return what :func:`keep` has kept, None where it is gone. Raises UsageProblem where it is damaged."""
    return _read_if_there(run / _KEPT)


def update(path: Path, change: Callable[[Baseline], U]) -> U:
    """Put into the file what ``change`` makes of what is in it now, and return that. A missing file is made.

    Runs of one host that end together both count: the file's directory is locked from reading to writing, where its
    file system can do that. (A lock on the file itself would be lost as it is replaced, and one beside it would be
    litter.) A file that would stay the same is not written.

    Raises:
        UsageProblem: the file cannot be read or written, or is not a sound baseline; it is then as it was.
    """
    try:
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            old = _read_if_there(path)
            kept_inside = _inside(path) if old is not None else ()
            changed = change(old or Baseline())
            new = (old or Baseline()).updated(changed.entries).without(changed.removed)
            if new != old or kept_inside:
                save(path, new)
            cohort_files.add(new, (*kept_inside, *changed.additions), cohort_files.directory_of(path))
    except OSError as error:
        raise UsageProblem(f"the baseline file {path} cannot be written: {error.strerror or error}") from None
    return changed


def _inside(path: Path) -> Sequence[Addition]:
    """Return what an older file has in its lines that lies beside it now: samples, and where values come from."""
    entries = parse(path.read_bytes().decode()).entries
    return [
        Addition(
            entry=entry,
            found=Measurement(value=entry.value, n=entry.n, samples=entry.samples),
            run=entry.run,
            commit=entry.commit,
            dirty=entry.dirty,
            date=entry.date,
            reason=entry.reason,
        )
        for entry in entries
        if entry.samples is not None or (entry.run and (entry.commit or entry.date or entry.reason))
    ]


def _read_if_there(path: Path) -> Baseline | None:
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    return None


def _read(path: Path) -> Baseline:
    try:
        runs = cohort_files.directory_of(Path(os.path.realpath(path)))
        return cohort_files.attached(parse(path.read_bytes().decode()), runs)
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise UsageProblem(f"the baseline {path} is a directory: give the path of a file") from None
    except OSError as error:
        raise UsageProblem(f"the baseline file {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageProblem(f"the baseline file {path} is damaged: byte {error.start} is not UTF-8") from None
    except BaselineProblem as problem:
        reasons = str(problem).splitlines()
        told = f" {reasons[0]}" if len(reasons) == 1 else "".join(f"\n  {reason}" for reason in reasons)
        raise UsageProblem(f"the baseline file {path} cannot be used:{told}") from None


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens none
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            lock(descriptor, LOCK_SECONDS)
        except TimeoutError:
            raise
        except OSError:
            pass  # NFS, for one, locks no directories: better unlocked than not at all
        yield
    finally:
        os.close(descriptor)  # which unlocks

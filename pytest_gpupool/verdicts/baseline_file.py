"""The baseline file on disk. It lies among a user's own files, so nothing is left beside it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from ..records.store import LOCK_SECONDS, lock, write_whole
from ..values.errors import UsageProblem
from .baseline import Baseline, Entry, parse
from .baseline_entries import BaselineProblem


class Update(Protocol):
    """What is to be written: the new entries."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those that differ from the file's."""


U = TypeVar("U", bound=Update)


def load(path: Path) -> Baseline:
    """Read a baseline file.

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

    Raises:
        OSError: as the system says it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, baseline.dump())


def copied(path: Path, directory: Path | None, *, may_be_missing: bool) -> Path | None:
    """Read the baseline file now; return a copy of it in that directory, so that all workers judge by the same one.

    However late they start, and whoever writes to the file meanwhile. Where there can be no copy, it is the file; None
    where that is yet to be made.

    Raises:
        UsageProblem: see :func:`load`; a file that may be missing counts as an empty one.
    """
    is_new = may_be_missing and not path.exists()
    baseline = Baseline() if is_new else load(path)
    copy = None if directory is None else directory / "baseline.json"
    try:
        if copy is not None:
            save(copy, baseline)
            return copy
    except OSError:
        pass  # said where the journals cannot be written
    return None if is_new else path


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
            changed = change(old or Baseline())
            new = (old or Baseline()).updated(changed.entries)
            if new != old:
                save(path, new)
    except OSError as error:
        raise UsageProblem(f"the baseline file {path} cannot be written: {error.strerror or error}") from None
    return changed


def _read_if_there(path: Path) -> Baseline | None:
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    return None


def _read(path: Path) -> Baseline:
    try:
        return parse(path.read_bytes().decode())
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

"""Attachments: files that a test has kept, in a folder of the run's directory for each attempt at it.

    attachments/TEST-DIGEST/gw0-1/plot.png

Records and reports name each: its path from the run's directory, its media type, its size, its digest.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mimetypes
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ..folding.result import TestResult
from .items import link_or_copy
from .names import marked, name_of, safe
from .samples import is_place as is_items
from .samples import over_summaries

FOLDER = "attachments"

MOST_FILES = 1000
"""Files of one attempt that are named in reports; what lies there besides stays there."""

MOST_DIGESTED = 1 << 30
"""A longer file has no digest."""

Attachment = Mapping[str, Any]

DRAFT = ".gpupool-draft-"
"""How a file is called while it is written: who is killed then leaves no half of an attachment."""

_CUT_OFF = frozenset({"crashed", "timeout", "not-run"})
_LONGEST_NAME = 120
_PIECE = 1 << 20
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates that stand for no byte of a file's name


def folder_of(nodeid: str, worker: str, attempt: int) -> str:
    """Return where the files of an attempt lie in a run's directory."""
    return f"{FOLDER}/{name_of(nodeid)}/{safe(worker)}-{attempt}"


def is_place(name: object) -> bool:
    """Say whether this is such a folder, or a path in one, and no other place on the disk."""
    if not isinstance(name, str) or "\\" in name or "\0" in name:
        return False
    path = PurePosixPath(name)
    parts = path.parts
    return parts[:1] == (FOLDER,) and len(parts) >= 3 and ".." not in parts and str(path) == name


def file_name(name: str, suffix: str = "") -> str:
    """Return a name of one file that any file system takes, for what a test calls an attachment."""
    kept = safe(name).lstrip("._-") or "attachment"
    stem, dot, end = kept.rpartition(".")
    if not dot or not stem or len(end) > 10:
        stem, end = kept, suffix.lstrip(".")
    return f"{stem[: _LONGEST_NAME - len(end)]}.{end}" if end else stem[:_LONGEST_NAME]


def described(folder: Path, path: Path, place: str, name: str | None = None) -> dict[str, Any]:
    """Return what records have of a file below a ``folder``, whose ``place`` in the run's directory this is.

    Raises:
        OSError: it cannot be read.
    """
    inside = path.relative_to(folder).as_posix()
    size = path.stat().st_size
    told = {
        "name": sound(name or inside),
        "path": sound(f"{place}/{inside}"),
        "media_type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "size": size,
    }
    return told | ({"sha256": _digest(path)} if size <= MOST_DIGESTED else {})


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, in order; what is no plain file of it, such as a link, is none."""
    with contextlib.suppress(OSError):
        for path in sorted(folder.rglob("*")):
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode) and not path.name.startswith(DRAFT):
                    yield path


def opened(run: Path, name: object) -> BinaryIO:
    """Open what a test has kept, by its path in the run's directory; no link leads from there to another place.

    Raises:
        OSError: it is not there, or is no plain file of that folder.
    """
    if not is_place(name):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        path = run / str(name)
        if path.resolve(strict=True) != run.resolve() / str(name):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except ValueError as error:  # no file can be called so
        raise FileNotFoundError(errno.ENOENT, str(error)) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file")
    return file


def unnamed(folder: Path, place: str, known: Iterable[Attachment]) -> Iterator[dict[str, Any]]:
    """Yield what a test has left in its folder, and has not attached itself."""
    named = {one.get("path") for one in known}
    for count, path in enumerate(files_in(folder)):
        if count >= MOST_FILES:
            return
        if f"{place}/{path.relative_to(folder).as_posix()}" not in named:
            with contextlib.suppress(OSError):  # it has vanished just now
                yield described(folder, path, place)


def remove_if_empty(folder: Path, run: Path) -> None:
    """Leave no folder behind in which nothing lies."""
    with contextlib.suppress(OSError):
        for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()
        folder.rmdir()
        folder.parent.rmdir()
        (run / FOLDER).rmdir()


def complete(run: Path, tests: Iterable[TestResult]) -> None:
    """Add what tests have left that were killed, before their process could say so."""
    for test in tests:
        for one in (test, *test.again):
            if one.folder is not None and one.outcome in _CUT_OFF and is_place(one.folder):
                one.attachments = [*one.attachments, *unnamed(run / one.folder, one.folder, one.attachments)]


def take_over(told: Attachment, sources: Sequence[Path], target: Path, mark: str) -> dict[str, Any]:
    """Have an attachment in another run's directory as well, in a folder with a ``mark``; return what it is there.

    Where it cannot be, it is missing there.
    """
    if not is_place(told.get("path")):
        return dict(told)
    folder, test, attempt, *rest = PurePosixPath(told["path"]).parts
    place = "/".join([folder, test, marked(attempt, mark), *rest])
    source = next((path for run in sources if (path := run / told["path"]).is_file()), None)
    if source is None:
        return dict(told)
    try:
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        if not (target / place).exists():
            link_or_copy(source, target / place)
    except OSError:
        return dict(told)
    return {**told, "path": place}


def over_attachments(test: Mapping[str, Any], changed: Callable[[Attachment], dict[str, Any]]) -> dict[str, Any]:
    """Return what a record or a report has of a test with each attachment changed, those of attempts as well."""
    found = dict(test)
    if found.get("attachments"):
        found["attachments"] = [changed(one) for one in found["attachments"]]
    for several in ("attempts", "before", "again", "repeats"):
        if several in found:
            found[several] = [over_attachments(one, changed) if "attachments" in one else one for one in found[several]]
    return found


def copied(report: Mapping[str, Any], runs: Sequence[Path], target: Path, *, items: bool = True) -> list[str]:
    """Have beside a report what it names of these runs' directories, which do not stay; return what went wrong.

    ``items`` says whether the files with values of single items are wanted there, too.
    """
    names: dict[str, None] = {}

    def note(told: Attachment) -> dict[str, Any]:
        name = told.get("path") or told.get("file")
        if is_place(name) or (items and is_items(name)):
            names[str(name)] = None
        return dict(told)

    for test in report["tests"]:
        over_attachments(over_summaries(test, note), note)
    problems = [problem for name in names if (problem := _copied(name, runs, target)) is not None]
    return problems[:1]


def _copied(name: str, runs: Sequence[Path], target: Path) -> str | None:
    source = next((path for run in runs if (path := run / name).is_file()), None)
    if source is None or (target / name).exists():
        return None
    try:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source, target / name)
    except OSError as error:
        return f"{target / name} could not be written, which the report names: {error.strerror or error}"
    return None


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def sound(text: str) -> str:
    """Return a text that UTF-8 can carry, for one that a test gives, or a file's name of any bytes."""
    errors = "backslashreplace" if _NO_BYTE.search(text) else "surrogateescape"
    return text.encode(errors=errors).decode(errors="backslashreplace")

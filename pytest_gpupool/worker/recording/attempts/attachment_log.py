"""The attachment log: what a test attaches, and what it leaves in its folder, is kept and named in the records."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....processes.own.forks import Owner
from ....values.errors import MetricProblem
from ....values.texts import one_line

if TYPE_CHECKING:
    from ..writer import RecordWriter
    from .attempt import Attempt

MOST_SENT = 32 << 20
"""Bytes of one attempt that go to the controller from a host without the run's directory."""

_PIECE = 256 << 10
_MOST_LINES = 20


class AttachmentLog:
    """Keeps the files of one process's tests, and of the children that these have forked."""

    def __init__(self, writer: RecordWriter | None) -> None:
        self._writer = writer
        self._owner = Owner()
        self.run: Path | None = None if writer is None else writer.run_dir
        """The run's directory, None where this process has none."""
        self._own: Path | None = None  # what stands for it then
        self._bases: dict[str, Path] = {}  # what stands for it in other processes, by the folder of the attempt
        self.tell: Callable[[str], None] = lambda _: None

    def is_of_another(self, process: int, run: Path | None) -> None:
        """This process was started for a test of another one."""
        self._owner, self.run = Owner(process), run

    def folder(self, attempt: Attempt, put: Callable[[dict[str, Any]], bool]) -> Path:
        """Return the folder of an attempt, which is there; ``put`` leaves word for the process that runs the test.

        Raises:
            MetricProblem: it cannot be made.
        """
        place = self._place(attempt)
        path = self._base() / place
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MetricProblem(f"out_dir: {path} cannot be made: {error.strerror or error}") from None
        if attempt.folder is None:
            attempt.folder = place
            if self._owner.is_here:
                self._record(attempt, folder=place)
            else:
                put({"folder": place, "base": str(self._base())})
        return path

    def attach(
        self, data: object, name: object, attempt: Attempt, put: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Keep what a test hands over; return what records have of it.

        Raises:
            MetricProblem: it cannot be kept, and why.
        """
        from ....records.beside import attachments
        from . import attached_data

        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise MetricProblem(f"attach: a name is a text, not {name!r}")
        if attached_data.is_url(data):
            told = {"name": attachments.sound(name or str(data)), "url": data}
        else:
            called, suffix, write = attached_data.as_file(data, name)
            folder = self.folder(attempt, put)
            path = _written(folder, attachments.file_name(called, suffix), write, called)
            try:
                told = attachments.described(folder, path, self._place(attempt), called)
            except OSError as error:
                raise MetricProblem(f"attach: {called} cannot be kept: {error.strerror or error}") from None
        self._keep(told, attempt)
        if not self._owner.is_here and not put({"attached": told}):
            raise MetricProblem(
                f"attach: {told['name']} is in no report: this process cannot tell the test's own of it"
            )
        return told

    def heard(self, word: dict[str, Any], attempt: Attempt) -> None:
        """A child of the test has left word."""
        if "folder" in word:
            attempt.folder = word["folder"]
            if self.run is None:
                self._bases[word["folder"]] = Path(word["base"])
            self._record(attempt, folder=word["folder"])
        else:
            self._keep(word["attached"], attempt)

    def ends(self, attempt: Attempt) -> None:
        """The attempt is over, in the process that runs it: what it has left in its folder is named as well."""
        if attempt.folder is None or not self._owner.is_here:
            return
        from ....records.beside import attachments

        place = attempt.folder
        base = self._bases.pop(place, None) or self._base()
        folder = base / place
        for told in list(attachments.unnamed(folder, place, attempt.attachments)):
            self._keep(told, attempt)
        if self.run is None:
            self._send(folder, place, attempt)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            attachments.remove_if_empty(folder, base)

    def lines(self, attempt: Attempt) -> list[str]:
        """Return a line for each attachment of an attempt that has failed, as the terminal shows them."""
        if not attempt.attachments and attempt.folder is None:
            return []
        from ....records.beside import attachments

        found = list(attempt.attachments)
        if attempt.folder is not None:
            found += attachments.unnamed(self._base() / attempt.folder, attempt.folder, found)
        told = [one_line(one.get("url") or self._shown(one["path"])) for one in found]
        return told[:_MOST_LINES] + ([f"… and {len(told) - _MOST_LINES} more"] if len(told) > _MOST_LINES else [])

    def _shown(self, path: str) -> str:
        return path if self.run is None else os.path.relpath(self.run / path)

    def close(self) -> None:
        """Leave nothing behind where there is no run's directory."""
        if self._own is not None and self._owner.is_here:
            shutil.rmtree(self._own, ignore_errors=True)

    def _place(self, attempt: Attempt) -> str:
        from ....records.beside import attachments

        assert attempt.test is not None
        worker = "main" if self._writer is None else self._writer.worker
        return attachments.folder_of(attempt.test.nodeid, worker, attempt.tries)

    def _base(self) -> Path:
        if self.run is not None:
            return self.run
        if self._own is None:
            self._own = Path(tempfile.mkdtemp(prefix="gpupool-attachments-"))
        return self._own

    def _keep(self, told: dict[str, Any], attempt: Attempt) -> None:
        attempt.attachments.append(told)
        if self._owner.is_here:
            self._record(attempt, attachment=told)

    def _record(self, attempt: Attempt, **values: Any) -> None:
        if self._writer is not None and attempt.test is not None:
            self._writer.write("attached", test=attempt.test.nodeid, **values)

    def _send(self, folder: Path, place: str, attempt: Attempt) -> None:
        """Have the controller write the files, as far as they are not too large for the way there."""
        from ....records.beside import attachments

        if self._writer is None or attempt.test is None:
            return
        left = MOST_SENT
        for path in attachments.files_in(folder):
            name = f"{place}/{path.relative_to(folder).as_posix()}"
            with contextlib.suppress(OSError), path.open("rb") as file:
                if path.stat().st_size > left:
                    self.tell(
                        f"{name} is not kept: files of {MOST_SENT >> 20} MiB at most of a test go from another host to "
                        "the run's own; write larger ones where both see them"
                    )
                    continue
                while piece := file.read(_PIECE):
                    left -= len(piece)
                    self._writer.send_piece(attempt.test.nodeid, name, piece)


def _written(folder: Path, name: str, write: Callable[[Any], object], called: str) -> Path:
    """Write a file under a name that no other one has; leave nothing where that fails. Raises MetricProblem."""
    from ....records.beside.attachments import DRAFT

    draft = folder / f"{DRAFT}{secrets.token_hex(4)}"
    try:
        with draft.open("xb") as file:
            write(file)
        return _named(draft, name)
    except BaseException as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        if not isinstance(error, Exception):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
        raise MetricProblem(f"attach: {called} cannot be kept: {reason}") from None


def _named(draft: Path, name: str) -> Path:
    """Give a file that is whole its name, or the first one with a number that no other file has. Raises OSError."""
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    number, path = 1, draft.with_name(name)
    while True:
        try:
            try:
                os.link(draft, path)  # which, unlike to rename it, takes nobody's name
            except FileExistsError:
                raise
            except OSError:  # a file system without links
                path.open("xb").close()
                draft.replace(path)
            draft.unlink(missing_ok=True)
            return path
        except FileExistsError:
            number += 1
            path = draft.with_name(f"{stem}-{number}{dot}{suffix}")

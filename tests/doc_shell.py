"""The shell in which a page's commands are run one after the other, and what becomes of what they start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from doc_pages import Command, File, Page, difference, fits
from support import COMPANIONS, LIMIT, Host, processes_of

HOME = "/home/ann/project"
"""What pages show for the folder in which a reader types."""
COLUMNS = 96


@dataclass(frozen=True)
class Reader:
    """Somebody who does all that a page says, in a fresh folder."""

    host: Host
    places: Callable[[str], Mapping[str, str]]
    """What the environment has of who works at another place, by that one's name."""

    def follow(self, page: Page) -> Iterator[tuple[Command, int, str]]:
        """Do it; each command with its exit status, and what it has printed."""
        try:
            for part in page.parts:
                if isinstance(part, File):
                    self.host.project.joinpath(part.name).parent.mkdir(parents=True, exist_ok=True)
                    self.host.project.joinpath(part.name).write_text(part.text, encoding="utf-8")
                elif isinstance(part, Command):
                    yield (part, *self._type(part))
        finally:
            for pid in processes_of(self.host.lock_dir):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _type(self, command: Command) -> tuple[int, str]:
        descriptor, name = tempfile.mkstemp(prefix="printed", dir=self.host.directory)
        with os.fdopen(descriptor, "wb") as file:
            # What goes on in the background has the file as well, and is not waited for: the next command has its own.
            done = subprocess.run(
                ["bash", "-c", command.text],
                cwd=self.host.project,
                env=self._environ(command.on),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=LIMIT,
            )
        printed = Path(name).read_text(encoding="utf-8", errors="replace")
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode  # as a shell says it
        return status, printed.replace(str(self.host.project), HOME)

    def _environ(self, place: str) -> dict[str, str]:
        home = self.host.directory / "home"
        home.mkdir(exist_ok=True)
        # What is installed beside for other tests only takes time, and is no part of what a page shows.
        off = " ".join(f"-pno:{name}" for name in COMPANIONS)
        person = {f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        alone = {"CI": None, "BUILD_NUMBER": None}  # pytest cuts no line of its summary in a CI system's job
        environ = self.host.environ(
            PYTEST_ADDOPTS=off, HOME=str(home), COLUMNS=str(COLUMNS), PYTHONUNBUFFERED="1", **alone, **person
        )
        if place:
            environ |= self.places(place)
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        return environ


def complaint(page: Page, command: Command, status: int, printed: str) -> str | None:
    """Return what is wrong with what a command did, None where it did what the page shows."""
    where = f"{page.name}, line {command.first}: $ {command.text}"
    if status != command.status:
        return f"{where}\nended with {status}, and not {command.status}:\n{printed}"
    if command.expected and not fits(command.expected, printed):
        return f"{where}\n{difference(command.expected, printed)}\nprinted:\n{printed}"
    return None

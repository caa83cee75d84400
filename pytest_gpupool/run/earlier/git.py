"""Git: the working tree in which a project lies, as git tells it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...processes.own.programs import limited
from ...values.errors import GpupoolError

_SECONDS = 10.0  # a repository on a slow disk is not worth waiting for
_SOURCES = ("*.py", "*.toml", "*.ini", "*.cfg")  # what a result may come from though git does not know it
_MARK_OF_ENVIRONMENT = "pyvenv.cfg"


class GitProblem(GpupoolError):
    """There is a repository, and git does not read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A working tree with at least one commit; ``top`` is its topmost folder, ``branch`` None where it is on none."""

    top: Path
    commit: str
    branch: str | None

    def place_of(self, directory: Path) -> str:
        """Return where a directory lies in it, from the top; empty at the top, or outside."""
        found = os.path.relpath(os.path.realpath(directory), os.path.realpath(self.top))
        return "" if found == os.curdir or found.startswith(os.pardir) else Path(found).as_posix()

    def changed(self, *, since: str | None = None) -> list[str]:
        """Return the paths from the top of the files that git knows and that differ from a commit, the present one.

        Raises:
            GitProblem: git does not say, as where it has no such commit.
        """
        told = ask(self.top, "diff", "--name-only", "-z", "--no-renames", since or self.commit, "--")
        return [name for name in told.split("\0") if name]

    def unknown(self) -> list[str]:
        """Return the paths of Python and configuration files that git neither knows nor ignores.

        Those of a virtual environment are nobody's sources. Raises GitProblem.
        """
        told = ask(self.top, "ls-files", "-z", "--others", "--exclude-standard", "--", *_SOURCES)
        names = [name for name in told.split("\0") if name]
        environments = {folder for folder in _folders(names) if (self.top / folder / _MARK_OF_ENVIRONMENT).is_file()}
        return [name for name in names if environments.isdisjoint(_above(name))]

    def is_dirty(self, ignoring: Collection[Path]) -> bool:
        """Say whether any of these files are there, all but those to ignore. Raises GitProblem."""
        ignored = {os.path.realpath(path) for path in ignoring}
        return any(os.path.realpath(self.top / name) not in ignored for name in self.changed()) or bool(self.unknown())

    def facts(self, ignoring: Collection[Path]) -> dict[str, Any]:
        """Return ``commit, branch, dirty`` for a report; dirty is None where git could not tell."""
        try:
            dirty: bool | None = self.is_dirty(ignoring)
        except GitProblem:
            dirty = None
        return {"commit": self.commit, "branch": self.branch, "dirty": dirty}


def tree(directory: Path) -> Tree | None:
    """Return the working tree of a directory; None where it lies in none, nothing was committed, or there is no git.

    Raises:
        GitProblem: there is one that git does not read, as one of another user.
    """
    try:
        top = Path(ask(directory, "rev-parse", "--show-toplevel"))
    except GitProblem as problem:
        if "not a git repository" in str(problem):
            return None
        raise
    except FileNotFoundError:
        return None
    commit = _maybe(top, "rev-parse", "--verify", "-q", "HEAD")
    if commit is None:
        return None
    return Tree(top=top, commit=commit, branch=_maybe(top, "symbolic-ref", "--short", "-q", "HEAD"))


def ask(directory: Path, *args: str) -> str:
    """Return what git answers.

    Raises:
        GitProblem: with git's own words.
        FileNotFoundError: there is no git, or no such directory.
    """
    try:
        # Without optional locks: a report must not disturb a commit that is being made.
        process = subprocess.Popen(
            ["git", "--no-optional-locks", *args],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",  # as Python takes the names of files
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GitProblem(str(error.strerror)) from None
    with process, limited(process, _SECONDS) as was_killed:
        said, complaint = process.communicate()
    if was_killed.is_set():
        raise GitProblem(f"no answer within {_SECONDS:g} s")
    if process.returncode:
        raise GitProblem(_words_of(complaint) or f"'git {args[0]}' ended with exit status {process.returncode}")
    return said.rstrip("\n")


def _maybe(directory: Path, *args: str) -> str | None:
    try:
        return ask(directory, *args)
    except GitProblem:
        return None


def _words_of(stderr: str) -> str:
    """Return git's own words in a line, with the command that it advises, such as the one for a strange owner."""
    lines = [line.strip().removeprefix("fatal: ") for line in stderr.splitlines() if line.strip()]
    advice = next((line for line in lines[1:] if line.startswith("git config")), None)
    return "; ".join(filter(None, [*lines[:1], advice]))


def _above(name: str) -> Iterator[str]:
    """Yield every folder that a path lies in, but the top."""
    parts = name.split("/")[:-1]
    return ("/".join(parts[:length]) for length in range(1, len(parts) + 1))


def _folders(names: Collection[str]) -> set[str]:
    return {folder for name in names for folder in _above(name)}

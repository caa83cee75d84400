"""The host: what a report says of the machine, the software and the sources."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__

_PACKAGES = ("pytest", "pytest-xdist", "torch", "numpy", "execnet", "filelock", "nvidia-ml-py", "psutil")
_GIT_SECONDS = 10.0  # a repository on a slow disk is not worth waiting for
_SOURCES = ("*.py", "*.toml", "*.ini", "*.cfg")  # what a result may come from though git does not know it


def describe() -> dict[str, Any]:
    """Return ``name, platform, cpu_count, memory_bytes`` of this host."""
    import psutil

    return {
        "name": socket.gethostname(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def software(driver: str | None) -> dict[str, str | None]:
    """Return versions by name, None for what is not installed. Imports none of it."""
    versions = {package.replace("-", "_"): _version(package) for package in _PACKAGES}
    return {
        "python": platform.python_version(),
        **versions,
        "pytest_gpupool": __version__,
        "driver": driver,
    }


def git(directory: Path, *, ignoring: Path | None = None) -> dict[str, Any] | None:
    """Return ``commit, branch, dirty`` of the working tree, None where there is none (or no git).

    It is dirty where a file that git knows has been changed, all but ``ignoring``, or where there is a Python or
    configuration file that git neither knows nor ignores; None where git could not tell.
    """
    commit = _git(directory, "rev-parse", "HEAD")
    if commit is None:
        return None
    branch = _git(directory, "symbolic-ref", "--short", "-q", "HEAD")
    return {"commit": commit, "branch": branch, "dirty": _is_dirty(directory, ignoring)}


def _is_dirty(directory: Path, ignoring: Path | None) -> bool | None:
    top = _git(directory, "rev-parse", "--show-toplevel")
    if top is None:
        return None
    changed = _git(Path(top), "status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
    if changed is None:
        return None
    ignored = None if ignoring is None else os.path.realpath(ignoring)
    # Two letters and a space, then the path.
    if any(os.path.realpath(Path(top, line[3:])) != ignored for line in changed.split("\0") if line):
        return True
    unknown = _git(Path(top), "ls-files", "-z", "--others", "--exclude-standard", "--", *_SOURCES)
    return None if unknown is None else bool(unknown)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(directory: Path, *args: str) -> str | None:
    try:
        # Without optional locks: a report must not disturb a commit that is being made.
        done = subprocess.run(
            ["git", "--no-optional-locks", *args],
            cwd=directory,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # as Python takes the names of files
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip("\n")

"""Projects that take several runs to make: each made once in a process, and copied for the tests that begin with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from support import Host


class Projects:
    """Those that were made so far."""

    def __init__(self, make_directory: Callable[[str], Path]) -> None:
        self._make_directory = make_directory
        self._made: dict[str, Path] = {}

    def put(self, host: Host, name: str, make: Callable[[Host], object]) -> Host:
        """Give a host, on which nothing was run yet, the project of that name; it was made on one without GPUs."""
        if name not in self._made:
            maker = Host(self._make_directory(name), None)
            make(maker)
            self._made[name] = maker.project
        shutil.copytree(self._made[name], host.project, dirs_exist_ok=True)
        return host

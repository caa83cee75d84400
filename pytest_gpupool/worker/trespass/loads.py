"""Loads: whether a plugin or conftest.py kept to this process's devices as it was loaded. Imports no pytest."""

from __future__ import annotations

import os
from types import ModuleType

from .own_devices import Change, OwnDevices, words_of


class LoadWatch:
    """A plugin of pytest that hears of each plugin that is registered after it, conftest.py files among them.

    ``changes_pass`` says that a changed variable is put back, and no problem: in a controller no test runs.
    """

    def __init__(self, own: OwnDevices, *, changes_pass: bool = False) -> None:
        self.own = own
        self._changes_pass = changes_pass
        self._problems: list[str] = []
        self._strangers_told = False  # they stay visible: who is loaded later is not to blame

    def pytest_plugin_registered(self, plugin: object) -> None:
        """Look what a module did: it is registered as soon as it has been imported. Other plugins come at any time."""
        if isinstance(plugin, ModuleType):
            path = conftest_path(plugin)
            self.look(path or f"the plugin {plugin.__name__}", thoroughly=bool(path))

    def look(self, culprit: str, *, thoroughly: bool = True) -> None:
        """See what ``culprit`` did as it was loaded; ``thoroughly``: also where no variable has changed."""
        change = self.own.take_change()
        strangers = self.own.strangers() if (change or thoroughly) and not self._strangers_told else ()
        if strangers:
            self._strangers_told = True
            self._problems.append(_initialised(culprit, strangers, self.own))
        elif change and not self._changes_pass:
            self._problems.append(_changed(culprit, change, self.own))

    def take_problems(self) -> str | None:
        """Return what was found since the last call, a line each; None where that is nothing."""
        problems, self._problems = self._problems, []
        return "\n".join(problems) or None


def _changed(culprit: str, change: Change, own: OwnDevices) -> str:
    return (
        f"{culprit} {words_of(change)}, but {own.leased()}: remove that line, or switch the pool off with -p no:gpupool"
    )


def _initialised(culprit: str, strangers: tuple[str, ...], own: OwnDevices) -> str:
    return (
        f"{culprit} initialised {own.vendor.runtime} with {', '.join(strangers)}, but {own.leased()}: let it use "
        f"{own.vendor.runtime} inside tests or fixtures only, and leave the choice of devices to the pool, or switch "
        "that off with -p no:gpupool"
    )


def conftest_path(plugin: object) -> str | None:
    """Return the path of a conftest.py as pytest shows it, from where it was called; None for other plugins."""
    path = getattr(plugin, "__file__", None)
    if not isinstance(path, str) or os.path.basename(path) != "conftest.py":  # noqa: PTH119 - nothing to import for
        return None
    here = os.getcwd()  # noqa: PTH109
    return os.path.relpath(path, here) if path.startswith(here + os.sep) else path

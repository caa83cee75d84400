"""The end of a role: what it has set up in this process goes with it, at pytest's end or when the role changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

PLUGINS = "gpupool-"
"""How the names of all plugins begin that a role registers."""

_stack_key: pytest.StashKey[ExitStack] = pytest.StashKey()


def at_end(config: pytest.Config, callback: Callable[[], object]) -> None:
    """Have something called when this process's present role ends; what was added last is called first."""
    stack = config.stash.get(_stack_key, None)
    if stack is None:
        stack = config.stash[_stack_key] = ExitStack()
        config.add_cleanup(stack.close)
    stack.callback(callback)


def end(config: pytest.Config) -> None:
    """End the present role: its plugins hear nothing more, and all that it has set up is undone."""
    manager = config.pluginmanager
    for name, plugin in manager.list_name_plugin():
        if name.startswith(PLUGINS) and plugin is not None:
            manager.unregister(plugin)
    if (stack := config.stash.get(_stack_key, None)) is not None:
        stack.close()

"""Names of plugins beside pytest that are not theirs to keep, and what becomes of them in another process.

Seen in pytest-timeout 2.3 and 2.4, pytest-rerunfailures 15.0 to 16.7, coverage 7.6 to 7.17.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

_RERUNS = ("_test_failed_statuses", "_terminal_errors", "_test_xfailed")
_RERUNS_BY_CONDITION = ("_rerun_condition_excinfos", "_rerun_condition_results")


def stop_timeout(item: pytest.Item) -> None:
    """Stop pytest-timeout's clock of a test, whose time is kept in another process."""
    if _has_timeout(item):
        item.config.hook.pytest_timeout_cancel_timer(item=item)


def start_timeout(item: pytest.Item) -> None:
    """Start it in the process in which the test runs."""
    if not _has_timeout(item):
        return
    import pytest_timeout

    settings = pytest_timeout._get_item_settings(item)
    if settings.timeout and settings.timeout > 0 and not settings.func_only:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


def _has_timeout(item: pytest.Item) -> bool:
    return item.config.pluginmanager.hasplugin("timeout") and hasattr(
        sys.modules.get("pytest_timeout"), "_get_item_settings"
    )


def protocol_of_others(config: pytest.Config, but: object) -> Callable[..., object]:
    """Return the hook ``pytest_runtest_protocol`` without this package's plugins, one of them excepted.

    Nor has it pytest-timeout's, whose clock :func:`start_timeout` starts.
    """
    manager = config.pluginmanager
    ours = [plugin for plugin in manager.get_plugins() if plugin is not but and _is_ours(plugin)]
    return manager.subset_hook_caller("pytest_runtest_protocol", [*ours, manager.getplugin("timeout")])


def _is_ours(plugin: object) -> bool:
    return type(plugin).__module__.partition(".")[0] == __name__.partition(".")[0]


def begin_reruns(item: pytest.Item) -> None:
    """Have pytest-rerunfailures find what it looks for when an attempt is over, which it notes as reports are made."""
    if hasattr(item, "execution_count"):
        for name in (*_RERUNS, *_RERUNS_BY_CONDITION):
            setattr(item, name, {})


def are_no_reruns(item: pytest.Item) -> None:
    """Have it not save, in this process, what a rerun would find set up: there is none here."""
    vars(item).pop("execution_count", None)


def threads_of_reruns() -> set[int]:
    """Return the threads in which it waits for workers, and holds no lock meanwhile, by Python's numbers."""
    return {ident for ident, frame in sys._current_frames().items() if _is_of_reruns(frame)}


def _is_of_reruns(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "pytest_rerunfailures" and frame.f_code.co_name.startswith("run_"):
            return True
        frame = frame.f_back
    return False


def note_failure(item: pytest.Item, phase: str) -> None:
    """Have it know of a failure of which another process could not tell."""
    if hasattr(item, "execution_count"):
        vars(item).setdefault("_test_failed_statuses", {})[phase] = True


def save_coverage() -> None:
    """Save what coverage has measured in this process, in a file of its own, which is combined with the others."""
    coverage: Any = getattr(sys.modules.get("coverage"), "Coverage", None)
    present = None if coverage is None else coverage.current()
    if present is not None:
        with contextlib.suppress(Exception):  # a full disk costs the coverage, not the test
            present.stop()
            present.save()

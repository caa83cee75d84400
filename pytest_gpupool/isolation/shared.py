"""Shared: what outlives an isolated test is set up before its process is there, which then has it without a copy.

A fixture of a wider scope than the test's own is set up here, once for all tests of this process, as without
isolation. Not so one that requests ``gpu``, at however many removes: it is to use the device, which only a process that
was not forked since can do. It is set up, and torn down, in each test's own process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from ..foreign import pytest_phases

_DEVICE = "gpu"


def set_up(item: pytest.Item, uses_devices: Callable[[], bool], copied: AbstractContextManager[None]) -> str | None:
    """Set it up; return the name of the fixture since which this process ``uses_devices``, None where none did it.

    What goes wrong is kept by pytest, and is the test's error when its own process comes to it. What is written is the
    test's, and ``copied`` has it copied to its log. Raises what ends the session.
    """
    used_before = uses_devices()
    with pytest_phases.captured_as("setup", item), copied:
        try:
            pytest_phases.set_up_above(item)
            for name, requested, is_set_up in pytest_phases.wide_fixtures(item):
                if _DEVICE in requested and not is_set_up:
                    continue
                pytest_phases.set_up_fixture(item, name)
                if not used_before and uses_devices():
                    return name
        except pytest_phases.SESSION_ENDS:
            raise
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):
            pass
    return None

"""The system as it was: no test's replacement of os is asked."""

from __future__ import annotations

import os as users_os
import sys
from types import ModuleType, SimpleNamespace
from unittest import mock

import pytest

from pytest_gpupool.processes import table
from pytest_gpupool.processes.own import system


def test_a_replaced_function_is_not_called() -> None:
    with mock.patch("os.getpid", side_effect=AssertionError), mock.patch("os.read", side_effect=AssertionError):
        here = system.os.getpid()
        assert table.identity() is not None
    assert here == users_os.getpid()


def test_a_replaced_module_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pyfakefs does it: each name of each module that is the module os, or a function of it, is a fake."""
    functions = {id(value) for name, value in vars(users_os).items() if callable(value) and name in ("stat", "open")}
    for module in [one for one in sys.modules.values() if isinstance(one, ModuleType)]:
        for name, value in list(vars(module).items()):
            if value is users_os:
                monkeypatch.setattr(module, name, SimpleNamespace())
            elif id(value) in functions and module.__name__.startswith("pytest_gpupool"):
                monkeypatch.setattr(module, name, None)
    found = table.identity()
    monkeypatch.undo()
    assert found == table.identity()

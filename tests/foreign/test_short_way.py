"""The short way of reports between two processes: it gives what pytest's own hooks give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import _pytest.reports
import pytest

from pytest_gpupool.foreign.pytest_reports import Reports

ID = "test_a.py::test_b[1]"


def made(**more: Any) -> pytest.TestReport:
    """A report as pytest makes it of a call that passed."""
    given = {"location": ("test_a.py", 3, "test_b[1]"), "keywords": {"test_b[1]": 1, "slow": 1}, "outcome": "passed"}
    times = {"duration": 0.25, "start": 1.0, "stop": 1.25, "user_properties": [("one", 1)]}
    return pytest.TestReport(nodeid=ID, **{**given, "longrepr": None, "when": "call", **times, **more})


@pytest.fixture
def config() -> SimpleNamespace:
    """What has pytest's hooks, and of its plugins the one that makes and reads reports."""
    plugins = pytest.PytestPluginManager()
    plugins.register(_pytest.reports)
    return SimpleNamespace(hook=plugins.hook, pluginmanager=plugins)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"when": "setup", "sections": [("Captured stdout setup", "words")]},
        {"outcome": "skipped", "wasxfail": "reason: why"},
        {"gpupool_records": ["{}"], "item_index": 3},
        {"where": Path("somewhere")},
        {"longrepr": ("test_a.py", 3, "Skipped: why"), "outcome": "skipped"},
        {"longrepr": "it failed", "outcome": "failed"},
        {"result": object()},
    ],
)
def test_it_is_pytests_own(config: Any, more: Mapping[str, Any]) -> None:
    """What travels, and what is made of it, is what the hooks give."""
    report, reports = made(**more), Reports(config)
    usual = config.hook.pytest_report_to_serializable(config=config, report=report)
    wired = reports.to_wire(report)
    assert wired == usual
    assert {name: type(value) for name, value in wired.items()} == {name: type(value) for name, value in usual.items()}
    back = config.hook.pytest_report_from_serializable(config=config, data=dict(usual))
    short = reports.from_wire(usual)
    assert (short is None) == (usual["longrepr"] is not None)
    assert short is None or vars(short) == vars(back)


class Mine:
    """A plugin that makes and reads reports in its own way."""

    @staticmethod
    @pytest.hookimpl
    def pytest_report_to_serializable(report: pytest.TestReport) -> Mapping[str, Any]:
        """Its own words."""
        return {"mine": type(report).__name__}

    @staticmethod
    @pytest.hookimpl
    def pytest_report_from_serializable(data: Mapping[str, Any]) -> pytest.TestReport:
        """Whatever it is given."""
        return made(when=data["mine"])


def test_a_plugin_that_has_a_hand_in_it_is_asked(config: Any) -> None:
    """Also one that comes later."""
    reports = Reports(config)
    usual = reports.to_wire(made())
    assert reports.from_wire(usual) is not None
    config.pluginmanager.register(Mine())
    assert reports.to_wire(made()) == {"mine": "TestReport"}
    assert reports.from_wire(usual) is None


def test_another_kind_of_report_goes_by_the_hook(config: Any) -> None:
    """As a subtest's does, of which a plugin knows more."""
    report, reports = made(), Reports(config)
    report.__class__ = type("Subtest", (pytest.TestReport,), {})
    assert reports.to_wire(report) == config.hook.pytest_report_to_serializable(config=config, report=report)
    assert "$report_type" in reports.to_wire(report)

"""Other reporters: what we know of a test in the reports of pytest-html and allure-pytest, by the ways they document.

pytest-json-report and pytest's own JUnit file have it of themselves: they take a report's ``user_properties``.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from html import escape
from typing import Any

import pytest

PREFIX = "gpupool."
"""What the names of our properties begin with."""

_METRIC = f"{PREFIX}metric."

Properties = Iterable[tuple[str, Any]]


def join(manager: pytest.PytestPluginManager, used: Collection[str]) -> None:
    """Register what tells those reporters that are used."""
    if "html" in used:
        manager.register(HtmlColumns(), "gpupool-pytest-html")
    if "allure" in used:
        manager.register(AllureParameters(), "gpupool-allure")


class HtmlColumns:
    """Two columns of pytest-html's table: devices and metrics. Those of a test come with its last report."""

    def __init__(self) -> None:
        self._known: dict[str, list[tuple[str, Any]]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what the latest report of a test has: rows are made when its teardown is over."""
        self._known[report.nodeid] = [(str(name), value) for name, value in report.user_properties]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Add them before the links."""
        cells[-1:-1] = ["<th>Device</th>", "<th>Metrics</th>"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Add their cells. Another plugin may have emptied the row, which hides it."""
        if cells:
            known = self._known.get(report.nodeid, [])
            device = ", ".join(str(value) for name, value in known if name == f"{PREFIX}device")
            metrics = "<br>".join(f"{escape(name)}: {escape(value)}" for name, value in _metrics(known))
            cells[-1:-1] = [f"<td>{escape(device)}</td>", f"<td>{metrics}</td>"]


class AllureParameters:
    """Parameters of a test's result in allure; they are left out of its history's key, since they differ by run."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Tell of them with the last report, in the process that runs the test."""
        report = yield
        if call.when == "teardown":
            import allure

            for name, value in report.user_properties:
                if str(name).startswith(PREFIX):
                    allure.dynamic.parameter(str(name), value, excluded=True)
        return report


def _metrics(properties: Properties) -> Iterable[tuple[str, str]]:
    """Yield the metrics among properties, as texts."""
    for name, value in properties:
        if name.startswith(_METRIC):
            yield name.removeprefix(_METRIC), f"{value:g}" if isinstance(value, float) else str(value)

"""Pytest's reports between two processes: what its own hooks make of one, by a short way for those that just pass.

Three reports of each test travel, nearly all of which have nothing to say of what went wrong. Seen in pytest 8.4.0 to
9.2.0.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

_PLAIN = (str, int, float, bool, type(None), dict, list, tuple)


class Reports:
    """Makes reports dicts of plain values, and dicts reports. Where another plugin has a hand in it, that is asked."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._known: dict[str, tuple[int, bool]] = {}  # by hook: how many have a hand in it, all of them pytest's own

    def to_wire(self, report: pytest.TestReport) -> dict[str, Any]:
        """Return what ``pytest_report_to_serializable`` does."""
        attributes = vars(report)
        if (
            type(report) is not pytest.TestReport
            or report.longrepr is not None
            or "result" in attributes
            or not self._asks_nobody(self._config.hook.pytest_report_to_serializable)
        ):
            data: dict[str, Any] = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
            return data
        data = {"$report_type": "TestReport", **attributes, "nodeid": report.nodeid}
        data.pop("_id", None)  # from pytest 9.2 on
        for name, value in attributes.items():
            if type(value) not in _PLAIN and isinstance(value, os.PathLike):
                data[name] = os.fspath(value)
        return data

    def from_wire(self, data: Mapping[str, Any]) -> pytest.TestReport | None:
        """Return the report that ``pytest_report_from_serializable`` makes, None where that has to be asked."""
        if data.get("$report_type") != "TestReport" or data["longrepr"] is not None:
            return None
        if not self._asks_nobody(self._config.hook.pytest_report_from_serializable):
            return None
        return pytest.TestReport(**data)

    def _asks_nobody(self, hook: Any) -> bool:
        implementations = hook.get_hookimpls()
        count, is_pytests_alone = self._known.get(hook.name, (0, False))
        if len(implementations) != count:
            is_pytests_alone = all(one.function.__module__.startswith("_pytest.") for one in implementations)
            self._known[hook.name] = len(implementations), is_pytests_alone
        return is_pytests_alone

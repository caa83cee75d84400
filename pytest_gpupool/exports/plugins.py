"""Plugins: those that implement a hook of ours are told of a run; one that fails costs nobody anything."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ..metrics.groups import as_tests
from ..values.texts import safe_repr

_METRIC, _DECISION, _REPORT = "pytest_gpupool_metric", "pytest_gpupool_decision", "pytest_gpupool_report"


def wants(config: Any) -> bool:
    """Return whether anybody implements one of the hooks: where nobody does no report needs to be made for them."""
    return any(getattr(config.hook, name).get_hookimpls() for name in (_METRIC, _DECISION, _REPORT))


def tell(config: Any, report: Mapping[str, Any]) -> Iterator[str]:
    """Call the hooks with a report; yield a sentence for each one that failed, which is called no more."""
    calls = {
        _METRIC: [(test, metric) for test in report["tests"] for metric in test["metrics"]],
        _DECISION: [
            (test, metric)
            for test in (*report["tests"], *as_tests(report))
            for metric in test["metrics"]
            if metric["verdict"] is not None
        ],
    }
    for name, pairs in calls.items():
        of_metric = [{"nodeid": test["nodeid"], "metric": metric} for test, metric in pairs]
        yield from _called(config, name, of_metric)
    yield from _called(config, _REPORT, [{"report": report}])


def _called(config: Any, name: str, calls: list[dict[str, Any]]) -> Iterator[str]:
    """Call a hook of each plugin by itself, with copies of its own: what one does is nothing to the others."""
    manager = config.pluginmanager
    # pluggy has those first that are called last.
    plugins = list(dict.fromkeys(one.plugin for one in reversed(getattr(config.hook, name).get_hookimpls())))
    for plugin in plugins:
        alone = manager.subset_hook_caller(name, [other for other in plugins if other is not plugin])
        try:
            for arguments in calls:
                alone(**copy.deepcopy(arguments), config=config)
        except (Exception, SystemExit, pytest.fail.Exception, pytest.skip.Exception) as error:
            yield f"{name} of {manager.get_name(plugin)} failed, and is called no more: {safe_repr(error)}"

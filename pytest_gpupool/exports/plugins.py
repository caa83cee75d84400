"""Plugins: those that implement a hook of ours are told of a run; one that fails costs nobody anything."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..metrics.groups import as_tests
from ..values.texts import safe_repr, visible

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
    """Call every plugin that has this hook, each by itself: of one that fails the others know nothing."""
    caller = getattr(config.hook, name)
    others = [one.plugin for one in caller.get_hookimpls()]
    for implementation in caller.get_hookimpls() if calls else ():
        left_out = [plugin for plugin in others if plugin is not implementation.plugin]
        call: Callable[..., Any] = config.pluginmanager.subset_hook_caller(name, left_out)
        try:
            for arguments in calls:
                call(**copy.deepcopy(arguments), config=config)
        except Exception as error:
            who = visible(implementation.plugin_name)
            yield f"{name} of the plugin {who} failed, and is called no more: {safe_repr(error)}"

"""Modules: what every worker imports before its first test, whatever its suite is.

Left out is what pytest marks for the rewriting of assertions, since it warns of plugins that were imported before:
xdist and what imports it, and our ``plugin``. Nor is there a library that opens a device.
"""

from __future__ import annotations

_OF_THE_PACKAGE = (
    "exports.hookspecs",
    "foreign.pytest_reports",
    "isolation.hooks",
    "leases.acquisition",
    "leases.locking.lock_directory",
    "metrics.wording",
    "options.options",
    "options.role_end",
    "processes.cpu.model",
    "processes.cpu.pressure",
    "processes.own.garbage",
    "processes.own.modules",
    "sampling.figures",
    "sampling.outside",
    "sampling.samples",
    "verdicts.baselines.baseline",
    "verdicts.chance.statistics",
    "verdicts.verdict",
    "worker.choosing.resume",
    "worker.choosing.shard",
    "worker.fixture_types",
    "worker.plugins",
    "worker.protocol.early_line",
    "worker.protocol.item_facts",
    "worker.protocol.late_item",
    "worker.protocol.order",
    "worker.protocol.parcels",
    "worker.protocol.tear_down",
)


def of_workers() -> list[str]:
    """Return their names. What of them is not there is left to the worker to miss."""
    package = __name__.partition(".")[0]
    return ["execnet.gateway_base", "pytest", *(f"{package}.{name}" for name in _OF_THE_PACKAGE)]

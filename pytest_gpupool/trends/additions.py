"""Additions: what the runs on record add to the report of one run: what was before, where devices differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..records.results import Results
from ..values.device import Device
from . import placement, trend
from .placement import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """What the runs on record add to a report.

    ``past`` are the runs before this one, the oldest first, as the HTML report takes them; ``findings`` are devices on
    which metrics differ, over those runs and this one.
    """

    past: tuple[Mapping[str, Any], ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    def to_report(self) -> dict[str, Any]:
        """Return what a JSON report has of it: nothing where no device differs."""
        return {"placement": [placement.to_report(finding) for finding in self.findings]} if self.findings else {}


def collect(base: Path, facts: Mapping[str, Any], results: Results, devices: Iterable[Device]) -> Additions:
    """Return what the records in ``base`` add to the report of a run, which ``facts`` and ``results`` are of.

    The controller calls it when a run has ended, and ``gpupool report`` for one on record.
    """
    run = trend.measured(facts, results, devices)
    before = [one for one in trend.history(base, skip=run.id).runs if one.started <= run.started]
    return Additions(
        past=tuple(map(trend.to_page, before)),
        findings=placement.findings(trend.observations([*before, run])),
    )

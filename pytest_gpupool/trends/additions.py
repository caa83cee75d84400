"""Backdrop: what the runs on record add to the report of one run: its past, and devices on which metrics differ."""

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
class Backdrop:
    """``past`` are the runs before this one, the oldest first, as the HTML report takes them."""

    past: tuple[Mapping[str, Any], ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    def to_report(self) -> dict[str, Any]:
        """Return what a JSON report has of it: nothing where no device differs."""
        return {"placement": [placement.to_report(finding) for finding in self.findings]} if self.findings else {}


def of(base: Path, facts: Mapping[str, Any], results: Results, devices: Iterable[Device]) -> Backdrop:
    """Return the backdrop of a run, from the records in ``base``."""
    run = trend.of_results(facts, results, devices)
    before = [one for one in trend.gather(base, skip=run.id).runs if one.started <= run.started]
    return Backdrop(
        past=tuple(map(trend.to_page, before)),
        findings=placement.findings(trend.observations([*before, run])),
    )

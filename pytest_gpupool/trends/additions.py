"""Additions: what the runs on record add to the report of one run: what was before, where devices differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..records.folding.results import Results
from ..values.device import Device
from ..values.errors import UsageProblem
from . import placement, trend
from .placement import Finding
from .trend import MeasuredRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """What the runs on record add to a report.

    ``past`` are the runs before this one, the oldest first, as the HTML report takes them; ``findings`` are devices on
    which metrics differ, over those runs and this one. ``problem`` says why runs of the records or the store are not
    among them.
    """

    past: tuple[Mapping[str, Any], ...] = ()
    findings: tuple[Finding, ...] = field(default=())
    problem: str | None = None

    def to_report(self) -> dict[str, Any]:
        """Return what a JSON report has of it: nothing where no device differs."""
        return {"placement": [placement.to_report(finding) for finding in self.findings]} if self.findings else {}


def collect(
    base: Path, facts: Mapping[str, Any], results: Results, devices: Iterable[Device], kept: Path | None = None
) -> Additions:
    """Return what the records in ``base`` add to the report of a run, which ``facts`` and ``results`` are of.

    The controller calls it when a run has ended, and ``gpupool report`` for one on record. ``kept`` is a store of more
    runs, where there is one.
    """
    run = trend.measured(facts, results, devices)
    stored, problem = _kept(kept)
    recorded = trend.history(base, skip=run.id)
    known = {one.id: one for one in (*stored, *recorded.runs)}
    others = sorted(known.values(), key=lambda one: (one.started, one.id))
    before = [one for one in others if one.started <= run.started and one.id != run.id]
    return Additions(
        past=tuple(map(trend.to_page, before)),
        findings=placement.findings(trend.observations([*before, run])),
        problem="; ".join(filter(None, [problem, *recorded.unreadable])) or None,
    )


def _kept(path: Path | None) -> tuple[list[MeasuredRun], str | None]:
    if path is None or not path.exists():
        return [], None
    from . import store  # most runs have none, and SQLite takes a moment to load

    try:
        return store.runs(path, most=store.MOST_VALUES), None
    except UsageProblem as problem:
        return [], str(problem)

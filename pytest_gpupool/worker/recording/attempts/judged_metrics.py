"""Judged metrics: what one attempt at a test has measured, whether that is valid, and what the attempt used."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any

from ....values.errors import MetricProblem
from ....values.verdicts import INVALID
from .. import junit_properties

if TYPE_CHECKING:
    from ....sampling.figures import Figures

Judged = dict[str, Any]
"""A metric as records have it, with its verdict."""


class JudgedMetrics:
    """The metrics of one attempt. They are judged when the run is over, but those that are invalid by themselves."""

    def __init__(self) -> None:
        self._metrics: dict[str, Judged] = {}
        self._told: set[str] = set()  # metrics whose verdict has failed the test already
        self._changed: dict[str, str] = {}
        self._figures: Figures | None = None

    def __bool__(self) -> bool:
        """Whether the test has recorded any."""
        return bool(self._metrics)

    def add(self, metric: Judged) -> None:
        """Take a metric. Raises MetricProblem where there is one of that name."""
        name = metric["name"]
        if name in self._metrics:
            raise MetricProblem(
                f"metric {name!r} was recorded before in this test: give each its own name. Where a decorator or loop "
                "calls the test's function again, record once, after the last try; or have pytest-rerunfailures try "
                "again: each of its tries is an attempt with metrics of its own"
            )
        self._metrics[name] = metric

    def reconsider(self, figures: Figures) -> None:
        """Take what was seen of the devices so far: nothing that a lost one gave counts."""
        self._figures = figures
        if not figures.lost:
            return
        for name, metric in self._metrics.items():
            if metric["verdict"] != INVALID:
                metric["verdict"] = self._changed[name] = INVALID

    def failing(self, fail_on: Set[str]) -> list[Judged]:
        """Return the metrics whose verdict fails the test, each once."""
        bad = [metric for metric in self._metrics.values() if metric["verdict"] in fail_on]
        new = [metric for metric in bad if metric["name"] not in self._told]
        self._told.update(metric["name"] for metric in new)
        return new

    def properties(self) -> list[junit_properties.Property]:
        """Return what JUnit files have of it beside the metrics: the peak. Verdicts come when the run is decided."""
        peak = None if self._figures is None else self._figures.peak_memory_bytes
        return junit_properties.peak_memory(peak)

    def to_record(self) -> dict[str, Any]:
        """Return what the record of the attempt's end has of it; what is not worth a word is left out."""
        used = {} if self._figures is None else self._figures.to_record()
        return {
            **({"resources": used} if any(value is not None for value in used.values()) else {}),
            **({"verdicts": self._changed} if self._changed else {}),
        }

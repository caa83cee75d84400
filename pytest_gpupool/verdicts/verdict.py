"""Verdicts in words: the line that says what became of a metric, and why.

Pure: standard library only, no clock, no files. Nothing here raises for a number that is not finite, or too large for
a float.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..metrics.metric import Metric
from ..metrics.wording import (
    allowed_text,
    baseline_text,
    chance_text,
    change_text,
    cohort_text,
    interval_text,
    n_text,
    others_text,
    shows_text,
    value_text,
)
from ..values.verdicts import GONE, INVALID
from .chance.statistics import exact, is_beyond


def undecided(metric: Metric) -> dict[str, Any]:
    """Return a metric as records have it before the run is decided: only that it is no number is known by then."""
    return metric.to_record() | {"verdict": None if metric.is_finite else INVALID}


_PHRASES = {
    "ok": "is ok",
    "improved": "improved",
    "regressed": "regressed",
    "contended": "is contended: its device was throttled, or used by others, meanwhile",
}


def sentence(metric: Mapping[str, Any], *, kind: str = "") -> str:
    """Return the line that says what became of a metric, as records have it, and why.

    ``kind`` is the kind of device that the test ran on.
    """
    text, verdict = f"{metric['name']} {value_text(metric)}", metric["verdict"]
    if verdict is None:
        return text
    if verdict == GONE:
        return f"{metric['name']} is gone: {metric['note']}, baseline {baseline_text(metric)}"
    if verdict == "invalid":
        return f"{text} is invalid: {'it is not finite' if metric['value'] is None else 'its device was lost'}"
    if verdict == "no-baseline":
        return f"{text} has no baseline{f' for {kind}' if kind else ''}{_why(metric, kind)}"
    if metric.get("baseline") is None:  # its floor or its ceiling alone decides
        return f"{text} {_PHRASES[verdict]}: {metric['note']}"
    joint = "; " if verdict == "contended" else ": "
    return f"{text} {_PHRASES[verdict]}{joint}{', '.join([f'baseline {baseline_text(metric)}', *_reasons(metric)])}"


def _why(metric: Mapping[str, Any], kind: str) -> str:
    if note := metric.get("note"):
        return f": {note}"
    return f" ({there})" if (there := others_text(metric.get("others", ()), kind)) else ""


def _reasons(metric: Mapping[str, Any]) -> Iterator[str]:
    if cohort := cohort_text(metric):
        yield cohort
    if change := change_text(metric):
        yield " ".join(filter(None, [f"change {change}", interval_text(metric)]))
    if metric.get("allowed") is not None:
        yield f"allowed {allowed_text(metric)}"
        yield from _qualified(metric)
    if note := metric.get("note"):
        yield note


def _qualified(metric: Mapping[str, Any]) -> Iterator[str]:
    # Why the tolerance alone does not explain the verdict.
    if metric["verdict"] == "regressed" and metric["higher_is_better"] is None:
        yield "in either direction, as higher_is_better is not given"
    difference = exact(metric["value"]) - exact(metric["baseline"])
    if metric["verdict"] == "ok" and is_beyond(difference, metric["baseline"], exact(metric["allowed"])):
        yield "it may be chance"
    if p_value := chance_text(metric):
        yield from filter(None, [p_value, n_text(metric)])
    yield from filter(None, [shows_text(metric)])

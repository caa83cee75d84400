"""Accepted: the items of a baseline, by what it keeps of each: the values of metrics that have ids."""

from __future__ import annotations

from typing import Any

from ..verdicts.baseline import Baseline, Entry
from .flips import Place


def items_of(baseline: Baseline, nodeid: str, kind: str | None = None) -> dict[Place, dict[str, Any]]:
    """Return the items that a baseline has of a test, by :func:`flips.place_of`, with their scores by metric.

    Of several kinds of device it is that of this ``kind``; where that has none, and there is but one, that one.
    """
    found: dict[Place, dict[str, Any]] = {}
    for entry in _entries(baseline, nodeid, kind):
        assert entry.items is not None
        assert entry.samples is not None
        for name, value in zip(entry.items, entry.samples, strict=True):
            item = found.setdefault((0, name), {"id": name, "scores": {}})
            item["scores"][entry.metric] = value if value - value == 0 else str(value)
    return found


def has_items(baseline: Baseline) -> bool:
    """Say whether it keeps any."""
    return any(entry.items is not None for entry in baseline.entries)


def _entries(baseline: Baseline, nodeid: str, kind: str | None) -> list[Entry]:
    known = [entry for entry in baseline.entries if entry.test == nodeid]
    known = [entry for entry in known if entry.items is not None and entry.samples is not None]
    kinds = {entry.device for entry in known}
    wanted = kind if kind in kinds or len(kinds) != 1 else next(iter(kinds))
    return [entry for entry in known if entry.device == wanted]

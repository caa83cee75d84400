"""Accepted: the items of a baseline: the values of metrics that have ids, and what their run had said of them then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..verdicts.baselines.baseline import Baseline, Entry
from .earlier import Earlier
from .flips import Item, Place, place_of


class Accepted:
    """A baseline's items. ``runs`` are the folders in which the runs may be on record that its values are of."""

    def __init__(self, baseline: Baseline, *runs: Path) -> None:
        self._known: dict[str, list[Entry]] = {}
        for entry in baseline.entries:
            if entry.items is not None and entry.samples is not None:
                self._known.setdefault(entry.test, []).append(entry)
        self._earlier = Earlier(*runs)
        self._untold: dict[str, None] = {}

    def of(self, test: Mapping[str, Any]) -> dict[Place, Item]:
        """Return what it has of a test's items, by :func:`flips.place_of`: their scores by metric.

        Of several kinds of device it is that of the test's; where that has none, and there is but one, that one.
        """
        found: dict[Place, Item] = {}
        for entry in self._entries(test):
            assert entry.items is not None
            assert entry.samples is not None
            for name, value in zip(entry.items, entry.samples, strict=True):
                item = found.setdefault((0, name), {"id": name, "scores": {}})
                item["scores"][entry.metric] = value if value - value == 0 else str(value)
        return found

    def recalled(self, test: Mapping[str, Any], items: Iterable[Item]) -> Iterator[Item]:
        """Yield a test's items, those that have flipped with the ``output`` of then in ``before``.

        Where that is not known, ``before`` says why in ``untold``, unless there is none now either.
        """
        runs = {entry.metric: entry.run for entry in self._entries(test)}
        for item in items:
            if item["flip"]:
                self._recall(runs[item["by"]], test["nodeid"], item)
            yield item

    @property
    def problems(self) -> list[str]:
        """Why outputs of then are not there, as sentences."""
        return list(self._untold)

    def _recall(self, run: str, nodeid: str, item: Item) -> None:
        told = self._earlier.of(run, nodeid).get(place_of(item), {})
        if "output" in told:
            item["before"] |= told
        elif "output" in item:
            item["before"]["untold"] = why = self._earlier.why_not(run)
            self._untold[why] = None

    def _entries(self, test: Mapping[str, Any]) -> list[Entry]:
        known = self._known.get(test["nodeid"], [])
        kinds, kind = {entry.device for entry in known}, test.get("device_kind")
        wanted = kind if kind in kinds or len(kinds) != 1 else next(iter(kinds))
        return [entry for entry in known if entry.device == wanted]


def has_items(baseline: Baseline) -> bool:
    """Say whether it keeps any."""
    return any(entry.items is not None for entry in baseline.entries)

"""Cohorts: the runs that an entry of the baseline stands for, as numbers that a new run is compared with.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...metrics.metric import Number

MOST = 20
"""So many runs an entry keeps: more would tell little, and hide that things have changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run found of a metric: its value, its number of items, and the value of each, by id where there are any.

    Without ids items are told by their place.
    """

    value: Number
    n: int | None = None
    samples: tuple[float, ...] | None = None
    items: tuple[str, ...] | None = None

    def by_item(self) -> Mapping[object, float]:
        """Return the value of each item by its id, or its place; none where one is not finite."""
        if not self.samples or not all(map(math.isfinite, self.samples)):
            return {}
        return dict(zip(self.items or range(len(self.samples)), self.samples, strict=True))


def shared_means(runs: Sequence[Measurement]) -> Mapping[object, float]:
    """Return the mean of each item over all runs that tell of items, for the items that each of these has."""
    told = [(run, found) for run in runs if (found := run.by_item())]
    if not told:
        return {}
    known = [found for _, found in told]
    if len({(run.items, len(found)) for run, found in told}) == 1:  # as most suites are: quicker by far
        columns = zip(*(run.samples or () for run, _ in told), strict=True)
        return dict(zip(known[0], (math.fsum(column) / len(known) for column in columns), strict=True))
    shared = [item for item in known[0] if all(item in found for found in known[1:])]
    return {item: math.fsum(found[item] for found in known) / len(known) for item in shared}

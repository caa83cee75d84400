"""Outliers: which devices give other values than the rest of them.

A device does that

- with :data:`LEAST` values on it and on the others, which differ
- by more than :data:`FAR` times the spread: that of values on one device, and that of the other devices themselves,
- by more than chance: Student's t with the spread pooled over devices (NIST/SEMATECH e-Handbook of Statistical
  Methods, section 7.4.3), where the caller says how little chance may be, as he knows how often it is asked,
- and by what no change of the code explains: that shows once, between two runs, a bad card each time that it is used.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

LEAST = 3
FAR = 3.0

_EXACT = 1e-9  # relative differences up to this are those of floating point
_FEW = 1000  # so few ways to put the values on devices: chance alone makes some of them tidy
_MAD = 1.4826  # a normal distribution's standard deviation in median absolute deviations
_HALF = 0.5

Pairs = Sequence[tuple[str, float]]
"""The values of one device, each with the id of the run that it is from; ids are in the order of the runs."""


@dataclass(frozen=True)
class Sample:
    """What is compared: the values by device. They are within ±1, or so small that squares of them are finite."""

    by_device: Mapping[str, Pairs]

    @cached_property
    def count(self) -> int:
        """How many values there are."""
        return sum(map(len, self.by_device.values()))

    @cached_property
    def candidates(self) -> list[str]:
        """The devices with enough values, on them and on the others."""
        most = self.count - LEAST
        return sorted(device for device, pairs in self.by_device.items() if LEAST <= len(pairs) <= most)

    @cached_property
    def freedom(self) -> int:
        """The degrees of freedom of the spread."""
        return self.count - len(self.by_device)

    @cached_property
    def spread(self) -> float:
        """The standard deviation on one device, pooled over devices; 0 where nothing is known of it."""
        if not self.freedom:
            return 0.0
        centers = {device: fmean(values_of(pairs)) for device, pairs in self.by_device.items()}
        squares = ((value - centers[device]) ** 2 for device, pairs in self.by_device.items() for _, value in pairs)
        spread = math.sqrt(math.fsum(squares) / self.freedom)
        return spread if spread > _EXACT * self.size else 0.0

    @cached_property
    def size(self) -> float:
        """The mean absolute value."""
        return fmean(abs(value) for pairs in self.by_device.values() for _, value in pairs)


@dataclass(frozen=True, slots=True)
class Whole:
    """Several samples taken together, as logarithms.

    ``sample`` has one value per run and device: the median of how far each value is from what is usual for its sample,
    relative to the run's other devices, so that what has changed for all of them does not count. ``levels`` has for
    each sample what is usual by device.
    """

    sample: Sample
    levels: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Outlier:
    """A device that differs: the means on it and on the others, and how far they are apart.

    ``difference`` is the smaller one of those of means and of medians; ``other`` is the other device where there is
    but one.
    """

    device: str
    value: float
    others: float
    difference: float
    other: str | None


def outliers(sample: Sample, *, chance: float, usual: float = 0.0) -> Iterator[Outlier]:
    """Yield the devices that differ, the worst first, each compared without those before it.

    ``chance`` is the p-value below which chance is no explanation. ``usual`` is the spread that such values have
    elsewhere, relative to their size: few values may be alike by chance.
    """
    left = dict(sample.by_device)
    while len(left) > 1:
        compared = (_compared(left, device) for device in sample.candidates if device in left)
        sure = [one for one in compared if one is not None and _is_sure(sample, left, one, usual, chance)]
        if not sure:
            return
        worst = max(sure, key=lambda one: abs(one.difference))
        yield worst
        if worst.other is not None:
            return
        del left[worst.device]


def whole(samples: Iterable[Mapping[str, Pairs]]) -> Whole:
    """Take samples together, each given as its values by device, which are above 0.

    Source: median polish, Tukey, Exploratory Data Analysis (1977), chapter 11.
    """
    logs = [
        {device: [(run, math.log(value)) for run, value in pairs] for device, pairs in by_device.items()}
        for by_device in samples
    ]
    shifts = _shifts(logs)
    levels: list[Mapping[str, float]] = []
    runs: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for by_device in logs:
        level = {device: median(log - shifts[run] for run, log in pairs) for device, pairs in by_device.items()}
        usual = median(level.values())
        levels.append(level)
        for device, pairs in by_device.items():
            for run, log in pairs:
                runs[run][device].append(log - usual)
    found: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for run, distances in runs.items():
        medians = {device: median(values) for device, values in distances.items()}
        center = median(medians.values())
        for device, middle in medians.items() if len(medians) > 1 else ():
            found[device].append((run, middle - center))
    return Whole(Sample(found), levels)


def student_p_value(t: float, freedom: int) -> float:
    """Return the two-sided p-value of Student's t with so many degrees of freedom, from 1 on, to about 1e-15.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    square, odd = math.cos(angle) ** 2, freedom % 2
    term, total = 1.0, float(freedom > 1)
    for number in range(2 + odd, freedom, 2):
        term *= square * (number - 1) / number
        total += term
    inside = (angle + math.sin(angle) * math.cos(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total
    return max(0.0, 1.0 - inside)


def values_of(pairs: Pairs) -> list[float]:
    """Return the values without their runs."""
    return [value for _, value in pairs]


def _shifts(logs: Iterable[Mapping[str, Pairs]]) -> dict[str, float]:
    """Return by run how far it is off as a whole, as where a new version of a library made all slower."""
    runs: defaultdict[str, list[float]] = defaultdict(list)
    for by_device in logs:
        pairs = [pair for values in by_device.values() for pair in values]
        usual = median(values_of(pairs))
        for run, log in pairs:
            runs[run].append(log - usual)
    return {run: median(values) for run, values in runs.items()}


def _compared(left: Mapping[str, Pairs], device: str) -> Outlier | None:
    own = values_of(left[device])
    others = [value for name, pairs in left.items() if name != device for value in values_of(pairs)]
    if len(others) < LEAST:
        return None
    by_mean, by_median = fmean(own) - fmean(others), median(own) - median(others)
    # A few wild values among the others, each on a device of its own, would move their mean, and not the spread.
    difference = min(by_mean, by_median, key=abs) if by_mean * by_median > 0 else 0.0
    other = next(name for name in left if name != device) if len(left) == 2 else None
    return Outlier(device, fmean(own), fmean(others), difference, other)


def _is_sure(sample: Sample, left: Mapping[str, Pairs], one: Outlier, usual: float, chance: float) -> bool:
    count, own, far = sum(map(len, left.values())), len(left[one.device]), abs(one.difference)
    spread = max(sample.spread, _between(left, one.device))
    if math.comb(count, own) < _FEW:
        spread = max(spread, usual * sample.size)
    if far <= FAR * spread or far <= _EXACT * sample.size:
        return False
    error = spread * math.sqrt(1 / own + 1 / (count - own))
    by_chance = student_p_value(far / error, sample.freedom) if error else 0.0
    return by_chance < chance and _is_steady(left, one)


def _between(left: Mapping[str, Pairs], device: str) -> float:
    """Return how far the other devices are apart, as a standard deviation that a bad one among them does not change."""
    levels = [median(values_of(pairs)) for name, pairs in left.items() if name != device]
    if len(levels) < LEAST:
        return 0.0
    center = median(levels)
    return _MAD * median(abs(level - center) for level in levels)


def _is_steady(left: Mapping[str, Pairs], one: Outlier) -> bool:
    """Say whether the difference, or half of it at least, shows again and again: a change of the code shows once."""
    return sum(step / one.difference > _HALF for step in _steps(left, one.device)) >= LEAST


def _steps(left: Mapping[str, Pairs], device: str) -> Iterator[float]:
    """Yield the difference within each run that used both, and from a run that used one to the next, with the other."""
    runs: defaultdict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for name, pairs in left.items():
        for run, value in pairs:
            runs[run][name != device].append(value)
    before: tuple[float | None, float | None] = (None, None)
    for run in sorted(runs):
        own, others = (median(values) if values else None for values in runs[run])
        if own is not None and others is not None:
            yield own - others
        elif own is not None and before[0] is None and before[1] is not None:
            yield own - before[1]
        elif others is not None and before[1] is None and before[0] is not None:
            yield before[0] - others
        before = own, others

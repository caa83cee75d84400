"""The source: the items of one run's tests, by its report and the files beside it.

An item is what ``record_sample`` has said of it, and the values that metrics have of its id (``samples`` as a mapping):
one item, whose scores are all of these by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..records.beside.items import FOLDER, Items
from ..records.beside.samples import Samples
from .accepted import Accepted
from .flips import Item, Place, Rule, compared, place_of

Test = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """The items of the tests of a ``report``. The files may be gone, which ``samples`` and ``values`` then tell."""

    report: Mapping[str, Any]
    samples: Samples
    values: Items

    @classmethod
    def of(cls, report: Mapping[str, Any], *folders: Path) -> Source:
        """Return that of a report whose run's directory, or what was copied of it, is one of these folders."""
        return cls(report, Samples(*folders), Items(*(folder / FOLDER for folder in folders)))

    def tests(self) -> list[Test]:
        """Return the tests that have items, as the report has them, in its order."""
        return [test for test in self.report["tests"] if _has_items(test)]

    def test(self, nodeid: str) -> Test | None:
        """Return a test of the report, None where it has none of that id."""
        return next((test for test in self.report["tests"] if test["nodeid"] == nodeid), None)

    def of_test(self, test: Test) -> Iterator[Item]:
        """Yield the items of a test, one at a time: those that it has recorded, then those of its metrics alone.

        Of a test that was measured several times each has the number of its ``repeat``.
        """
        summaries = list(_summaries(test))
        is_repeated = any(repeat is not None for _, repeat in summaries)
        values = {} if is_repeated else self._values(test)
        for told, repeat in summaries:
            for line in self.samples.of(told):
                if values and (more := values.pop(line["id"], None)):
                    line["scores"] = {**more, **line.get("scores", {})}
                if repeat is not None:
                    line["repeat"] = repeat
                yield line
        for name, scores in values.items():
            yield {"id": name, "scores": scores}

    def rule(self, test: Test, *, score: str | None = None, threshold: float | None = None) -> Rule:
        """Return by what the items of a test are right, see :class:`Rule`."""
        lower = {metric["name"] for metric in test["metrics"] if metric["higher_is_better"] is False}
        per_item = [metric["name"] for metric in test["metrics"] if _is_per_item(metric)]
        return Rule(score=score, threshold=threshold, lower=lower, order=("score", *per_item))

    def with_flips(
        self,
        test: Test,
        before: Source | Accepted | None,
        *,
        score: str | None = None,
        threshold: float | None = None,
    ) -> Iterator[Item]:
        """Yield the items of a test as :func:`flips.judged` returns them, beside those of another run or a baseline.

        This run's are read one after the other; the other side's are in memory meanwhile, without their input.
        """
        known = items_before(test, before)
        found = compared(self.of_test(test), known, self.rule(test, score=score, threshold=threshold))
        return before.recalled(test, found) if isinstance(before, Accepted) else found

    def score_names(self, test: Test) -> list[str]:
        """Return the scores that items of a test have, as far as its summaries and metrics tell."""
        recorded = [name for told, _ in _summaries(test) for name in told.get("scores", ())]
        return list(dict.fromkeys([*recorded, *(one["name"] for one in test["metrics"] if _is_per_item(one))]))

    def count(self, test: Test) -> int:
        """Return how many items a test has recorded, or its metrics have, whichever is more."""
        recorded: int = sum(told.get("count", 0) for told, _ in _summaries(test))
        return max([recorded, *(metric["n"] or 0 for metric in test["metrics"] if _is_per_item(metric))])

    def lost(self, test: Test) -> list[str]:
        """Return the files of a test's items, by their names, that are gone or are not what they were."""
        told = [one for one, _ in _summaries(test) if one.get("count", 1) and self.samples.path_of(one) is None]
        per_item = [one for one in test["metrics"] if "per_item" in one and "samples" not in self.values.filled(one)]
        names = [str(one.get("file")) for one in told] + [f"{FOLDER}/values-{one['per_item']}.json" for one in per_item]
        return list(dict.fromkeys(names))

    def damaged(self, test: Test) -> list[str]:
        """Return what of the files of a test's items was left out when they were read."""
        known = self.samples.damaged
        return [f"{file}: {known[file]}" for one, _ in _summaries(test) if (file := one.get("file")) in known]

    @property
    def problems(self) -> Sequence[str]:
        """What could not be read so far, as sentences."""
        missing = self.samples.missing
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        told = [f"items are not there: {missing[0]}{more}: the file is missing"] if missing else []
        told += (f"{file}: {what}" for file, what in self.samples.damaged.items())
        return [*told, *filter(None, [self.values.problem])]

    def _values(self, test: Test) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for metric in map(self.values.filled, test["metrics"]):
            if "items" in metric and "samples" in metric:
                for name, value in zip(metric["items"], metric["samples"], strict=True):
                    is_number = not isinstance(value, str) and value - value == 0
                    found.setdefault(name, {})[metric["name"]] = value if is_number else str(value)
        return found


def items_before(test: Test, before: Source | Accepted | None) -> dict[Place, dict[str, Any]]:
    """Return what the other side has of a test's items, by :func:`flips.place_of`."""
    if isinstance(before, Accepted):
        return before.of(test)
    other = None if before is None else before.test(test["nodeid"])
    if before is None or other is None:
        return {}
    found = {}
    for item in before.of_test(other):
        item.pop("input", None)  # the same on both sides, and often the longest
        found[place_of(item)] = item
    return found


def _has_items(test: Test) -> bool:
    if any(True for _ in _summaries(test)):
        return True
    return any(map(_is_per_item, test["metrics"]))


def _is_per_item(metric: Mapping[str, Any]) -> bool:
    return "per_item" in metric or "items" in metric


def _summaries(test: Test) -> Iterator[tuple[Mapping[str, Any], int | None]]:
    """Yield the summary of a test's items, or those of its repeats with their numbers."""
    if test.get("items"):
        yield test["items"], None
    for one in test.get("repeats", ()):
        if one.get("items"):
            yield one["items"], one["repeat"]

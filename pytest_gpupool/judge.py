"""The judge: compares metrics with a baseline file as they are recorded, in the process that runs the tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .baseline import Baseline
    from .metrics import Metric

INVALID = "invalid"


class Judge:
    """Says of each metric what became of it; without a file only whether it is a number at all.

    ``fail_on`` are the verdicts that fail a test; ``rtol`` is the allowed relative change where nobody gives one.
    """

    def __init__(
        self, path: str | None = None, *, rtol: float = 0.01, fail_on: Collection[str] = (INVALID, "regressed")
    ) -> None:
        self.fail_on = frozenset(fail_on)
        self._path = path
        self._rtol = rtol
        self._read: Baseline | None = None

    def judge(self, metric: Metric, test: str, kind: str) -> dict[str, Any]:
        """Return the metric as records have it, with its verdict. Raises UsageProblem where the file cannot be read."""
        record = metric.to_record()
        if self._path is None:
            return record | {"verdict": None if metric.is_finite else INVALID}
        from . import verdicts

        entry = self._baseline().get(test, metric.name, kind)
        judgement = verdicts.judge(metric, entry, rtol=self._rtol, seed=f"{test} {metric.name}")
        told = {"allowed": judgement.allowed, "detectable": judgement.detectable}
        return {
            **record,
            "higher_is_better": judgement.higher_is_better,
            "baseline": judgement.baseline,
            "change": judgement.change,
            **{name: value for name, value in told.items() if value is not None},
            "verdict": judgement.verdict,
        }

    def sentence(self, metric: Mapping[str, Any], test: str, kind: str) -> str:
        """Return the line that says why a metric is what it is."""
        from . import verdicts

        others = () if self._path is None else self._baseline().kinds(test, metric["name"])
        return verdicts.sentence(metric, kind=kind, others=others)

    def _baseline(self) -> Baseline:
        if self._read is None:
            from . import baselines

            assert self._path is not None
            self._read = baselines.load(Path(self._path))
        return self._read

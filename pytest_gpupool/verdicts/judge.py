"""The judge: compares metrics with a baseline file as they are recorded, in the process that runs the tests."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..values.errors import UsageProblem
from ..values.outcomes import GOOD
from ..values.verdicts import BAD, RTOL, is_disturbed, is_lost

if TYPE_CHECKING:
    from ..metrics.metric import Metric
    from .baseline import Baseline, Entry

INVALID = "invalid"


class Judge:
    """Says of each metric what became of it; without a file only whether it is a number at all.

    ``fail_on`` are the verdicts that fail a test; ``rtol`` is the allowed relative change where nobody gives one.
    """

    def __init__(self, path: str | None = None, *, rtol: float = RTOL, fail_on: Collection[str] = BAD) -> None:
        self.fail_on = frozenset(fail_on)
        self._path = path
        self._rtol = rtol
        self._read: Baseline | None = None

    def prepare(self) -> None:
        """Read the file now: a test may put another file system in the place of what there is."""
        if self._path is not None:
            with suppress(UsageProblem):  # said with the first metric
                self._baseline()

    def judge(self, metric: Metric, test: str, kind: str) -> dict[str, Any]:
        """Return the metric as records have it, with its verdict. Raises UsageProblem where the file cannot be read."""
        record = metric.to_record()
        if self._path is None:
            return record | {"verdict": None if metric.is_finite else INVALID}
        from . import verdict as verdicts

        entry = self._baseline().get(test, metric.name, kind)
        judgement = verdicts.judge(metric, entry, rtol=self._rtol, seed=f"{test} {metric.name}")
        others = list(self._baseline().kinds(test, metric.name)) if judgement.verdict == "no-baseline" else None
        told = {
            "allowed": judgement.allowed,
            "detectable": judgement.detectable,
            "others": others or None,
            "note": "; ".join(filter(None, [_other_device(entry, kind), judgement.note])) or None,
        }
        return {
            **record,
            "higher_is_better": judgement.higher_is_better,
            "baseline": judgement.baseline,
            "change": judgement.change,
            **{name: value for name, value in told.items() if value is not None},
            "verdict": judgement.verdict,
        }

    def rejudge(self, test: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an earlier run found of a test, see :meth:`TestResult.to_record`, with this judge's verdicts.

        Without a baseline file it stays as it is; so it does where the kind of device is not known.
        """
        kind = result.get("device_kind")
        if self._path is None or kind is None:
            return dict(result)
        disturbed = is_disturbed(result.get("resources", {}))
        metrics = [self._rejudged(metric, test, kind, disturbed) for metric in result["metrics"]]
        bad = [self.sentence(metric, test, kind) for metric in metrics if metric["verdict"] in self.fail_on]
        by_verdict = result.get("is_judged", False)
        found = {**result, "metrics": metrics}
        if bad and (by_verdict or result["outcome"] in GOOD):
            return found | {"outcome": "failed", "is_judged": True, "message": "\n".join(bad)}
        return found | {"outcome": "passed", "is_judged": False, "message": None} if by_verdict else found

    def _rejudged(self, record: Mapping[str, Any], test: str, kind: str, disturbed: bool) -> dict[str, Any]:
        from ..metrics.metric import from_record
        from . import verdict as verdicts

        found = self.judge(from_record(record), test, kind)
        verdict = verdicts.adjusted(found["verdict"], found["unit"], disturbed=disturbed, lost=is_lost(record))
        return found | {"verdict": verdict}

    def missing(self, test: str, kind: str, recorded: Container[str]) -> list[str]:
        """Return the metrics of a test that have an entry for that kind of device and are not among those."""
        if self._path is None:
            return []
        known = self._baseline().metrics(test, kind)
        return [name for name in known if name not in recorded]

    def sentence(self, metric: Mapping[str, Any], test: str, kind: str) -> str:
        """Return the line that says why a metric is what it is."""
        from . import verdict as verdicts

        others = () if self._path is None else self._baseline().kinds(test, metric["name"])
        return verdicts.sentence(metric, kind=kind, others=others)

    def _baseline(self) -> Baseline:
        if self._read is None:
            from . import baseline_file

            assert self._path is not None
            self._read = baseline_file.load(Path(self._path))
        return self._read


def _other_device(entry: Entry | None, kind: str) -> str | None:
    return None if entry is None or entry.device == kind else f"its entry is for {entry.device}, not {kind}"

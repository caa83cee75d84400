"""Page: the items of a run as a reader goes through them: what broke first, beside the baseline that the run had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..values.errors import UsageProblem
from ..verdicts.baselines import baseline_file
from ..verdicts.baselines.baseline import Baseline
from . import accepted
from .accepted import Accepted
from .flips import Item, worst_first
from .source import Source


class Readable:
    """The items of the tests of one report, which come from the files of the run's directory."""

    def __init__(self, report: Mapping[str, Any], *runs: Path, baseline: Baseline | None = None) -> None:
        """Read those of a report whose run's directory is one of ``runs``: a merged run has several.

        They are compared with ``baseline``, without which it is the first that these runs began with.
        """
        self._source = Source.of(report, *runs)
        if baseline is None:
            baseline = next(filter(None, map(_kept, runs)), None)
        if baseline is not None and not accepted.has_items(baseline):
            baseline = None
        # Runs lie beside each other: also those of which the baseline's values are.
        self._before = None if baseline is None else Accepted(baseline, *(run.absolute().parent for run in runs))
        self._tests = {test["nodeid"] for test in self._source.tests()}

    def of(self, test: Mapping[str, Any]) -> list[Item]:
        """Return the items of a test of the report, see :func:`flips.judged`; none where it has none."""
        if test["nodeid"] not in self._tests:
            return []
        return worst_first(self._source.with_flips(test, self._before))

    def lost(self, test: Mapping[str, Any]) -> str | None:
        """Return a sentence where a test has recorded items that are not there any more, None where all are.

        What is damaged is known when they have been read, see :meth:`of`.
        """
        if test["nodeid"] not in self._tests:
            return None
        if not (gone := self._source.lost(test)):
            return next((f"not all are shown: {text}" for text in self._source.damaged(test)), None)
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        return f"not all are shown: {gone[0]}{more} of the run's directory cannot be read any more"

    @property
    def is_compared(self) -> bool:
        """Whether there is something that they are compared with."""
        return self._before is not None


def _kept(run: Path) -> Baseline | None:
    try:
        return baseline_file.kept(run)
    except UsageProblem:  # a page that shows no flips is better than none
        return None

"""Baseline: the one that a run is judged by, as it was at the run's start, and its update at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ..options.options import Options
from ..records.result import TestResult
from ..values.errors import EXIT_USAGE, UsageProblem
from ..verdicts import baseline_file
from ..verdicts.judge import Judge

_SILENT = frozenset({"passed", "xpassed", "skipped"})
"""Outcomes of tests that say nothing of their own of a metric that is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What became of ``--gpupool-update-baseline``; ``status`` is the exit status that it calls for."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    status: int = 0


class RunBaseline:
    """The baseline of one run."""

    def __init__(self, options: Options, run_dir: Path | None) -> None:
        """Copy the file into the run's directory, so that all workers judge by the same one.

        Raises:
            UsageProblem: see :func:`baseline_file.copied`.
        """
        self._options = options
        self.file: str | None = None
        """What workers judge by, None where there is no baseline, or none yet."""
        if options.baseline is not None:
            copy = baseline_file.copied(options.baseline, run_dir, may_be_missing=options.update_baseline)
            self.file = None if copy is None else str(copy)

    def judge(self) -> Judge:
        """Return what judges metrics as the workers do."""
        return Judge(self.file, rtol=self._options.rtol, fail_on=self._options.fail_on)

    def unrecorded(self, tests: Iterable[TestResult]) -> list[str]:
        """Return, for a warning, the metrics of the baseline that tests which ended well have not recorded.

        Such a metric can get no verdict, and must not go unnoticed.

        Raises:
            UsageProblem: the copy of the start is gone.
        """
        judge = self.judge()
        return [
            f"{test.nodeid} {name}{' (skipped)' if test.outcome == 'skipped' else ''}"
            for test in tests
            if test.outcome in _SILENT and test.kind is not None
            for name in judge.missing(test.nodeid, test.kind, test.metrics)
        ]

    def update(self, report: Mapping[str, Any], *, folder: Path) -> Update:
        """Accept the metrics of a run's report into the user's file; ``folder`` is where pytest was started."""
        from ..reports.words import visible
        from ..verdicts import acceptance

        path = self._options.baseline
        assert path is not None
        if not report["run"]["complete"]:
            text = f"the baseline {path} was not updated: the run is incomplete"
            return Update(warnings=(text,), status=pytest.ExitCode.TESTS_FAILED)
        accept = partial(acceptance.accept, report, reason="--gpupool-update-baseline")
        try:
            accepted = baseline_file.update(path, accept)
        except UsageProblem as problem:
            return Update(warnings=(f"the baseline was not updated: {problem}",), status=EXIT_USAGE)
        shown = min(str(path), os.path.relpath(path, folder), key=len)
        return Update(
            notes=(f"baseline {shown}: {accepted.text()}",),
            warnings=tuple(visible(line).replace("\n", "\\n") for line in accepted.told_left_out()),
        )

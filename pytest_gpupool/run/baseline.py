"""Baseline: the one that a run is judged by, as it was at the run's start, and its update at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..options.options import Options
from ..records.folding.result import TestResult
from ..records.folding.results import Results
from ..values.errors import EXIT_USAGE, UsageProblem
from ..values.texts import one_line
from ..verdicts.baselines import baseline_file
from ..verdicts.baselines.baseline import Baseline
from ..verdicts.chance.shared_noise import Noise
from ..verdicts.decide import Policy
from .records import RunRecords

if TYPE_CHECKING:
    from ..metrics.groups import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What became of ``--gpupool-update-baseline``; ``status`` is the exit status that it calls for."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    status: int = 0


class RunBaseline:
    """The baseline of one run."""

    def __init__(self, options: Options, records: RunRecords) -> None:
        """Read the file now, and keep a copy in the run's directory: whoever writes to it meanwhile comes too late.

        Raises:
            UsageProblem: see :func:`baseline_file.at_start`.
        """
        self._options = options
        self._baseline: Baseline | None = None
        self._items = records.items
        self._noise: Mapping[str, Noise | None] | None = None  # of times and rates, once somebody asks
        if options.baseline is None:
            return
        self._baseline = baseline_file.at_start(options.baseline, may_be_missing=options.update_baseline)
        if records.directory is not None:
            baseline_file.keep(options.baseline, self._baseline, records.directory)
            fail_on = sorted(options.fail_on)
            records.write("policy", error=self._policy.error, rtol=options.rtol, fail_on=fail_on)

    @property
    def decides(self) -> bool:
        """Whether there is a baseline by which the run is judged."""
        return self._baseline is not None

    def suspects(self, test: TestResult) -> list[str]:
        """Return the metrics of a test that should be measured again before the decision."""
        if self._baseline is None:
            return []
        from ..verdicts import decide, of_run

        if self._noise is None:
            self._noise = decide.known_noise(self._baseline)
        baseline, policy, noise = self._baseline, self._policy, self._noise
        evidence = of_run.evidence_of(test, self._items.filled)
        return [one.metric.name for one in evidence if decide.is_suspect(one, baseline, policy, noise)]

    @property
    def _policy(self) -> Policy:
        shard = self._options.shard
        # Of all shards together one may be red by chance so often.
        return Policy(error=self._options.error / (1 if shard is None else shard.count), rtol=self._options.rtol)

    def decided(
        self, results: Results, paths: Sequence[str] | None
    ) -> Iterator[tuple[TestResult | Group, dict[str, Any]]]:
        """Yield what is decided, see :func:`of_run.decided`; where there is no baseline, see :func:`of_run.gated`."""
        if self._baseline is None and not results.aggregates:
            return
        from ..verdicts import of_run  # most runs have neither

        if self._baseline is None:
            yield from of_run.gated(results, self._options.fail_on)
            return
        yield from of_run.decided(
            results, self._baseline, self._policy, self._options.fail_on, paths, self._items.filled
        )

    def undecided(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what an earlier run found of a test, to be judged with this run's: as it is where nothing judges."""
        if self._baseline is None or result.get("device_kind") is None:
            return result
        from ..verdicts import of_run

        return of_run.undecided(result)

    def mismatch(self, tests: Sequence[TestResult], command: str) -> str | None:
        """Return, for an error, that the baseline is of something else than this run; None where it is not."""
        if self._baseline is None or self._options.update_baseline:
            return None
        from ..verdicts import of_run

        cause = of_run.mismatch(tests, self._baseline, command)
        return None if cause is None else f"no metric of this run is in the baseline {self._options.baseline}: {cause}"

    def update(self, report: Mapping[str, Any], *, folder: Path) -> Update:
        """Accept the metrics of a run's report into the user's file; ``folder`` is where pytest was started."""
        from ..verdicts import acceptance

        path = self._options.baseline
        assert path is not None
        if not report["run"]["complete"]:
            text = f"the baseline {path} was not updated: the run is incomplete"
            return Update(warnings=(text,), status=pytest.ExitCode.TESTS_FAILED)
        whole = self._items.in_report(report)
        accept = partial(acceptance.accept, whole, reason=self._options.reason, policy=self._policy)
        try:
            accepted = baseline_file.update(path, accept)
        except UsageProblem as problem:
            return Update(warnings=(f"the baseline was not updated: {problem}",), status=EXIT_USAGE)
        shown = min(str(path), os.path.relpath(path, folder), key=len)
        return Update(
            notes=(f"baseline {shown}: {accepted.text()}",),
            warnings=tuple(one_line(line) for line in accepted.left_out_lines()),
        )

"""``gpupool runs``: the runs on record."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

from ...records import archive
from ...records.archive import Recorded
from ...reports.columns import show
from ...values.texts import duration_text, epoch, visible
from ..sources import add_dir, base_of, warn

_HEAD = ("RUN", "AGE", "TESTS", "OUTCOMES", "RESUME")
_RIGHT = (False, True, True, False, False)


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser("runs", help="list the runs on record")
    add_dir(command)
    command.set_defaults(run=_run)


def outcomes_text(recorded: Recorded) -> str:
    """Return how many tests had each outcome: ``3 passed, 1 failed``."""
    counts = Counter(test.outcome for test in recorded.results.tests)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "nothing was collected"


def _run(args: argparse.Namespace) -> int:
    base = base_of(args.dir)
    found, left_out = archive.load_all(reversed(archive.runs(base)))
    rows = [*map(_row, found)]
    for text in left_out:
        warn(visible(text))
    if rows:
        show([_HEAD, *rows], right=_RIGHT)
    else:
        print(f"gpupool: no run is on record in {base}")
    return 0


def _row(recorded: Recorded) -> tuple[str, str, str, str, str]:
    age = duration_text(time.time() - epoch(recorded.facts()["started"]))
    return (recorded.id, age, str(recorded.results.collected), outcomes_text(recorded), _resumable(recorded))


def _resumable(recorded: Recorded) -> str:
    if archive.goes_on(recorded.path):
        return "no, it goes on"
    if recorded.plan.each:
        return "no, it was one with --dist each"
    left = sum(not test.may_be_kept for test in recorded.results.tests)
    if not recorded.results.collected:
        return "no"
    return f"yes, {left} left" if left else "nothing is left"

"""``gpupool items RUN [TEST]``: what tests have said of single items, and which of them have flipped."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...items.accepted import Accepted, has_items
from ...items.flips import Item
from ...items.source import Source, Test
from ...values.errors import UsageProblem
from ...values.texts import visible
from ...verdicts.baselines import baseline_file
from ..sources import add_dir, folders_of_runs, is_baseline, items_of, kept_baseline, warn
from . import formats, table

_ABOUT = """\
Shows the items that tests have recorded with record_sample, and those of record_metric's samples by their ids. RUN is a
run on record (its id, the beginning of it, its directory, or 'latest'), or a JSON report beside the folder 'items' of
its run. TEST is a test's id, or a part of it.

With --flipped, items that were right and are wrong, and back: beside another run (--against), else beside the baseline
that the run had. Right is a score of 1 or True, and one of 0.5 or more of those from 0 to 1; another bound is given by
--threshold, another score than the first by --score.
"""

_LIMIT = 20
_FORMATS = ("table", "csv", "jsonl", "parquet")

Side = Source | Accepted | None


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "items",
        help="the items of a run's tests, and which of them have flipped",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="RUN", help="a run on record, or a JSON report")
    command.add_argument("test", metavar="TEST", nargs="?", help="a test's id, or a part of it (default: all tests)")
    command.add_argument("--flipped", action="store_true", help="only items that were right and are wrong, and back")
    text = "the run, report or baseline file that items are compared with (default: the run's own baseline)"
    command.add_argument("--against", metavar="RUN", help=text)
    text = "the score by which an item is right (default: 'score', else the first that both sides have)"
    command.add_argument("--score", metavar="NAME", help=text)
    text = "a score of X or more is right, or, where less is better, of X or less (default: 0.5 of scores from 0 to 1)"
    command.add_argument("--threshold", metavar="X", help=text)
    command.add_argument("--format", choices=_FORMATS, default="table", help="of the output (default: table)")
    command.add_argument("--output", metavar="PATH", type=Path, help="write to this file")
    text = f"rows of each test in the table, 0 for all (default: {_LIMIT})"
    command.add_argument("--limit", metavar="N", type=int, default=_LIMIT, help=text)
    add_dir(command)
    command.set_defaults(run=_run, take_rest=_take_rest)


def _take_rest(args: argparse.Namespace, unknown: list[str]) -> list[str]:
    """Take the test where it stands behind an option, which argparse does not; return what is known of none."""
    if args.test is None and not unknown[0].startswith("-"):
        args.test = unknown.pop(0)
    return unknown


def _run(args: argparse.Namespace) -> int:
    threshold, source = _threshold(args.threshold), items_of(args.name, args.dir)
    tests = _tests(source, args)
    _check_score(source, tests, args.score)
    other, name = _other(args, source)

    def rows(test: Test) -> Iterator[Item]:
        found = source.with_flips(test, other, score=args.score, threshold=threshold)
        return (item for item in found if item["flip"]) if args.flipped else found

    if args.format == "table":
        table.show_tables(source, tests, rows, against=name, limit=args.limit or None, is_flipped=args.flipped)
    else:
        formats.write(args.format, args.output, source, tests, rows, has_other=other is not None)
    for side in (source, other):
        for problem in () if side is None else side.problems:
            warn(visible(problem))
    return 0


def _tests(source: Source, args: argparse.Namespace) -> list[Test]:
    """Return the tests whose items are meant. Raises UsageProblem where there are none."""
    known = source.tests()
    if not known:
        raise UsageProblem(f"{visible(args.name)} has no items: tests record them with the fixture record_sample")
    if args.limit < 0:
        raise UsageProblem(f"--limit={args.limit}: give a number from 0, which shows all")
    if args.test is None:
        return known
    exact = [test for test in known if test["nodeid"] == args.test]
    fitting = exact or [test for test in known if args.test in test["nodeid"]]
    if not fitting:
        names = ", ".join(visible(test["nodeid"]) for test in known[:5])
        more = f" and {len(known) - 5} more" if len(known) > 5 else ""
        raise UsageProblem(f"no test with items has {args.test!r} in its id; these have items: {names}{more}")
    return fitting


def _check_score(source: Source, tests: Sequence[Test], score: str | None) -> None:
    """Refuse the name of a score that no item has, by which none would have flipped."""
    known = dict.fromkeys(name for test in tests for name in source.score_names(test))
    if score is not None and score not in known:
        names = ", ".join(map(visible, [*known][:10])) or "none"
        raise UsageProblem(f"--score={score}: no item of these tests has a score of that name; there are: {names}")


def _other(args: argparse.Namespace, source: Source) -> tuple[Side, str | None]:
    """Return what items are compared with, and what it is called. Raises UsageProblem where it has to be given."""
    runs = folders_of_runs(source.report["run"], args.dir)
    if args.against is not None:
        path = Path(args.against)
        if path.is_file() and is_baseline(path):
            return Accepted(baseline_file.load(path), *runs), f"the baseline {path}"
        other = items_of(args.against, args.dir)
        return other, f"run {other.report['run']['id']}"
    if not args.flipped:
        return None, None
    baseline = kept_baseline(args.name, args.dir)
    if baseline is None or not has_items(baseline):
        what = "had no baseline" if baseline is None else "had a baseline that keeps no items"
        raise UsageProblem(
            f"run {source.report['run']['id']} {what}: say what to compare with by --against RUN. A baseline keeps the "
            "items of metrics with samples by their ids: record_metric(…, samples={id: value})"
        )
    return Accepted(baseline, *runs), "its baseline"


def _threshold(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageProblem(f"--threshold={text}: give a number, such as 0.8")
    return number

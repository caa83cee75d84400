"""``gpupool compare A B``: metrics and durations of two reports, A the older, side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...records.store import write_whole
from ...reports import comparison as documents
from ...reports.markdown import escaped
from ...trends import facts
from ...values.errors import EXIT_USAGE, UsageProblem
from ...values.texts import visible
from ...values.verdicts import BAD, FAILING
from ...verdicts.baselines.baseline import Baseline
from ...verdicts.comparison import Comparison
from ..sources import Report, add_dir, warn
from .sides import Side, add_policy, compared

_ABOUT = """\
Compares the metrics of two runs, and how long their tests took; A is the older one. Each is a JSON report, or a run on
record: its id, the beginning of it, its directory, or 'latest'. One of them may be a baseline file: then the other
one is compared with it.

A metric is judged as with --gpupool-baseline, A's value being the baseline: by B's tolerance, else A's, else --rtol.
Values of another kind of device are compared, and the note says so. The exit status is 1 where a verdict is one of
--fail-on. A metric that is gone from a test, and a test that was good and now fails, count as regressed; durations,
and tests that only one of the two has, never fail.

With --html all of it is written as a page too, one file that works offline: every row to filter and sort, the worst
first. The exit status is 4 where that could not be written.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "compare",
        help="compare the metrics and durations of two runs",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("a", metavar="A", help="the older one: a report, a run on record, or a baseline file")
    command.add_argument("b", metavar="B", help="the newer one")
    text = "what makes the exit status 1: regressed, no-baseline, contended, invalid, none (default: regressed,invalid)"
    command.add_argument("--fail-on", metavar="KIND[,KIND…]", action="append", help=text)
    add_policy(command)
    command.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="default: text")
    text = "write the two side by side as a page to this file"
    command.add_argument("--html", metavar="PATH", type=Path, help=text)
    text = "show every metric, outcome and duration; in markdown as many as a comment on GitHub may hold"
    command.add_argument("-v", "--verbose", action="store_true", help=text)
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    kinds = _kinds(args.fail_on)
    found, old, new = compared(args)
    fails = found.fails(kinds)
    differing = [] if isinstance(old.content, Baseline) else facts.changed(old.content, new.content)
    _print(found, differing, args, (old.title, new.title), fails=fails)
    if args.html is not None:
        try:
            _write_html(args.html, found, (old, new), differing, fails=fails)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            warn(f"the page {args.html} could not be written: {reason}")
            return EXIT_USAGE
    return int(fails)


def _write_html(
    path: Path,
    found: Comparison,
    sides: tuple[Side[Report | Baseline], Side[Report]],
    differing: Sequence[Mapping[str, Any]],
    *,
    fails: bool,
) -> None:
    from ...reports.html.comparing import page, runs  # which loads jinja2

    old, new = (
        runs.Side(title=side.title, report=None if isinstance(side.content, Baseline) else side.content)
        for side in sides
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page.render(found, (old, new), differing, fails=fails))


def _print(
    found: Comparison,
    differing: Sequence[Mapping[str, Any]],
    args: argparse.Namespace,
    titles: tuple[str, str],
    *,
    fails: bool,
) -> None:
    old, new = titles
    if args.format == "json":
        told = {**documents.plain(found), "facts": differing, "a": old, "b": new, "fails": fails}
        print(json.dumps(told, indent=1, allow_nan=False))
        return
    if args.format == "markdown":
        lines = documents.markdown(found, f"{old} → {new}", verbose=args.verbose)
    else:
        print(f"gpupool: A is {visible(old)}, B is {visible(new)}")
        lines = documents.text(found, verbose=args.verbose)
    for line in lines:
        print(line)
    if differing:
        is_text = args.format == "text"
        print("\nfacts that differ:" if is_text else "\nFacts that differ:\n")
        for line in facts.lines(differing, all_of_them=args.verbose):
            print(f"  {line}" if is_text else f"- {escaped(line)}")


def _kinds(given: list[str] | None) -> frozenset[str]:
    if given is None:
        return frozenset(BAD)
    from ...options.parsing import NONE, fail_on  # which imports pytest

    try:
        return frozenset[str]().union(*map(fail_on, given))
    except ValueError as error:
        raise UsageProblem(f"--fail-on={error}: give {', '.join((*FAILING, NONE))}") from None

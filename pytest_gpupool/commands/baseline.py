"""``gpupool baseline update|show|diff``: look after the baseline file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .. import accepting, archive, baselines
from ..baseline import Baseline, Entry
from ..reports.terminal import percent_text, value_text
from ..reports.words import cut, visible
from .sources import add_dir, report_of, warn
from .tables import show

_RUN = "a run on record (default: the latest) or a JSON report"
_WIDEST = 80


def add(commands: Any) -> None:
    """Declare the calls."""
    command = commands.add_parser("baseline", help="look after the baseline file")
    calls = command.add_subparsers(metavar="CALL", required=True)

    update = calls.add_parser("update", help="accept the metrics of a run: write them into the baseline file")
    _add_file(update)
    update.add_argument("name", metavar="RUN", nargs="?", default=archive.LATEST, help=_RUN)
    update.add_argument("--reason", metavar="TEXT", default="gpupool baseline update", help="why, for the file")
    update.add_argument("--force", action="store_true", help="accept an incomplete run, too")
    update.set_defaults(run=_update)

    list_ = calls.add_parser("show", help="list the entries")
    _add_file(list_)
    list_.add_argument("--test", metavar="TEXT", default="", help="only those of tests whose id has this in it")
    list_.add_argument("--stale", action="store_true", help="only those of tests or metrics that no longer exist")
    list_.add_argument("--run", dest="name", metavar="RUN", default=archive.LATEST, help=f"what exists: {_RUN}")
    list_.set_defaults(run=_show)

    diff = calls.add_parser("diff", help="show what 'update' would write")
    _add_file(diff)
    diff.add_argument("name", metavar="RUN", nargs="?", default=archive.LATEST, help=_RUN)
    diff.set_defaults(run=_diff)
    for call in (update, list_, diff):
        add_dir(call)


def _add_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="BASELINE", type=Path, help="the baseline file")


def _update(args: argparse.Namespace) -> int:
    report = report_of(args.name, args.dir)
    if not report["run"]["complete"] and not args.force:
        warn(f"run {report['run']['id']} is incomplete, so {args.file} was not updated; --force does it all the same")
        return 1
    accepted = baselines.update(args.file, partial(accepting.accept, report, reason=args.reason))
    print(f"gpupool: baseline {args.file}: {accepted.text()}, from run {report['run']['id']}")
    for line in accepted.told_left_out():
        warn(line)
    return 0


def _show(args: argparse.Namespace) -> int:
    baseline = baselines.load(args.file)
    entries: Iterable[Entry] = baseline.entries
    where = f"in {args.file}"
    if args.stale:
        report = report_of(args.name, args.dir)
        entries = accepting.stale(baseline, report)
        where = f"that run {report['run']['id']}, which collected {report['run']['collected']} tests, does not have"
    chosen = [entry for entry in entries if args.test in entry.test]
    if chosen:
        show([_HEAD, *map(_row, chosen)], right=_RIGHT)
    print(f"gpupool: {len(chosen)} {'entry' if len(chosen) == 1 else 'entries'} {where}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    report = report_of(args.name, args.dir)
    baseline = baselines.load(args.file) if args.file.exists() else Baseline()
    accepted = accepting.accept(report, baseline, reason="")
    rows = [_changed(entry, baseline.get(*entry.key)) for entry in accepted.entries]
    if rows:
        show([("TEST", "METRIC", "DEVICE", "BASELINE", "RUN", "CHANGE"), *rows], right=_RIGHT_OF_DIFF)
    print(f"gpupool: {len(rows)} to write, {accepted.unchanged} unchanged, from run {report['run']['id']}")
    for line in accepted.told_left_out():
        warn(line)
    return 0


_HEAD = ("TEST", "METRIC", "DEVICE", "VALUE", "N", "SPREAD", "COMMIT", "DATE", "REASON")
_RIGHT = (False, False, False, True, True, True, False, False, False)
_RIGHT_OF_DIFF = (False, False, False, True, True, True)


def _row(entry: Entry) -> Sequence[str]:
    return (
        *_names(entry),
        _value(entry),
        "" if entry.n is None else str(entry.n),
        "" if entry.spread is None else f"{entry.spread:.2g}",
        entry.commit[:10] + (" (dirty)" if entry.dirty else ""),
        entry.date[:10],
        _safe(entry.reason),
    )


def _changed(entry: Entry, old: Entry | None) -> Sequence[str]:
    if old is None:
        return (*_names(entry), "", _value(entry), "")
    try:
        change = percent_text((entry.value - old.value) / abs(old.value)) if old.value else ""
    except OverflowError:  # an int may be of any size
        change = ""
    return (*_names(entry), _value(old), _value(entry), change)


def _names(entry: Entry) -> tuple[str, str, str]:
    return _safe(entry.test), _safe(entry.metric), _safe(entry.device)


def _value(entry: Entry) -> str:
    return value_text({"value": entry.value, "unit": entry.unit})


def _safe(text: str) -> str:
    return cut(visible(text).replace("\n", "\\n"), _WIDEST)

"""``gpupool baseline update|show|diff|merge``: look after the baseline file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...metrics.groups import as_tests
from ...metrics.metric import Number
from ...metrics.wording import change_text, number_text, value_text
from ...records import archive, store
from ...records.archive import Recorded
from ...reports.columns import show
from ...reports.words import counted
from ...values.errors import UsageProblem
from ...values.nodeids import file_of
from ...values.texts import cut, one_line, visible
from ...verdicts import acceptance, narrowing
from ...verdicts.baselines import baseline_file
from ...verdicts.baselines.baseline import Baseline, Entry
from .. import merging
from ..sources import Report, add_dir, base_of, report_of, report_of_run, warn, whole_report_of

_RUN = "a run on record (default: the latest) or a JSON report"
_WIDEST = 80

Stale = Sequence[tuple[Entry, str]]
"""Entries, and why they are stale."""

_ABOUT_UPDATE = """\
New metrics get an entry. Metrics that are as before join the runs that their entry stands for, up to 20, so that their
noise is known. Metrics that have changed, for the better or the worse, start anew only where they are accepted by name.
Where the run is of the same clean commit as the entry, or with --unchanged, what differs is noise, and joins.
"""

_ABOUT_MERGE = """\
Merges entry by entry what two branches have made of a baseline file, and writes that into OURS. Git by itself finds a
conflict where lines beside each other have changed; with --install it calls this for BASELINE: by a line in the
.gitattributes beside it, which is to be committed, and by this clone's own configuration. Where both branches have
changed the same entry, both stand in the file between git's marks, and the exit status is 1.
"""

_ABOUT_SHOW = """\
Lists the entries. With --stale only those of tests or metrics that no longer exist. Without --run the tests of each
file are told by the latest run on record that collected any of them, was complete, and had no -k, -m, '::' or the
like in its command line; an entry is stale, too, where its file is gone. Nothing is removed.
"""


def add(commands: Any) -> None:
    """Declare the calls."""
    command = commands.add_parser("baseline", help="look after the baseline file")
    calls = command.add_subparsers(metavar="CALL", required=True)

    update = calls.add_parser("update", help="add a run to the baseline file", description=_ABOUT_UPDATE)
    _add_file(update)
    update.add_argument("name", metavar="RUN", nargs="?", default=store.LATEST, help=_RUN)
    update.add_argument("--reason", metavar="TEXT", default="gpupool baseline update", help="why, for the file")
    text = "accept what has changed of this test, or TEST::METRIC; * and ? stand for any text; may be given again"
    update.add_argument("--accept", metavar="TEST[::METRIC]", action="append", default=[], help=text)
    update.add_argument("--accept-all", action="store_true", help="accept all that has changed")
    text = "nothing was changed since the baseline: what differs is noise, by which later runs are judged"
    update.add_argument("--unchanged", action="store_true", help=text)
    update.add_argument("--force", action="store_true", help="accept an incomplete run, too")
    update.set_defaults(run=_update)

    list_ = calls.add_parser("show", help="list the entries", description=_ABOUT_SHOW)
    _add_file(list_)
    list_.add_argument("--test", metavar="TEXT", default="", help="only those of tests whose id has this in it")
    list_.add_argument("--stale", action="store_true", help="only those of tests or metrics that no longer exist")
    text = "with --stale: what exists is what this run on record, or JSON report, collected, and nothing else"
    list_.add_argument("--run", dest="name", metavar="RUN", help=text)
    list_.set_defaults(run=_show)

    diff = calls.add_parser("diff", help="show what 'update' would write")
    _add_file(diff)
    diff.add_argument("name", metavar="RUN", nargs="?", default=store.LATEST, help=_RUN)
    diff.set_defaults(run=_diff)
    for call in (update, list_, diff):
        add_dir(call)

    merge = calls.add_parser("merge", help="merge two branches' baseline files", description=_ABOUT_MERGE)
    merge.add_argument(
        "files", metavar="FILE", type=Path, nargs="+", help="BASE OURS THEIRS, or with --install BASELINE"
    )
    merge.add_argument("--install", action="store_true", help="have git merge this file so, in this clone")
    merge.set_defaults(run=merging.run)


def _add_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="BASELINE", type=Path, help="the baseline file")


def _update(args: argparse.Namespace) -> int:
    report = whole_report_of(args.name, args.dir)
    run = _safe(report["run"]["id"])
    if not report["run"]["complete"] and not args.force:
        warn(f"run {run} is incomplete, so {args.file} was not updated; --force does it all the same")
        return 1
    consent = acceptance.Consent(names=tuple(args.accept), everything=args.accept_all, nothing_changed=args.unchanged)
    tests = [*report["tests"], *as_tests(report)]
    known = [(test["nodeid"], metric["name"], "") for test in tests for metric in test["metrics"]]
    if unused := consent.unused(known):
        raise UsageProblem(f"--accept={unused[0]}: run {run} has no such test, and no such TEST::METRIC")
    accept = partial(acceptance.accept, report, reason=args.reason, consent=consent)
    accepted = baseline_file.update(args.file, accept)
    print(f"gpupool: baseline {args.file}: {accepted.text()}, from run {run}")
    for line in accepted.left_out_lines():
        warn(one_line(line))
    return 0


def _show(args: argparse.Namespace) -> int:
    baseline = baseline_file.load(args.file)
    entries = [entry for entry in baseline.entries if args.test in entry.test]
    if args.stale:
        return _show_stale(entries, args)
    if entries:
        show([_HEAD, *map(_row, entries)], right=_RIGHT)
    print(f"gpupool: {_counted(entries)} in {args.file}")
    return 0


def _show_stale(entries: Sequence[Entry], args: argparse.Namespace) -> int:
    if args.name is None:
        found, left = _stale_by_record(entries, base_of(args.dir))
        where = f"of {args.file} {'is' if len(found) == 1 else 'are'} of what no longer exists"
    else:
        report = report_of(args.name, args.dir)
        run = report["run"]
        found, left = list(acceptance.stale(entries, report)), []
        where = f"that run {_safe(run['id'])}, which collected {counted(run['collected'], 'test')}, does not have"
    if found:
        show([(*_HEAD, "WHY"), *((*_row(entry), _safe(why)) for entry, why in found)], right=(*_RIGHT, False))
    print(f"gpupool: {_counted(found)} {where}")
    if left:
        are = "is" if len(left) == 1 else "are"
        print(f"gpupool: {_counted(left)} of files that no such run on record has collected {are} not judged")
    return 0


def _stale_by_record(entries: Sequence[Entry], base: Path) -> tuple[Stale, Sequence[Entry]]:
    """Return what is stale, by the latest run that can tell it of each file; and what none can tell."""
    left: dict[str, list[Entry]] = {}
    for entry in entries:
        left.setdefault(_file_of(entry.test), []).append(entry)
    found: list[tuple[Entry, str]] = []
    is_latest = True
    for recorded in _whole_runs(base):
        for problem in recorded.problems:  # what is stale by it may not be
            warn(f"run {_safe(recorded.id)}: {visible(problem)}")
        report = report_of_run(recorded)
        files = dict.fromkeys(_file_of(test["nodeid"]) for test in report["tests"])
        found += acceptance.stale([entry for file in files for entry in left.pop(file, ())], report)
        if is_latest:
            gone = [file for file in left if _is_gone(file, recorded.plan.facts)]
            found += ((entry, "its file is gone") for file in gone for entry in left.pop(file))
        is_latest = False
        if not left:
            break
    return sorted(found, key=lambda one: one[0].key), [entry for few in left.values() for entry in few]


def _whole_runs(base: Path) -> Iterator[Recorded]:
    """Yield the runs that collected all tests of the files that they collected, the latest first."""
    for path in reversed(archive.runs(base)):
        found, unreadable = archive.load_all([path])  # one by one: the latest may tell of all files
        for text in unreadable:
            warn(visible(text))
        yield from filter(_is_whole, found)


def _is_whole(recorded: Recorded) -> bool:
    command = recorded.plan.facts.get("command")
    is_whole = recorded.results.is_complete and recorded.results.shard is None
    return is_whole and isinstance(command, str) and not narrowing.is_narrowed(command)


def _file_of(test: str) -> str:
    return file_of(test)


def _is_gone(file: str, facts: Mapping[str, Any]) -> bool:
    """Say whether a file is no longer where the run was; unknown, as on another machine, is no."""
    try:
        root = Path(facts["rootdir"])
        return root.is_dir() and not (root / file).exists()
    except (KeyError, TypeError, OSError, ValueError):  # no file can have that name
        return False


def _diff(args: argparse.Namespace) -> int:
    report = whole_report_of(args.name, args.dir)
    is_new = not args.file.exists()
    baseline = Baseline() if is_new else baseline_file.load(args.file)
    everything = acceptance.Consent(everything=True)
    accepted = acceptance.accept(report, baseline, reason="", consent=everything)
    rows = [_changed(entry, baseline.get(*entry.key)) for entry in accepted.entries]
    if rows:
        show([("TEST", "METRIC", "DEVICE", "BASELINE", "RUN", "CHANGE"), *rows], right=_RIGHT_OF_DIFF)
    run = _safe(report["run"]["id"])
    print(f"gpupool: {len(rows)} to write, {accepted.unchanged} unchanged, from run {run}")
    for line in _notes(args.file, report, is_new=is_new):
        warn(line)
    for line in accepted.left_out_lines():
        warn(one_line(line))
    return 0


def _notes(file: Path, report: Report, *, is_new: bool) -> Iterator[str]:
    if is_new:
        yield f"there is no baseline file {file} yet: 'update' makes it"
    if not report["run"]["complete"]:
        yield f"run {_safe(report['run']['id'])} is incomplete: 'update' refuses it, unless with --force"


_HEAD = ("TEST", "METRIC", "DEVICE", "VALUE", "N", "SPREAD", "COMMIT", "DATE", "REASON")
_RIGHT = (False, False, False, True, True, True, False, False, False)
_RIGHT_OF_DIFF = (False, False, False, True, True, False)


def _row(entry: Entry) -> Sequence[str]:
    return (
        *_names(entry),
        _value(entry),
        _number(entry.n),
        _number(entry.spread),
        _safe(entry.commit[:10]) + (" (dirty)" if entry.dirty else ""),
        _safe(entry.date[:10]),
        _safe(entry.reason),
    )


def _changed(entry: Entry, old: Entry | None) -> Sequence[str]:
    if old is None:
        return (*_names(entry), "", _value(entry), "new")
    values = _safe(value_text(_metric(old, entry))), _safe(value_text(_metric(entry, old)))
    return (*_names(entry), *values, ", ".join(_changes(entry, old)))


def _metric(entry: Entry, other: Entry) -> Mapping[str, Any]:
    """Return an entry as a metric beside another one, whose value is its baseline."""
    change = acceptance.change(other.value, entry.value)
    return {"value": entry.value, "unit": entry.unit, "baseline": other.value, "change": change}


def _changes(entry: Entry, old: Entry) -> Iterator[str]:
    """Yield what changes: the value, else what it was found from; and the rules, whatever the value."""
    if entry.value != old.value and not (entry.unit and old.unit and entry.unit != old.unit):
        yield from filter(None, [change_text(_metric(entry, old))])
    if entry.n != old.n:
        yield f"n {_number(old.n) or 'none'} → {_number(entry.n) or 'none'}"
    if entry.unit != old.unit:
        yield f"unit {_safe(old.unit) or 'none'} → {_safe(entry.unit) or 'none'}"
    if entry.higher_is_better != old.higher_is_better:
        yield f"{_DIRECTIONS[old.higher_is_better]} → {_DIRECTIONS[entry.higher_is_better]} is better"
    if entry.value == old.value and entry.samples != old.samples:
        yield "samples"


_DIRECTIONS = {True: "higher", False: "lower", None: "neither"}


def _number(number: Number | None) -> str:
    return "" if number is None else number_text(number, 2)


def _counted(entries: Sequence[object]) -> str:
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"


def _names(entry: Entry) -> tuple[str, str, str]:
    return _safe(entry.test), _safe(entry.metric), _safe(entry.device)


def _value(entry: Entry) -> str:
    return _safe(value_text({"value": entry.value, "unit": entry.unit}))


def _safe(text: str) -> str:
    return cut(one_line(text), _WIDEST)

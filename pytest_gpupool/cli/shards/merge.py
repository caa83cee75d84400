"""``gpupool merge DIR…``: the shards of several machines as one run, judged and reported as that."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...metrics import groups
from ...records import durations
from ...records.archive import Recorded
from ...records.beside import attachments as beside
from ...records.folding.results import Results
from ...reports.publish import Wanted, publish
from ...shards import merging
from ...shards.agreement import Agreement, agreed, shard_of
from ...trends import additions
from ...trends.additions import Additions
from ...values.errors import EXIT_USAGE, UsageProblem
from ...values.outcomes import BAD, WORST_FIRST
from ...values.texts import cut, one_line
from ...values.verdicts import BAD as BAD_VERDICTS
from ...values.verdicts import ERROR, RTOL
from ...verdicts import acceptance, of_run
from ...verdicts.baselines import baseline_file
from ...verdicts.baselines.baseline import Baseline
from ...verdicts.decide import Policy
from ..commands.runs import outcomes_text
from ..sources import decide, report_of_run, warn
from . import given

_FORMS = ("json", "html", "markdown", "junit")
_MOST = 20
_WIDEST = 160

_ABOUT = """\
Makes one run of those that had --gpupool-shard, each on a machine of its own, and judges it as one: aggregates, metrics
with one error over all, what is gone. DIR is a run's directory, a .gpupool directory (its latest shards), a file that
'gpupool pack' has written, or a folder with such. The exit status is 1 where a test failed or has no result, as where a
shard is missing, and 4 where they are not shards of one run.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "merge",
        help="make one run of the shards of several machines",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("names", metavar="DIR", nargs="+", type=Path, help="runs, packed or not")
    for form in _FORMS:
        text = "append the summary, as markdown," if form == "markdown" else f"write the report as {form}"
        command.add_argument(f"--{form}", metavar="PATH", type=Path, help=f"{text} to this file")
    text = "judge by this baseline file (default: by the one that the shards had)"
    command.add_argument("--baseline", metavar="PATH", type=Path, help=text)
    text = "add the run to that file: new metrics, and what is as before"
    command.add_argument("--update-baseline", action="store_true", help=text)
    command.add_argument(
        "--reason", metavar="TEXT", default="gpupool merge --update-baseline", help="why, for the file"
    )
    text = "add what tests took to this file, by which the next run's shards are cut"
    command.add_argument("--durations", metavar="PATH", type=Path, help=text)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.update_baseline and args.baseline is None:
        raise UsageProblem("--update-baseline: say which file with --baseline PATH")
    with tempfile.TemporaryDirectory(prefix="gpupool-merge-") as folder:
        outputs = {f"--{name}": getattr(args, name) for name in (*_FORMS, "durations", "baseline")}
        given_runs = given.load(args.names, Path(folder), outputs)
        agreement = agreed(given_runs)
        recorded = merging.merged(agreement.runs)
        for text in (*agreement.notes, *recorded.problems):
            warn(text)
        baseline = _judge(recorded, agreement, args)
        status = _status(recorded.results, agreement)
        status = status or _mismatch(recorded, None if args.update_baseline else baseline)
        for line in _lines(recorded, agreement):
            print(line)
        return _write(replace(recorded, exit_status=status), given_runs, args, Path(folder), baseline)


def _judge(recorded: Recorded, agreement: Agreement, args: argparse.Namespace) -> Baseline | None:
    """Judge the metrics of all shards together; return the baseline by which that was, None where there is none."""
    results, baseline = recorded.results, None
    if args.baseline is not None:
        baseline = baseline_file.at_start(args.baseline, may_be_missing=args.update_baseline)
        rules = results.policy or {"record": "policy", "error": ERROR, "rtol": RTOL, "fail_on": list(BAD_VERDICTS)}
        new_is_bad = not args.update_baseline
        fail_on = [one for one in rules["fail_on"] if new_is_bad or one != "no-baseline"]
        results.add({**rules, "fail_on": fail_on})
    elif results.policy is not None:
        baseline = _kept(agreement.runs)
    decide(recorded, baseline, merging.paths_of(agreement.runs))
    return baseline


def _kept(runs: Sequence[Recorded]) -> Baseline:
    """Return the baseline with which the shards began. Raises UsageProblem."""
    cure = "say by which to judge with --baseline PATH"
    if merging.differing_baselines(runs):
        raise UsageProblem(f"the shards began with baselines that differ: {cure}")
    found = (baseline_file.kept(run.path) for run in runs)
    kept = next((one for one in found if one is not None), None)
    if kept is None:
        raise UsageProblem(f"the shards' copies of the baseline are gone: {cure}")
    return kept


def _status(results: Results, agreement: Agreement) -> int:
    status = int(not results.is_complete or _is_bad(results))
    for run in agreement.runs:
        # What the shard itself tells of its tests, by its own verdicts, explains its exit status.
        is_explained = run.exit_status in (0, None) or _is_bad(run.results) or not run.results.is_complete
        if not is_explained:
            warn(
                f"run {run.id} (shard {shard_of(run)['index']}) ended with exit status {run.exit_status}, by no test's"
            )
            status = 1
    return status


def _is_bad(results: Results) -> bool:
    return any(test.outcome in BAD for test in (*results.tests, *groups.as_results(results)))


def _mismatch(recorded: Recorded, baseline: Baseline | None) -> int:
    """Where nothing could be compared the run is no success, as one on one machine would be none."""
    results = recorded.results
    causes = groups.misused(results)
    if baseline is not None:
        judged = [one for one in groups.as_results(results) if one.outcome != "skipped"]
        cause = of_run.mismatch([*results.tests, *judged], baseline, recorded.facts()["command"])
        causes += [] if cause is None else [f"no metric of this run is in the baseline: {cause}"]
    for cause in causes:
        warn(cause)
    return EXIT_USAGE if causes else 0


def _lines(recorded: Recorded, agreement: Agreement) -> Iterator[str]:
    """Yield what became of the run, and of each test that needs a look."""
    results, runs = recorded.results, agreement.runs
    count = shard_of(runs[0])["count"]
    whole = "complete" if results.is_complete else "incomplete"
    yield f"gpupool: {len(runs)} of {count} shards merged as run {recorded.id}, {whole}: {outcomes_text(recorded)}"
    if agreement.missing:
        known = {test.nodeid for run in runs for test in run.results.single}
        tests = sum(test.nodeid not in known for test in results.single)
        names = ", ".join(f"{index}/{count}" for index in agreement.missing)
        yield f"gpupool: no run is given of shard {names}: {tests} test{'' if tests == 1 else 's'} not run"
    tests_and_groups = [*results.tests, *groups.as_results(results)]
    bad = sorted(
        (test for test in tests_and_groups if test.outcome in BAD), key=lambda test: WORST_FIRST.index(test.outcome)
    )
    for test in bad[:_MOST]:
        message = (test.message or "").strip().partition("\n")[0]
        yield cut(one_line(f"{test.outcome.upper()} {test.nodeid}{f' - {message}' if message else ''}"), _WIDEST)
    if len(bad) > _MOST:
        yield f"… and {len(bad) - _MOST} more"


def _write(
    recorded: Recorded, runs: Sequence[Recorded], args: argparse.Namespace, folder: Path, baseline: Baseline | None
) -> int:
    """Write what was asked for; return the exit status of the run, where that is 0 the one that this calls for."""
    beside_which = args.json or args.html
    kept = None if beside_which is None else beside_which.parent.resolve()  # for what was unpacked does not stay
    wanted = Wanted(json=args.json, html=args.html, markdown=args.markdown, junit=args.junit, folder=kept)
    run = recorded.facts(), recorded.results, recorded.devices()
    found = additions.collect(folder, *run) if wanted.paths() else Additions()  # no run is before this one
    report = recorded.items.in_report(report_of_run(recorded))  # what was unpacked does not stay
    problems = []
    if beside_which is not None:  # first: the page shows some of them
        given_runs, items = [run.path for run in runs], args.json is not None
        problems += beside.copied(report, given_runs, beside_which.parent, items=items)
    problems += publish(report | found.to_report(), wanted, None, *(run.path for run in runs), baseline=baseline)
    if args.durations is not None:
        problems += filter(None, [_keep_durations(runs, args.durations)])
    for problem in problems:
        warn(problem)
    status = recorded.exit_status or (EXIT_USAGE if problems else 0)
    updated = _update(recorded, report, args) if args.update_baseline else 0
    return status or updated


def _keep_durations(runs: Sequence[Recorded], path: Path) -> str | None:
    observed = []
    for run in {run.id: run for run in runs}.values():
        names = {device.id: device.name for device in run.devices()}
        observed += durations.from_results(run.results, names)
    _, damage = durations.load(path, ())
    problem = durations.save(path, observed)
    if damage is not None and problem is None:
        warn(f"{damage}; what it was is kept as {path}.damaged")
    return problem


def _update(recorded: Recorded, report: dict[str, Any], args: argparse.Namespace) -> int:
    if not recorded.results.is_complete:
        warn(f"the baseline {args.baseline} was not updated: the run is incomplete")
        return 1
    rules = recorded.results.policy
    assert rules is not None  # it was judged by that file
    policy = Policy(error=rules["error"], rtol=rules["rtol"])
    accept = partial(acceptance.accept, report, reason=args.reason, policy=policy)
    accepted = baseline_file.update(args.baseline, accept)
    print(f"gpupool: baseline {args.baseline}: {accepted.text()}")
    for line in accepted.left_out_lines():
        warn(one_line(line))
    return 0

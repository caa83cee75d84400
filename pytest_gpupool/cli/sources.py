"""Sources: the runs and reports that a call names."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..devices.pool import Pool
from ..records import archive, store
from ..records.archive import Recorded
from ..records.beside.items import Items
from ..records.folding.result import TestResult
from ..reports.json import build
from ..reports.schema import REPORT, REPORT_FORMAT, SPEC_VERSION, TEST, contradiction
from ..values.errors import UsageProblem
from ..values.texts import safe_repr, visible
from ..values.verdicts import BAD

if TYPE_CHECKING:
    from ..items.source import Source
    from ..verdicts.baselines.baseline import Baseline

Report = Mapping[str, Any]


def add_dir(command: argparse.ArgumentParser) -> None:
    """Give a call the option that says where the records are."""
    text = "where the records are kept, as --gpupool-dir (default: .gpupool here or in a folder above)"
    command.add_argument("--dir", metavar="PATH", type=Path, help=text)


def base_of(given: Path | None) -> Path:
    """Return where the records lie.

    Raises:
        UsageProblem: nowhere.
    """
    here = Path.cwd()
    candidates = [given] if given is not None else [parent / ".gpupool" for parent in (here, *here.parents)]
    found = next((path for path in candidates if (path / "runs").is_dir()), None)
    if found is None:
        where = str(given) if given is not None else f"no .gpupool in {here} or above"
        raise UsageProblem(f"there are no records: {where}; say where with --dir")
    return found


def run_of(name: str, given: Path | None) -> Recorded:
    """Return a run on record, by its id, the beginning of it, its directory, or ``latest``; say what is damaged.

    Raises:
        UsageProblem: there is no such run, or it cannot be read.
    """
    recorded = archive.load(archive.find(base_of(given), name))
    for problem in recorded.problems:
        warn(problem)
    decide(recorded)
    return recorded


def decide(recorded: Recorded, given: Baseline | None = None, paths: Sequence[str] | None = None) -> None:
    """Judge the metrics of a run that has not done so itself: it was killed, or is one of several shards.

    By the same rules, and the baseline that it began with, unless another one is ``given``. Where it is known in which
    ``paths`` it has looked for tests, those of the baseline count that it has not found there.

    Raises:
        UsageProblem: the baseline that it began with is damaged.
    """
    results = recorded.results
    if results.is_decided or (results.policy is None and not results.aggregates):
        return
    from ..verdicts import of_run
    from ..verdicts.baselines import baseline_file
    from ..verdicts.decide import Policy

    if results.policy is None:
        for _, record in list(of_run.gated(results, BAD)):
            results.add({"record": "aggregated", **record})
        return
    policy = Policy(error=results.policy["error"], rtol=results.policy["rtol"])
    baseline = baseline_file.kept(recorded.path) if given is None else given
    if baseline is None:
        warn(f"run {recorded.id} was killed before its metrics were judged, and its copy of the baseline is gone")
        return
    filled = recorded.items.filled
    decisions = of_run.decided(results, baseline, policy, results.policy["fail_on"], paths, filled=filled)
    for one, record in list(decisions):
        results.add({"record": "decided" if isinstance(one, TestResult) else "aggregated", **record})
    if recorded.items.problem is not None:
        warn(recorded.items.problem)


def report_of(name: str, given: Path | None) -> Report:
    """Return a report: that of a JSON file, or of a run on record, see :func:`run_of`.

    Raises:
        UsageProblem: there is none of that name, or the file is no report.
    """
    return _source(name, given)[0]


def whole_report_of(name: str, given: Path | None) -> Report:
    """Return a report with the values per item of its metrics, as :func:`report_of`; say where they are not there."""
    report, _, items, what_to_do = _source(name, given)
    whole = items.in_report(report)
    if items.problem is not None:
        warn(f"{visible(name)}: {items.problem}{what_to_do}")
    return whole


def report_with_folders(name: str, given: Path | None) -> tuple[Report, list[Path]]:
    """Return a report, as :func:`report_of`, and where the files may lie that it names: its run's, or copies beside it.

    Raises:
        UsageProblem: there is none of that name, or the file is no report.
    """
    report, folders, *_ = _source(name, given)
    return report, folders


def items_of(name: str, given: Path | None) -> Source:
    """Return the items of a run on record, or of a report beside which, or on this host, its run's files are.

    Raises:
        UsageProblem: there is none of that name, or the file is no report.
    """
    from ..items.source import Source

    path = Path(name)
    if is_report(path):
        report = _read(path)
        return Source.of(report, path.parent, *_runs_of(report["run"], given))
    recorded = run_of(name, given)
    return Source(report_of_run(recorded), recorded.samples, recorded.items)


def kept_baseline(name: str, given: Path | None) -> Baseline | None:
    """Return the baseline with which a run began, None where it had none, or it is not known any more.

    Raises:
        UsageProblem: it is damaged.
    """
    from ..verdicts.baselines import baseline_file

    path = Path(name)
    folders = _runs_of(_read(path)["run"], given) if is_report(path) else [archive.find(base_of(given), name)]
    return next((found for folder in folders if (found := baseline_file.kept(folder)) is not None), None)


def is_report(path: Path) -> bool:
    """Say whether a path is that of a file which is to be a report, and not of a run's directory."""
    return path.is_file() and not (path.name == archive.PLAN or path.suffix == ".jsonl")


def is_baseline(path: Path) -> bool:
    """Say what a file is meant to be, also where it is damaged: what reads it then says how."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    is_one = re.search(rb'"format"\s*:\s*"gpupool-baseline"', data) is not None
    return is_one and re.search(rb'"report_format"\s*:', data) is None


def _source(name: str, given: Path | None) -> tuple[Report, list[Path], Items, str]:
    """Return a report, where its run's files may be, its values per item, and what to do where they are not there."""
    path = Path(name)
    if is_report(path):
        report = _read(path)
        folders = [path.parent, *_runs_of(report["run"], given)]
        return report, folders, archive.items_of(*folders), "; copy the folder 'items' of its run's directory beside it"
    if path.suffix == ".json" and not path.exists():
        raise UsageProblem(f"there is no report {path}")
    recorded = run_of(name, given)
    return report_of_run(recorded), [recorded.path], recorded.items, ""


def folders_of_runs(run: Mapping[str, Any], given: Path | None) -> Iterator[Path]:
    """Yield the folders in which a report's run, and those before it, may be on record on this host."""
    with contextlib.suppress(UsageProblem):
        yield base_of(given) / "runs"
    yield Path(str(run.get("rootdir"))) / ".gpupool" / "runs"


def _runs_of(run: Mapping[str, Any], given: Path | None) -> Iterator[Path]:
    if store.RUN_ID.fullmatch(str(run["id"])):
        yield from (folder / run["id"] for folder in folders_of_runs(run, given))


def report_of_run(recorded: Recorded) -> dict[str, Any]:
    """Return the report that a run's record gives."""
    return build(recorded.facts(), Pool(devices=recorded.devices()), recorded.results)


def warn(text: str) -> None:
    """Say on the error stream what a user should know."""
    print(f"gpupool: {text}", file=sys.stderr)


def _read(path: Path) -> Report:
    try:
        report = json.loads(path.read_bytes(), parse_constant=_refuse)
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path} is no JSON report: {error}; 'gpupool report RUN --json' makes a new one") from None
    if not isinstance(report, dict) or report.get("report_format") != REPORT_FORMAT:
        raise UsageProblem(f"{path} is no report of pytest-gpupool: it has no report_format {REPORT_FORMAT!r}")
    _check_version(path, report.get("spec_version"))
    if problem := _damage(report):
        raise UsageProblem(f"{path} is damaged, in: {problem}; 'gpupool report RUN --json' makes a new one")
    return report


def _check_version(path: Path, version: object) -> None:
    major, ours = str(version).partition(".")[0], SPEC_VERSION.partition(".")[0]
    if not major.isdigit():
        raise UsageProblem(f"{path} is damaged: its spec_version is {version!r}")
    if int(major) > int(ours):
        raise UsageProblem(f"{path} is of version {version}, of a newer pytest-gpupool: read it with that one")


def _refuse(token: str) -> float:
    raise ValueError(f"{token} is not strict JSON")


def _damage(report: Mapping[str, Any]) -> str | None:
    """Return what is not as it must be, the first of it."""
    wrong = REPORT.first_wrong(report)
    if wrong == "tests" and isinstance(report.get("tests"), list):
        number, test = next((number, test) for number, test in enumerate(report["tests"], 1) if not TEST.fits(test))
        reason = contradiction(test)
        return f"test {number} ({safe_repr(test, 60)})" + (f": {visible(reason)}" if reason else "")
    return wrong

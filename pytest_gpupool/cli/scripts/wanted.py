"""Wanted: which run's logs, and of which tests, a call names."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ...logs.reading import Wanted, tests_with_logs
from ...records import archive
from ...records.store import LATEST, is_run_id
from ...values.nodeids import name_of

_MOST = 10


def run_and_test(base: Path, first: str | None, second: str | None) -> tuple[Path, str | None]:
    """Return the run and the test of ``[RUN] [TEST]``: what can be no run is a test of the latest one.

    Without a run that is the one that goes on or, where several do or none, the latest.

    Raises:
        UsageProblem: there is no such run.
    """
    if second is not None or (first is not None and _names_a_run(base, first)):
        return archive.find(base, first or LATEST), second
    going = [run for run in archive.runs(base) if archive.goes_on(run)]
    return (going[0] if len(going) == 1 else archive.find(base, LATEST)), first


def by_name(test: str | None) -> Wanted:
    """Return which tests are wanted: all for None, those of a worker, or those whose id is it or has it within it."""

    def is_wanted(nodeid: str, worker: str) -> bool:
        return test is None or test == worker or test in nodeid

    return is_wanted


def no_log(run: Path, test: str | None, rank: int | None = None) -> str:
    """Return what is said where no log is there of what is wanted."""
    known = list(dict.fromkeys(nodeid for nodeid, _ in tests_with_logs(run, rank).values()))
    if not known and rank is not None:
        return f"no test of run {run.name} has a log of rank {rank}: those have which run something by torchrun"
    if not known:
        return f"no test of run {run.name} has written anything, or none was captured (-s)"
    names = [name_of(nodeid) for nodeid in known]
    like = get_close_matches(test or "", names, n=_MOST, cutoff=0.5) or names[:_MOST]
    more = f" and {len(known) - len(like)} more" if len(known) > len(like) else ""
    return (
        f"no test of run {run.name} that is called {test!r} has written anything; these have: {', '.join(like)}{more}"
    )


def _names_a_run(base: Path, text: str) -> bool:
    if text == LATEST or is_run_id(text) or (Path(text) / archive.CONTROLLER).is_file():
        return True
    return any(run.name.startswith(text) for run in archive.runs(base)) if text else False

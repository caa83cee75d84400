"""The JUnit file that pytest writes: it hears of tests whose worker sent no report, or not the last one, too.

Reports are made from what is on record: of tests that never ran, of those that an earlier run had finished, and of
those that died with their worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ...foreign import xdist_protocol
from ...foreign.pytest_names import begun_testcases, junit_log
from ...records.folding.result import TestResult
from ...values.outcomes import ERRORS
from ...worker.recording import junit_properties

UNKNOWN_PHASE = xdist_protocol.UNKNOWN_PHASE


def properties(test: TestResult) -> list[junit_properties.Property]:
    """Return the properties of a test that did not get them from its worker."""
    pairs = junit_properties.place(test.devices, test.worker, test.run)
    pairs += [junit_properties.fact(name, text) for name, text in test.facts.items()]
    for name, metric in test.metrics.items():
        value = metric["value"]
        value = metric.get("non_finite") if value is None else value
        if value is not None:
            pairs.append(junit_properties.metric(name, value))
        if metric.get("baseline") is not None:
            pairs.append(junit_properties.verdict(name, metric["verdict"]))
    peak = junit_properties.peak_memory(test.resources.get("peak_memory_bytes"))
    return [*pairs, *peak, *junit_properties.cause(test.cause)]


def last_report(report: pytest.TestReport, test: TestResult) -> pytest.TestReport:
    """Return the tear-down's report of a test that died with its worker: pytest takes properties from that alone."""
    return _report(test, "teardown", "passed", None, node=getattr(report, "node", None))


def add(config: pytest.Config, tests: Iterable[TestResult]) -> None:
    """Give the JUnit file, where one is written, a testcase for each of these tests."""
    log = junit_log(config)
    if log is None:
        return
    # A test that was cut off has begun a testcase already, which would look as if it had passed.
    nodes = begun_testcases(log)
    for test in tests:
        for report in reports(test, nodes.get(test.nodeid)):
            log.pytest_runtest_logreport(report)


def name_attachments(config: pytest.Config, tests: Iterable[TestResult], run: Path | None) -> str | None:
    """Have the file that pytest has just written name what tests have kept; return what the user is told."""
    log = junit_log(config)
    if log is None or run is None:
        return None
    found = {test.nodeid: [str(run.resolve() / one["path"]) for one in _kept(test) if "path" in one] for test in tests}
    attached = {nodeid: files for nodeid, files in found.items() if files}
    if not attached:
        return None
    from ...reports import junit

    path = Path(log.logfile)
    try:
        junit.attach(path, attached)
    except OSError as error:
        return f"{path} does not name what tests have attached: {error.strerror}"
    return None


def _kept(test: TestResult) -> list[Mapping[str, Any]]:
    return [one for each in (test, *test.repeats) for one in each.attachments]


def fit(config: pytest.Config, whole: str) -> str | None:
    """See that the file which pytest has just written is one that CI systems take; return what the user is told.

    ``whole`` says where all is of which the file has only a part then.
    """
    log = junit_log(config)
    if log is None:
        return None
    from ...reports import junit_limits

    path = Path(log.logfile)
    try:
        return junit_limits.fit(path, whole)
    except OSError as error:
        return f"{path} is too large for CI systems, and could not be written anew: {error.strerror}"


def reports(test: TestResult, node: object = None) -> Iterable[pytest.TestReport]:
    """Yield what pytest would have reported of a test that has ended so; ``node`` is its worker's."""
    message = test.message or test.outcome
    if test.outcome in ERRORS:
        text = "not run: it has no result" if test.outcome == "not-run" else f"{test.outcome}: {message}"
        yield _report(test, "setup", "failed", text, node=node)
    elif test.outcome == "failed":
        yield _report(test, "call", "failed", message, node=node)
    elif test.outcome in ("skipped", "xfailed"):
        skipped = _report(test, "setup", "skipped", ("", 0, message), node=node)
        if test.outcome == "xfailed":
            skipped.wasxfail = message  # as pytest marks it
        yield skipped
    else:
        yield _report(test, "call", "passed", None, node=node)
    yield _report(test, "teardown", "passed", None, node=node)


def _report(test: TestResult, when: Any, outcome: Any, longrepr: Any, *, node: object) -> pytest.TestReport:
    path, _, name = test.nodeid.partition("::")
    report = pytest.TestReport(
        nodeid=test.nodeid,
        location=(path, None, name.replace("::", ".")),
        keywords={},
        outcome=outcome,
        longrepr=longrepr,
        when=when,
        user_properties=properties(test) if when == "teardown" else (),
    )
    if node is not None:
        report.node = node  # type: ignore[attr-defined] # by which pytest tells testcases of one name apart
    return report

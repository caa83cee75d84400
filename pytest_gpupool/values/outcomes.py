"""Outcomes: what became of a test. Pure: standard library only, no clock, no files."""

from __future__ import annotations

from collections.abc import Mapping

OUTCOMES = (
    "passed",
    "failed",
    "error",
    "skipped",
    "xfailed",
    "xpassed",
    "crashed",
    "timeout",
    "not-run",
)
"""Every outcome that a test may have in a report."""

GOOD = frozenset({"passed", "xpassed"})
"""Outcomes of tests that ran to their end and found nothing wrong."""

WHOLE = frozenset({"passed", "failed", "xfailed", "xpassed"})
"""Outcomes of tests whose call ran as far as it would, so that its duration says how long it takes."""

FAILED = ("failed", "error", "crashed", "timeout")
"""Outcomes of tests that ran, and found something wrong or came to harm; the worst first."""

BAD = (*FAILED, "not-run")
"""Outcomes that need a look, the worst first."""

ERRORS = tuple(outcome for outcome in BAD if outcome != "failed")
"""Those of them of which JUnit says that the test had an error, not that it failed."""

WORST_FIRST = (*BAD, *(outcome for outcome in OUTCOMES if outcome not in BAD))
"""Every outcome, in the order in which they need a look."""

OUT_OF_MEMORY = "out-of-memory"
"""The cause of a failure that wanted more memory than there was, of a device or of the host."""

MACHINE = "machine"
"""The cause of a failure that a device was to blame for."""

CAUSES = (OUT_OF_MEMORY, MACHINE)
"""What a test that failed may have failed of, where that was not its own doing alone."""

RERUN = "rerun"
"""What a report calls the failure of an attempt that is not the last one, as pytest-rerunfailures does."""

PHASES = ("setup", "call", "teardown")
"""pytest's phases of a test, in order."""


def outcome_of(phases: Mapping[str, str], *, xfail: bool) -> str:
    """Return the outcome of one attempt from pytest's outcomes by phase.

    ``phases`` maps setup, call and teardown, as far as they ran, to pytest's ``passed``, ``failed`` or ``skipped``;
    ``xfail`` says whether the test was expected to fail. As pytest's own terminal counts: a failing set-up or
    tear-down is an error, except that a failed call stays a failure. So is an attempt without a word of its set-up.
    """
    if phases.get("call") == "failed":
        return "failed"
    if "passed" in phases.values() and "setup" not in phases:
        return "error"
    if "failed" in (phases.get("setup"), phases.get("teardown")):
        return "error"
    if "skipped" in phases.values():
        return "xfailed" if xfail else "skipped"
    return "xpassed" if xfail and phases.get("call") == "passed" else "passed"

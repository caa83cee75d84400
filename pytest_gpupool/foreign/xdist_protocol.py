"""Xdist's words on the channel between its two sides. Seen in pytest-xdist 3.7.0 and 3.8.0.

Imports nothing of xdist: a worker speaks them before pytest is there, and pytest warns of plugins that came earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..values import messages

SESSION = "dsession"
"""The name of the plugin by which the controller gives tests to workers; there is none without them."""

# Events of a worker: a name, and what belongs to it.
LOGSTART = "logstart"
TESTREPORT = "testreport"
LOGFINISH = "logfinish"
TEST_COMPLETE = "runtest_protocol_complete"
INTERNAL_ERROR = "internal_error"
WORKER_FINISHED = "workerfinished"

UNSCHEDULED = "unscheduled"
"""The event that reaches the scheduler and nothing else, whatever it holds: our messages travel as it."""

SHUTDOWN = "shutdown"
"""The command to end."""

ANSWERS = frozenset({"runtests", "runtests_all", SHUTDOWN, messages.to_command(messages.Rest())[0]})
"""The commands that answer a worker's question for its next test: xdist's, and ours."""

UNKNOWN_PHASE = "???"
"""What a report calls the phase in which a worker died."""

_WITHOUT_SAYING_MORE = {"exitstatus": 0, "shouldfail": False, "shouldstop": False}


def unscheduled(*indices: Any) -> tuple[str, dict[str, Any]]:
    """Return the event of a worker that has these in the place of tests' numbers."""
    return UNSCHEDULED, {"indices": list(indices)}


def worker_finished(**more: Any) -> tuple[str, dict[str, Any]]:
    """Return a worker's last event, which says that all is well."""
    return WORKER_FINISHED, {"workeroutput": {**_WITHOUT_SAYING_MORE, **more}}


def worker_environment(workerinput: Mapping[str, Any]) -> dict[str, str]:
    """Return what xdist's own program sets in a worker before pytest starts."""
    return {
        "PYTEST_XDIST_TESTRUNUID": workerinput["testrunuid"],
        "PYTEST_XDIST_WORKER": workerinput["workerid"],
        "PYTEST_XDIST_WORKER_COUNT": str(workerinput["workercount"]),
    }

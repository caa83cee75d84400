"""Scripts: how a test runs one: its output is the test's, and so are its metrics and its failure."""

from __future__ import annotations

import warnings

import pytest

from ...script import running
from ...script.result import ScriptError, ScriptResult
from ...values.errors import GpupoolError
from ..recording.attempts.attempt import Attempt
from ..recording.recorder import recorder_key


def run_in(item: pytest.Item, attempt: Attempt, request: running.Request) -> ScriptResult:
    """Run a script in a test, and record its metrics, those of one that fails too.

    Raises:
        ScriptError: see :func:`running.run`.
    """
    __tracebackhide__ = True
    recorder = item.config.stash[recorder_key]
    logs = recorder.logs
    try:
        ran = running.run(request, running.Log(logs.write, logs.folder, lambda: logs.path, recorder.captured.aside))
    except ScriptError as error:
        raise error.with_traceback(None) from None  # what is ours explains nothing
    try:
        for metric in ran.metrics:
            recorder.metric(metric, attempt)
    except GpupoolError as error:
        problem = str(error)
    else:
        problem = ""
    if ran.error is not None:
        raise ran.error
    if problem:
        pytest.fail(problem, pytrace=False)  # outside the handler, so that no traceback of ours is shown with it
    if ran.note is not None:
        warnings.warn(f"{request.path}: {ran.note}", stacklevel=3)
    return ran.result

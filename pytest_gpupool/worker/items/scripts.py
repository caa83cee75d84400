"""Scripts: how a test runs one: its output is the test's, and so are its metrics and its failure."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping

import pytest

from ...devices.torch import compilation
from ...script import running
from ...script.ranks import job
from ...script.result import ScriptError, ScriptResult
from ...values.errors import GpupoolError
from ...values.texts import safe_repr
from ..recording.attempts.attempt import Attempt
from ..recording.recorder import recorder_key
from .markers import requirement_of


def run_in(item: pytest.Item, attempt: Attempt, request: running.Request) -> ScriptResult:
    """Run a script in a test, and record its metrics, those of one that fails too.

    Raises:
        ScriptError: see :func:`running.run`.
    """
    __tracebackhide__ = True
    return _recorded(item, attempt, lambda log: running.run(request, log), str(request.path))


def run_ranks_in(item: pytest.Item, attempt: Attempt, work: job.Job) -> ScriptResult:
    """Run a script or a function in several ranks in a test, likewise.

    Raises:
        ScriptError: see :func:`job.run`.
    """
    __tracebackhide__ = True
    logs = item.config.stash[recorder_key].logs
    return _recorded(item, attempt, lambda log: job.run(work, log, logs.of_rank), "torchrun")


def ranks_for(item: pytest.Item, nproc: object, count: int | None) -> int:
    """Return how many ranks a test is to have: one for each device that it asks for where ``nproc`` is None.

    ``count`` is how many GPUs it has, None where it computes on the CPU.

    Raises:
        ScriptError: so many cannot be.
    """
    __tracebackhide__ = True
    asked = requirement_of(item).gpus
    mark = "@pytest.mark.gpupool(gpus={})"
    if not asked:
        raise ScriptError(f"torchrun has a rank for each device, and this test has none: mark it {mark.format(2)}")
    if count is not None and count < asked:
        raise ScriptError(f"this test asks for {asked} devices, and only {count} can be seen here")
    if nproc is None:
        return asked
    if not isinstance(nproc, int) or isinstance(nproc, bool) or nproc < 1:
        raise ScriptError(f"nproc={safe_repr(nproc, 40)}: give a whole number from 1")
    if nproc > asked:
        devices = "device" if asked == 1 else "devices"
        raise ScriptError(f"nproc={nproc}, but this test has {asked} {devices}: mark it {mark.format(nproc)}")
    return nproc


def own_threads(given: Mapping[str, str]) -> dict[str, str]:
    """Return what this process was given of numbers of threads, and still has: its ranks are to share that."""
    known = {name: given[name] for name in compilation.THREADS if name in given}
    return {name: value for name, value in known.items() if os.environ.get(name) == value}


def _recorded(
    item: pytest.Item, attempt: Attempt, run: Callable[[running.Log], running.Ran], name: str
) -> ScriptResult:
    """Run something with the test's log, and take from it what the test is to have."""
    __tracebackhide__ = True
    recorder = item.config.stash[recorder_key]
    logs = recorder.logs
    try:
        ran = run(running.Log(logs.write, logs.folder, lambda: logs.path, recorder.captured.aside))
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
        warnings.warn(f"{name}: {ran.note}", stacklevel=4)
    return ran.result

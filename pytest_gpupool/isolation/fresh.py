"""Fresh: the process of an isolated test as a new Python, where this process cannot be forked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ..foreign import python_names
from ..leases.lease import Lease
from ..processes import stacks, table
from ..processes.own.system import os
from ..values.orders import Orders
from ..values.process_id import ProcessId
from ..worker.recording.recorder import Recorder
from . import channel
from .channel import Channel
from .process import Died, IsolatedProcess

_PROGRAM = "import sys; sys.path[:0] = {path!r}; from {package} import program; program.main({descriptor})"


class NotFound(Exception):
    """The process has not found its test, and says why."""


def start(item: pytest.Item, recorder: Recorder, lease: Lease, orders: Orders) -> IsolatedProcess:
    """Start the process in which a test is to run, and wait until it has loaded what the test needs.

    It holds the devices as this one does, and ends with it.

    Raises:
        NotFound: it does not come to the test.
        OSError: there is no room for one more.
    """
    ours, theirs = channel.pair()
    dump = stacks.memory()
    outbox = recorder.attempts.log.outbox()
    passed = (theirs, dump, *lease.descriptors(), *(() if outbox is None else (outbox,)))
    path = [folder or str(item.config.invocation_params.dir) for folder in sys.path]
    program = _PROGRAM.format(path=path, package=__package__, descriptor=theirs)
    try:
        started = subprocess.Popen(
            [sys.executable, *python_names.interpreter_options(), "-c", program],
            pass_fds=passed,
            process_group=0,
            cwd=item.config.invocation_params.dir,
        )
    except OSError:
        os.close(ours)
        os.close(dump)
        raise
    finally:
        os.close(theirs)
    started.returncode = 0  # it is waited for here, and by nobody else
    process = table.identity(started.pid) or ProcessId(started.pid, started=0, pid_namespace=0)
    isolated = IsolatedProcess(process, Channel(ours), dump)
    try:
        _wait_for(isolated, _given(item, recorder, lease, orders, dump=dump, outbox=outbox))
    except BaseException:
        isolated.kill()
        raise
    return isolated


def _given(
    item: pytest.Item, recorder: Recorder, lease: Lease, orders: Orders, *, dump: int, outbox: int | None
) -> dict[str, Any]:
    """Return all that it has to know."""
    # It records nothing itself, and nobody else is to lease what this process holds.
    own = replace(orders, run_dir=None, earlier=None, shard=None, isolate=False, outer=None, outer_pids=())
    return {
        "parent": os.getpid(),
        "args": list(item.config.invocation_params.args),
        "file": str(item.path),
        "test": item.nodeid,
        "attempt": recorder.attempts.present.serial,
        "tries": recorder.attempts.present.tries,
        "folder": orders.run_dir,
        "worker": recorder.worker,
        "orders": own.to_wire(),
        "devices": [device.to_wire() for device in lease.devices],
        "dump": dump,
        "outbox": outbox,
    }


def _wait_for(process: IsolatedProcess, given: Mapping[str, Any]) -> None:
    try:
        for kind, *values in process.ask(dict(given), deadline=None):
            if kind == "ready":
                process.captures(values[0])
                return
            raise NotFound(values[0])
    except Died as died:
        problem = f"the process {died.how}, before it came to the test"
    raise NotFound(problem)

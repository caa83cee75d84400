"""Start: the process of an isolated test, forked from this one."""

from __future__ import annotations

import gc
import sys
import traceback
import warnings
from contextlib import suppress
from typing import NoReturn

import pytest

from ..foreign import pytest_phases, python_names
from ..leases.lease import Lease
from ..processes import stacks, table
from ..processes.own import parent
from ..processes.own.system import os
from ..values.process_id import ProcessId
from ..worker.recording.recorder import Recorder
from . import channel
from .channel import Channel
from .child import Child
from .process import IsolatedProcess

_BROKEN = 70  # as of an error within pytest, which has no such status of its own


def fork(item: pytest.Item, recorder: Recorder, lease: Lease) -> IsolatedProcess:
    """Fork the process in which a test is to run. It holds the devices as this one does, and ends with it.

    Raises OSError where there is no room for one more.
    """
    pytest_phases.make_base_of_tmp_path(item.config)
    pytest_phases.flushed(item.config, (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__))
    ours, theirs = channel.pair()
    dump, library, own = stacks.memory(), parent.library(), os.getpid()
    # The locks' own descriptors are closed in a child.
    held = [os.dup(descriptor) for descriptor in lease.descriptors()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are ours alone
            pid = os.fork()
        if pid == 0:
            os.close(ours)
            parent.end_with(own, library)
            _be_child(item, recorder, Channel(theirs), dump)
    except OSError:
        os.close(ours)
        os.close(dump)
        raise
    finally:
        os.close(theirs)
        for descriptor in held:
            os.close(descriptor)
    with suppress(OSError):  # it has done so itself, or ended
        os.setpgid(pid, pid)
    process = table.identity(pid) or ProcessId(pid, started=0, pid_namespace=0)
    return IsolatedProcess(process, Channel(ours), dump)


def _be_child(item: pytest.Item, recorder: Recorder, theirs: Channel, dump: int) -> NoReturn:
    status = _BROKEN
    try:
        os.setpgid(0, 0)
        python_names.forget_exit_functions()
        gc.freeze()  # what is the parent's stays shared
        stacks.offer_at(dump)
        pytest_phases.leave_to_parent(item.session)
        recorder.goes_on_here()
        Child(item, recorder, theirs).serve()
        status = 0
    except EOFError:
        pass
    except BaseException:
        with suppress(OSError):
            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
    finally:
        with suppress(Exception):
            pytest_phases.flushed(item.config, (sys.stdout, sys.stderr))
        os._exit(status)  # noqa: SLF001 - public, but for its name

"""The program of a fresh process for one isolated test: it loads the test as a worker does, and runs it as it is told.

Nothing here has pytest load a plugin before the devices are those of the process that has started this one.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..processes.own import parent
from ..values.device import Device
from ..values.orders import Orders
from .channel import Channel

if TYPE_CHECKING:
    from ..worker.program import WorkerSide


def main(descriptor: int) -> None:
    """Be that process. ``descriptor`` is its end of the channel."""
    channel = Channel(descriptor)
    os.set_inheritable(descriptor, False)
    (given,) = channel.receive()
    for inherited in (given["dump"], given["outbox"]):
        if inherited is not None:
            os.set_inheritable(inherited, False)
    parent.end_with(given["parent"], parent.library())
    side = _side(given)
    from ..foreign import pytest_names
    from .lookup import GivenTest

    why = "its session has ended before"
    try:
        config = pytest_names.prepare_config(given["args"], [side, side.loads, GivenTest(given, channel)])
        config.hook.pytest_cmdline_main(config=config)
    except pytest_names.UsageError as error:
        why = str(error)
    except EOFError:
        os._exit(0)  # nobody asks for more
    channel.send("lost", why)
    sys.exit(1)


def _side(given: dict[str, Any]) -> WorkerSide:
    from ..leases.lease import Lease
    from ..worker.program import WorkerSide

    devices = [Device.from_wire(device) for device in given["devices"]]
    return WorkerSide(given["worker"], Lease(devices), Orders.from_wire(given["orders"]))

"""The worker: the process that holds a lease. It leases, sets its environment, and only then starts pytest.

Nothing here imports pytest, because a plugin that pytest loads may import torch.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..devices import visible
from ..foreign import xdist_protocol
from ..leases.lease import Lease, Request
from ..processes import stacks, termination
from ..records.journal import dump
from ..values.errors import GpupoolError, UsageProblem
from ..values.messages import Failed, Leased
from ..values.orders import Orders
from ..values.texts import iso
from .equipment import journal_of
from .protocol.early_line import EarlyLine

if TYPE_CHECKING:
    from ..leases.admission import Blocker


class Refused(Protocol):
    """What is called after each attempt that failed."""

    def __call__(self, blockers: tuple[Blocker, ...], waited: float) -> None:
        """Tell somebody; raise to give up."""


class Pause(Protocol):
    """How to wait between attempts."""

    def __call__(self, seconds: float) -> bool:
        """Wait, and say whether to go on."""


class WorkerSide:
    """What the plugin finds among pytest's plugins in such a worker: the lease that came before pytest."""

    def __init__(self, worker: str, lease: Lease, orders: Orders) -> None:
        self.worker = worker
        self.lease = lease
        self.orders = orders


def lease(orders: Orders, worker: str, *, refused: Refused, pause: Pause) -> tuple[Lease | None, float]:
    """Take the lease that the orders ask for; return it (None where cancelled) and the seconds waited.

    Raises:
        UsageProblem: CUDA is already initialised here, or a lock file cannot be used.
    """
    if not orders.gpus or not orders.devices[0].is_gpu:
        return Lease(orders.devices[: orders.gpus]), 0.0
    from ..devices import cuda
    from ..devices.nvml import NvmlProbe
    from ..leases.acquisition import acquire

    if cuda.is_initialised():
        raise UsageProblem(_too_late(cuda.importer_of_torch()))
    assert orders.lock_dir is not None
    request = Request(
        devices=orders.devices,
        lock_dir=Path(orders.lock_dir),
        worker=worker,
        run=orders.run,
        first=orders.number,
        busy_memory=orders.busy_memory,
        gpus=orders.gpus,
        slots=orders.slots,
        avoid=frozenset(orders.avoid),
        memory=orders.memory,
    )
    return acquire(request, NvmlProbe(), refused=refused, pause=pause)


def environ(held: Lease, orders: Orders, present: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker sets before any CUDA library loads; ``present`` is its environment as it is."""
    threads = {name: str(orders.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name not in present}
    return {
        **visible.export(held.devices, orders.export),
        "GPUPOOL_DEVICES": ",".join(device.id for device in held.devices),
        "GPUPOOL_RUN": orders.run,
        **threads,
    }


def began(held: Lease, worker: str, waited: float) -> dict[str, Any]:
    """Return the record that a worker has its lease."""
    return {
        "record": "worker",
        "worker": worker,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "devices": [device.id for device in held.devices],
        "lease_wait_s": round(waited, 3),
        "started": iso(time.time()),
    }


def main(channel: Any, workerinput: dict[str, Any], args: list[str], option_dict: dict[str, Any]) -> None:
    """Be a worker of xdist: lease, then run pytest. ``channel`` is execnet's, to the controller."""
    os.environ.update(xdist_protocol.worker_environment(workerinput))
    worker = workerinput["workerid"]
    orders = Orders.from_wire(workerinput["gpupool"])
    termination.become_group_leader()
    line = EarlyLine(channel, worker, orders.wait)
    try:
        held, waited = lease(orders, worker, refused=line.refused, pause=line.pause)
    except GpupoolError as error:
        line.say(Failed(str(error), error.exit_status))
        held = None
        while line.pause(1.0):  # until the controller has ended the run
            pass
    if held is None:
        line.finish()
        return
    record = began(held, worker, waited)
    journal = journal_of(orders, worker)
    journal.append(dump(record))
    journal.close()
    line.say(Leased(record, stacks.offer_stacks()))
    os.environ.update(environ(held, orders, os.environ))
    _run_pytest(line, workerinput, args, option_dict, WorkerSide(worker, held, orders))


def _run_pytest(
    line: EarlyLine, workerinput: dict[str, Any], args: list[str], option_dict: dict[str, Any], side: WorkerSide
) -> None:
    # A worker that comes when the others have done all should not load pytest, nor the suite's torch, for nothing.
    if not line.pause(0):
        line.finish()
        return
    from ..foreign import pytest_names

    config = pytest_names.prepare_config(args, [side])
    if not line.pause(0):
        pytest_names.abandon(config)
        line.finish()
        return
    # Only now: pytest warns of plugins (xdist is one) that were imported before it could rewrite their assertions.
    from .protocol import interactor

    interactor.run(line.channel, workerinput, config, option_dict.get("basetemp"))


def _too_late(module: str | None) -> str:
    who = f" ({module!r} loaded torch)" if module else ""
    return (
        f"CUDA is already initialised in this process{who}: a lease would come too late, because a process sees its "
        "GPUs for good. Let that module use CUDA inside tests or fixtures only, or give the workers with -n: they "
        "lease before any plugin or conftest.py is loaded"
    )

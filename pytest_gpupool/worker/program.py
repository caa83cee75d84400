"""The worker: the process that holds a lease. It leases, sets its environment, and only then starts pytest.

Nothing here has pytest load a plugin before, since that may import torch.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..devices import vendors
from ..devices.torch import compilation
from ..foreign import xdist_protocol
from ..leases.lease import Lease, Request
from ..processes import marks, stacks, table, termination
from ..processes.own import clock
from ..records.journal import dump
from ..values.errors import EXIT_INTERNAL, EXIT_USAGE, GpupoolError, UsageProblem
from ..values.messages import Expired, Failed, Leased, Refused
from ..values.orders import HOST, Orders
from ..values.texts import iso
from .leased.equipment import journal_of
from .protocol.early_line import EarlyLine
from .trespass.loads import LoadWatch
from .trespass.own_devices import OwnDevices

if TYPE_CHECKING:
    from ..leases.admission import Blocker


class OnRefusal(Protocol):
    """What is called after each attempt that failed."""

    def __call__(self, blockers: tuple[Blocker, ...], waited: float) -> None:
        """Tell somebody; raise to give up."""


class WorkerSide:
    """What the plugin finds among pytest's plugins in such a worker: the lease that came before pytest."""

    def __init__(self, worker: str, lease: Lease, orders: Orders) -> None:
        self.worker = worker
        self.lease = lease
        self.orders = orders
        self.loads = LoadWatch(OwnDevices.of(lease.devices, orders))


def lease(
    orders: Orders, worker: str, *, refused: OnRefusal, is_cancelled: Callable[[], bool]
) -> tuple[Lease | None, float]:
    """Take the lease that the orders ask for; return it (None where cancelled) and the seconds waited.

    Raises:
        UsageProblem: this process has begun to use devices already, or a lock file cannot be used.
    """
    if not orders.gpus or not orders.devices[0].is_gpu:
        return Lease(orders.devices[: orders.gpus]), 0.0
    if orders.outer is not None:
        return _lease_within(orders.outer, orders, worker, refused, is_cancelled)
    from ..devices.torch import presence
    from ..leases.acquisition import acquire
    from ..leases.locking.lock_directory import lock_directory

    vendor = vendors.of(orders.devices)
    if vendor.is_initialised():
        raise UsageProblem(_too_late(vendor.runtime, presence.importer_of_torch()))
    assert orders.lock_dir is not None
    request = Request(
        devices=orders.devices,
        lock_dir=lock_directory(orders.lock_dir),
        worker=worker,
        run=orders.run,
        first=orders.number,
        busy_memory=orders.busy_memory,
        gpus=orders.gpus,
        slots=orders.slots,
        avoid=frozenset(orders.avoid),
        memory=orders.memory,
    )
    return acquire(request, vendor.probe(), refused=refused, is_cancelled=is_cancelled)


def _lease_within(
    outer: str, orders: Orders, worker: str, refused: OnRefusal, is_cancelled: Callable[[], bool]
) -> tuple[Lease | None, float]:
    """Take what the orders ask for of a lease that a process above, or this one, holds."""
    from ..leases.nested import NestedRequest, acquire

    vendor = vendors.of(orders.devices)
    request = NestedRequest(
        outer=outer,
        devices=orders.devices,
        worker=worker,
        run=orders.run,
        first=orders.number,
        # A test may have called pytest here. What this process sees by now it sees for good, and that is all of it.
        gpus=len(orders.devices) if vendor.is_initialised() else orders.gpus,
        slots=orders.slots,
        avoid=frozenset(orders.avoid),
        memory=orders.memory,
    )
    return acquire(request, vendor.probe(), refused=refused, is_cancelled=is_cancelled)


def environ(
    held: Lease, orders: Orders, worker: str, present: Mapping[str, str], *, cores: int | None = None
) -> dict[str, str]:
    """Return what a worker sets before any library that uses devices loads; ``present`` is its environment as it is.

    ``cores`` is to how many the process is pinned, None where it is not.
    """
    count = orders.threads if cores is None else min(orders.threads, cores)
    threads = {name: str(count) for name in compilation.THREADS if name not in present}
    own = None if orders.run_dir is None else Path(orders.run_dir) / "compiled" / worker
    compiled = own if orders.compiled is None else Path(orders.compiled)
    return {
        **vendors.of(orders.devices).export(held.devices, orders.export),
        "GPUPOOL_DEVICES": ",".join(device.id for device in held.devices),
        "GPUPOOL_RUN": orders.run,
        **threads,
        **({} if compiled is None else compilation.variables(compiled, present)),
    }


def began(held: Lease, worker: str, waited: float) -> dict[str, Any]:
    """Return the record that a worker has its lease."""
    return {
        "record": "worker",
        "worker": worker,
        "host": os.environ.get(HOST) or os.uname().nodename,
        "pid": os.getpid(),
        "devices": [device.id for device in held.devices],
        "lease_wait_s": round(waited, 3),
        "environment": held.environment,
        "started": iso(clock.now()),
    }


def main(channel: Any, workerinput: dict[str, Any], args: list[str], option_dict: dict[str, Any]) -> None:
    """Be a worker of xdist: lease, then run pytest. ``channel`` is execnet's, to the controller."""
    os.environ.update(xdist_protocol.worker_environment(workerinput))
    worker = workerinput["workerid"]
    orders = Orders.from_wire(workerinput["gpupool"])
    termination.become_group_leader()
    marks.bear(marks.of_worker(orders.run, worker))
    line = EarlyLine(channel, worker, orders.wait)
    try:
        side = _take_up(line, orders, worker, workerinput)
    except GpupoolError as error:
        side = None
        _give_up(line, Failed(str(error), error.exit_status))
    except Exception:
        # Whatever it is, to xdist a worker that breaks so early is one that found no tests.
        side = None
        _give_up(line, Failed(f"{worker} broke before it ran pytest:\n{traceback.format_exc()}", EXIT_INTERNAL))
    if side is None:
        line.finish()
    else:
        _run_pytest(line, workerinput, args, option_dict, side)


def _take_up(line: EarlyLine, orders: Orders, worker: str, workerinput: Mapping[str, Any]) -> WorkerSide | None:
    """Lease, say so, and set the environment; None where the worker is not needed any more."""

    def refused(blockers: tuple[Blocker, ...], waited: float) -> None:
        line.refused(blockers, waited)
        from ..foreign import pytest_names  # noqa: F401 - pytest itself loads no plugin, and now costs nobody a moment

    if orders.engine is not None:
        from .leased import placed

        try:
            orders = placed.orders_here(orders, workerinput["gpupool_files"])
        except placed.Unusable as unusable:
            _give_up(line, Expired([str(unusable)], [], is_barred=True))
            return None
    held, waited = lease(orders, worker, refused=refused, is_cancelled=line.is_cancelled)
    if held is None:
        return None
    cores = _pinned(held) if orders.affinity else None
    held.environment = environ(held, orders, worker, os.environ, cores=cores)
    record = began(held, worker, waited)
    journal = journal_of(orders, worker)
    journal.append(dump(record))
    journal.close()
    devices = [device.to_wire() for device in held.devices] if orders.engine is not None else ()
    own = table.identity()
    line.say(Leased(record, stacks.offer_stacks(), None if own is None else [*own], devices))
    os.environ.update(held.environment)
    return WorkerSide(worker, held, orders)


def _give_up(line: EarlyLine, why: Expired | Failed | Refused) -> None:
    line.say(why)
    while line.pause(1.0):  # until the controller has ended the run
        pass


def _pinned(held: Lease) -> int | None:
    from .leased.affinity import Pin

    return Pin().to(held.devices)


def _run_pytest(
    line: EarlyLine, workerinput: dict[str, Any], args: list[str], option_dict: dict[str, Any], side: WorkerSide
) -> None:
    # A worker that comes when the others have done all should not load pytest, nor the suite's torch, for nothing.
    if not line.pause(0):
        line.finish()
        return
    from ..foreign import pytest_names

    try:
        config = pytest_names.prepare_config(args, [side, side.loads])
        if not line.pause(0):
            pytest_names.abandon(config)
            line.finish()
            return
        # Only now: pytest warns of plugins (xdist is one) that were imported before it could rewrite their assertions.
        from .protocol import interactor

        basetemp = option_dict.get("basetemp")
        if side.orders.engine is not None and basetemp is not None:
            Path(basetemp).parent.mkdir(parents=True, exist_ok=True)  # this host may have a /tmp of its own
        interactor.run(line.channel, workerinput, config, basetemp)
    except pytest_names.UsageError as error:
        _give_up(line, Refused(str(error).removeprefix("gpupool: "), EXIT_USAGE))
        line.finish()


def _too_late(runtime: str, module: str | None) -> str:
    who = f" ({module!r} loaded torch)" if module else ""
    return (
        f"{runtime} is already initialised in this process{who}: a lease would come too late, because a process sees "
        f"its GPUs for good. Let that module use {runtime} inside tests or fixtures only, or give the workers with -n: "
        "they lease before any plugin or conftest.py is loaded"
    )

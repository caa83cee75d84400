"""Orders: what each worker of this run is told before it starts, see :class:`values.orders.Orders`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..devices.pool import cpu_count
from ..devices.torch import compilation
from ..options.options import Options
from ..values.device import Device, cpu_device, usable_together
from ..values.orders import Orders
from .devices.run_devices import RunDevices
from .records import RunRecords


class WorkerOrders:
    """Makes orders of what the run's parts are at that moment.

    ``finished`` is the file that names what an earlier run has finished, where this one resumes it, ``shard`` the one
    that says which part of the tests is this run's, where that is not all.
    """

    def __init__(
        self,
        options: Options,
        devices: RunDevices,
        records: RunRecords,
        *,
        finished: Path | None,
        shard: Path | None = None,
    ) -> None:
        self.workers = 1
        """How many workers the run starts with, which share the cores."""
        self._options = options
        self._devices = devices
        self._records = records
        self._finished = finished
        self._shard = shard
        self._compiled = compilation.shared_folder()

    def at(
        self,
        places: Sequence[int],
        *,
        gpus: int = 1,
        memory: int = 0,
        avoid: Sequence[str] = (),
        is_alone: bool = False,
        retried: Sequence[str] = (),
    ) -> Orders:
        """Return the orders of a worker at these places among the pool's devices, or CPU slots.

        It is to lease ``gpus`` devices of at least ``memory`` bytes each, those in ``avoid`` only where it must, and if
        it ``is_alone`` without anybody who shares them. Others try again what fails of the causes ``retried``.
        """
        options, devices, directory = self._options, self._devices, self._records.directory
        engine = None if devices.engine is None else devices.engine.name
        if engine is not None:
            directory = None  # the worker's host may have no such place
        lock_dir = None if devices.lock_dir is None else str(devices.lock_dir.path)
        return Orders(
            engine=engine,
            run=self._records.run_id,
            run_dir=None if directory is None else str(directory),
            durations=str(options.durations),
            lock_dir=lock_dir if engine is None else options.lock_dir,
            outer=None if devices.outer is None else devices.outer.run,
            outer_pids=() if devices.outer is None else devices.outer.holders,
            devices=self._from(gpus) if devices.pool.devices else tuple(map(cpu_device, places)),
            number=places[0],
            wait=options.wait,
            export=devices.export,
            busy_memory=options.busy_memory,
            threads=max(1, cpu_count() // self.workers),
            compiled=None if self._compiled is None or engine is not None else str(self._compiled),
            gpus=gpus,
            slots=1 if is_alone else options.slots,
            memory=memory,
            avoid=tuple(avoid),
            pool=devices.together if engine is not None else len(usable_together(devices.pool.devices)),
            earlier=None if self._finished is None else str(self._finished),
            fail_on=tuple(sorted(options.fail_on)),
            sample=options.sample,
            retried=tuple(retried),
            affinity=options.affinity,
            seed=options.seed,
            repeats=options.repeats,
            isolate=options.isolate,
            timeout=options.timeout,
            shard=None if self._shard is None else str(self._shard),
        )

    def files(self) -> dict[str, str]:
        """Return what the files hold that a worker's orders name, by name, where an engine places it elsewhere."""
        if self._devices.engine is None:
            return {}
        given = {"earlier": self._finished, "shard": self._shard}
        return {name: path.read_text() for name, path in given.items() if path is not None}

    def _from(self, gpus: int) -> tuple[Device, ...]:
        """Return the devices that a worker may lease so many of."""
        usable = self._devices.usable()
        return tuple(usable if gpus < 2 else usable_together(usable))

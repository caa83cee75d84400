"""The cluster: the devices of a run whose workers an engine places. Which they are is known when workers hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...devices.pool import Pool
from ...engines import engines
from ...engines.engine import Engine, Room
from ...options.options import Options
from ...values.device import Device, Size
from ...values.errors import RequirementNotMet, UsageProblem
from ..console import Console
from ..records import RunRecords
from .run_devices import RunDevices


class ClusterDevices(RunDevices):
    """The engine's GPUs, or its hosts' processors with ``--gpupool-devices=cpu`` and where there is no GPU.

    The pool has a stand-in for each GPU that the cluster has: so many can be planned with.
    """

    engine: Engine

    def __init__(self, engine: Engine, room: Room, options: Options, records: RunRecords, console: Console) -> None:
        super().__init__(_pool(engine, room, options), None, options, records, console)
        self.engine = engine
        self.room = room

    @property
    def reported(self) -> Pool:
        """Those that workers have held: of the others nothing is known."""
        return Pool(devices=tuple(self._records.results.devices.values()), no_gpu=self.pool.no_gpu)

    @property
    def together(self) -> int:
        """How many GPUs the host has that has the most."""
        return 0 if self.pool.is_cpu else self.room.largest

    def others_than(self, ids: Sequence[str]) -> int:
        """Return how many GPUs there are beside these, which workers have held."""
        return self.room.gpus - len(ids)

    def host_of(self, device: str) -> str | None:
        """Return the host of one that a worker has held."""
        workers = self._records.results.workers.values()
        return next((worker.host for worker in workers if device in worker.devices), None)

    def places(self) -> int:
        """Return how many GPUs the cluster has, those of others too; 0 where there is none."""
        lost = len(self._records.results.quarantined)
        return 0 if self.pool.is_cpu else max(1, self.room.gpus - lost)

    def workers_of_auto(self) -> int:
        """Return how many workers ``-n auto`` starts: one per GPU, else one per host."""
        return max(1, self.places() or self.room.hosts)

    def kinds(self) -> list[str]:
        """Return the names of the kinds of device that workers have held, the most frequent first."""
        return [name for name, _ in Counter(device.name for device in self.reported.devices).most_common()]

    def memory_after_death(self) -> Size | None:
        """Nobody here can look at them."""
        return None

    def hear_of(self, devices: Sequence[Mapping[str, Any]]) -> None:
        """A worker holds these."""
        for told in devices:
            if told["kind"] != "cpu" and told["id"] not in self._records.results.devices:
                self._records.write("device", device=dict(told))

    def _lift_text(self, device: str) -> str:
        return f" ('gpupool quarantine {device} --lift' on {self.host_of(device)} takes it back)"

    def no_lease_text(self, blockers: Sequence[str], *, in_vain: bool = False) -> str:
        """Return what to say when no worker got a device, or, ``in_vain``, none that it can use."""
        lines = "".join(f"\n  {line}" for line in blockers)
        if in_vain:
            return (
                f"no worker can use what {self.engine.name} has given it.{lines}\n"
                "Put that right on the hosts ('gpupool status' there), or ask for others (--gpupool-engine-args)."
            )
        return (
            f"no worker got a device in {self._options.wait:g} s.{lines}\n"
            f"Wait longer (--gpupool-wait), or ask {self.engine.name} for what it has (--gpupool-engine-args)."
        )

    def header(self, workers: int) -> str:
        """Return the line of pytest's header that says what the cluster is, for so many workers."""
        what = f"CPU slots ({self.pool.no_gpu})" if self.pool.is_cpu else "GPUs by the engine, a worker each"
        return f"gpupool: {self.engine.describe()}, {workers} worker{'' if workers == 1 else 's'}, {what}"

    def notes(self) -> list[str]:
        """Nothing is left out."""
        return []


def cluster(options: Options) -> tuple[Engine, Room] | None:
    """Return the engine that places this run's workers, and what it has; None where they are processes of this host.

    Raises:
        UsageProblem: see :func:`engines.engine`; another option cannot go with it.
        RequirementNotMet: it has fewer GPUs than ``--gpupool-require`` says.
    """
    if options.engine == engines.LOCAL:
        return None
    _refuse_what_is_local(options)
    engine = engines.engine(options.engine, options.engine_args)
    room = engine.room()
    if room.gpus < options.require:
        text = f"--gpupool-require={options.require}, but {engine.describe()} has {room.gpus} GPUs"
        engine.close()
        raise RequirementNotMet(text)
    return engine, room


def _refuse_what_is_local(options: Options) -> None:
    together = f"and --gpupool-engine={options.engine} do not go together"
    if options.devices not in ("auto", "cpu"):
        raise UsageProblem(f"--gpupool-devices={options.devices} {together}: the engine chooses the devices")
    if options.slots > 1:
        raise UsageProblem(f"--gpupool-slots={options.slots} {together}: the engine gives each worker its own GPU")
    if options.yields:
        raise UsageProblem(f"--gpupool-yield {together}: the cluster's queue says who comes next")


def _pool(engine: Engine, room: Room, options: Options) -> Pool:
    if options.devices == "cpu":
        return Pool(no_gpu="--gpupool-devices=cpu")
    if not room.gpus:
        return Pool(no_gpu=f"{engine.name} has no GPU")
    names = (f"{engine.name}:{number}" for number in range(room.gpus))
    return Pool(devices=tuple(Device(id=name, kind="gpu", index=n, name=engine.name) for n, name in enumerate(names)))

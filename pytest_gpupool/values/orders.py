"""Orders: what the controller tells a worker before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .device import Device, Export, Size

HOST = "GPUPOOL_HOST"
"""The variable in which a worker that an engine has placed finds what its host is called in the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the controller tells a worker; travels as plain values in ``workerinput["gpupool"]``.

    ``number`` is the worker's position among the devices, ``threads`` its share of the cores. It leases ``gpus`` of
    ``devices``, each with at least ``memory`` bytes, those in ``avoid`` only where there are no others; ``pool`` is
    how many a test could ever have. ``earlier`` is the file of what an earlier run found, where this one resumes it.
    Within another run's lease ``outer`` is that run, and ``outer_pids`` are the processes that hold it.
    A metric that is no number fails its test where ``fail_on`` says so. It samples every ``sample`` seconds. Tests
    that fail of a cause in ``retried`` are tried again in another worker, once at least; those that name no repeats
    have ``repeats``. With ``affinity`` it runs on the cores near its devices alone. Its tests are seeded from ``seed``
    and their ids, unless that is None. Those that do not say otherwise are isolated where ``isolate`` says so; an
    isolated one that names no limit may take ``timeout`` seconds. ``durations`` is the file of what is known of those,
    ``shard`` the one that says which part of the tests is this run's, None where that is all. Where an ``engine``
    has placed it, it finds its devices on its host itself.
    """

    engine: str | None = None
    run: str
    run_dir: str | None
    durations: str
    lock_dir: str | None
    outer: str | None = None
    outer_pids: tuple[int, ...] = ()
    devices: tuple[Device, ...]
    number: int
    wait: float
    export: Export
    busy_memory: Size | None
    threads: int
    compiled: str | None = None
    """The folder with what is compiled for tests, which this user's processes share; None: one for the worker."""
    gpus: int = 1
    slots: int = 1
    memory: int = 0
    avoid: tuple[str, ...] = ()
    pool: int = 1
    earlier: str | None = None
    fail_on: tuple[str, ...] = ()
    sample: float = 0.0
    retried: tuple[str, ...] = ()
    affinity: bool = False
    seed: int | None = None
    repeats: int = 1
    isolate: bool = False
    timeout: float | None = None
    shard: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return it as plain values, which execnet carries."""
        return asdict(self) | {
            "devices": [device.to_wire() for device in self.devices],
            "busy_memory": None if self.busy_memory is None else asdict(self.busy_memory),
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Orders:
        """Make it again from :meth:`to_wire`."""
        devices = tuple(Device.from_wire(device) for device in data["devices"])
        busy = None if data["busy_memory"] is None else Size(**data["busy_memory"])
        lists = {name: tuple(data[name]) for name in ("avoid", "fail_on", "outer_pids", "retried")}
        return cls(**{**data, **lists, "devices": devices, "busy_memory": busy})

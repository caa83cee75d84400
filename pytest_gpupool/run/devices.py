"""Devices: the pool as one run has it, without those that have left it meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..devices.pool import Pool
from ..options.options import Options
from ..reports import json
from ..values.device import Device, Size
from .console import Console
from .records import RunRecords


class RunDevices:
    """The devices that the run's workers may lease. Where there are CPU slots these cap nothing."""

    def __init__(
        self, pool: Pool, lock_dir: Path | None, options: Options, records: RunRecords, console: Console
    ) -> None:
        self.pool = pool
        self.lock_dir = lock_dir
        """Where devices are locked, None for CPU slots."""
        self._options = options
        self._records = records
        self._console = console

    def usable(self) -> list[Device]:
        """Return the pool's devices that have not left it."""
        return [device for device in self.pool.devices if device.id not in self._records.results.quarantined]

    def places(self) -> int:
        """Return how many workers could lease a device each, 0 where CPU slots cap nothing."""
        return len(self.usable()) * self._options.slots

    def kinds(self) -> list[str]:
        """Return the names of the kinds of device that the pool has, the most frequent first."""
        return [name for name, _ in Counter(device.name for device in self.pool.slots(1)).most_common()]

    def seen(self) -> tuple[Device, ...]:
        """Return the whole pool; of CPU slots those that a worker has held so far."""
        return json.pool_devices(self.pool, self._records.results)

    def memory_after_death(self) -> Size | None:
        """Return what may be left in use on a device whose worker died, None where that cannot be told."""
        return self._options.busy_memory if self._options.slots == 1 else None

    def quarantine(self, device: str, reason: str) -> bool:
        """Take a device out of the pool; return whether it was still in it."""
        if device in self._records.results.quarantined:
            return False
        self._records.write("quarantined", device=device, reason=reason)
        label = next(known.label for known in self.pool.devices if known.id == device)
        self._console.warn(f"{label} ({device}) was taken out of the pool: it {reason}")
        return True

    def no_lease_text(self, blockers: Sequence[str]) -> str:
        """Return what to say when nothing came free; ``blockers`` says what was in the way, a line each."""
        lines = "".join(f"\n  {line}" for line in blockers)
        return (
            f"no device came free in {self._options.wait:g} s.{lines}\n"
            "Wait longer (--gpupool-wait), choose other devices (--gpupool-devices), or end what holds them."
        )

    def header(self, workers: int) -> str:
        """Return the line of pytest's header that says what the pool is, for so many workers."""
        first = f"gpupool: {self.pool.describe()}, {workers} worker{'' if workers == 1 else 's'}"
        if self.pool.is_cpu:
            return first
        slots = self._options.slots
        share = "one device each" if slots == 1 else f"up to {slots} on a device"
        return f"{first}, {share}, CUDA_VISIBLE_DEVICES by {self._options.export}"

"""The run's devices: the pool as one run has it, without those that have left it meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from ...devices import vendors
from ...devices.pool import Pool, cpu_count
from ...engines.engine import Engine
from ...leases import nested, quarantines
from ...leases.inherited import Inherited
from ...leases.locking.lock_directory import LockDirectory
from ...leases.occupancy import free_slots
from ...options.options import Options
from ...reports import json
from ...values.device import Device, Export, Size
from ...worker.leased.affinity import problem_of
from ..console import Console
from ..records import RunRecords


class RunDevices:
    """The devices that the run's workers may lease. Where there are CPU slots these cap nothing."""

    engine: Engine | None = None
    """What places the workers, None where they are processes of this host."""

    def __init__(
        self,
        pool: Pool,
        lock_dir: LockDirectory | None,
        options: Options,
        records: RunRecords,
        console: Console,
        *,
        outer: Inherited | None = None,
    ) -> None:
        self.pool = pool
        self.lock_dir = lock_dir
        """Where devices are locked, None for CPU slots, and where another run's lease holds them already."""
        self.outer = outer
        """That lease."""
        self._options = options
        self._records = records
        self._console = console

    @property
    def reported(self) -> Pool:
        """The pool as reports have it."""
        return self.pool

    @property
    def together(self) -> int:
        """How many devices a test could have at once, were they free; 0 for CPU slots."""
        return len(self.pool.devices)

    @property
    def export(self) -> Export:
        """How a worker's environment names its devices: as the user chose, unless a number could mean another one.

        Also where the user asked for numbers: tests that read a UUID for a number fail, and say so; with a wrong number
        two workers would be on one device, and nobody would know.
        """
        return "uuid" if self.pool.by_uuid else self._options.export

    def usable(self) -> list[Device]:
        """Return the pool's devices that have not left it."""
        return [device for device in self.pool.devices if device.id not in self._records.results.quarantined]

    def others_than(self, ids: Sequence[str]) -> int:
        """Return how many devices there are to use beside these."""
        return len([device for device in self.usable() if device.id not in ids])

    def host_of(self, device: str) -> str | None:
        """Return where a device is, None where it is on this host."""
        return None

    def places(self) -> int:
        """Return how many workers could lease a device each, 0 where CPU slots cap nothing."""
        return len(self.usable()) * self._options.slots

    def free_places(self) -> int:
        """Return how many workers could lease a device each at this moment. Not for CPU slots."""
        slots = self._options.slots
        if self.outer is not None:
            return nested.free_slots(self.pool.devices, self.outer.run, slots)
        assert self.lock_dir is not None
        return free_slots(self.pool.devices, self.lock_dir, slots)

    def workers_of_auto(self) -> int:
        """Return how many workers ``-n auto`` starts: one per free slot of the pool, at least one."""
        return cpu_count() if self.pool.is_cpu else max(1, self.free_places())

    def kinds(self) -> list[str]:
        """Return the names of the kinds of device that the pool has, the most frequent first."""
        return [name for name, _ in Counter(device.name for device in self.pool.slots(1)).most_common()]

    def seen(self) -> tuple[Device, ...]:
        """Return the whole pool; of CPU slots those that a worker has held so far."""
        return json.pool_devices(self.reported, self._records.results)

    def memory_after_death(self) -> Size | None:
        """Return what may be left in use on a device whose worker died, None where that cannot be told."""
        # Within another run's lease what is in use may be that one's.
        return self._options.busy_memory if self._options.slots == 1 and self.outer is None else None

    def quarantine(self, device: str, reason: str) -> bool:
        """Take a device out of the pool, also of the host's, until somebody lifts that; return whether it was in it."""
        if device in self._records.results.quarantined:
            return False
        self._records.write("quarantined", device=device, reason=reason)
        label = next(known.label for known in self.reported.devices if known.id == device)
        self._console.warn(f"{label} ({device}) was taken out of the pool: it {reason}{self._lift_text(device)}")
        if self.lock_dir is not None:
            # Another user may have said it before. Where it cannot be written, this run goes without all the same.
            with suppress(OSError, quarantines.NotYours):
                said = quarantines.mine(reason, run=self._records.run_id)
                quarantines.put(self.lock_dir, device, said, replace=False)
        return True

    def _lift_text(self, device: str) -> str:
        return "" if self.lock_dir is None else f" ('gpupool quarantine {device} --lift' takes it back)"

    def no_lease_text(self, blockers: Sequence[str], *, in_vain: bool = False) -> str:
        """Return what to say when nothing came free; ``blockers`` says what was in the way, a line each.

        ``in_vain`` is whether it would never have: then nobody has waited.
        """
        lines = "".join(f"\n  {line}" for line in blockers)
        if in_vain:
            return (
                f"no device can be leased, however long one waits.{lines}\n"
                "Choose other devices (--gpupool-devices), or put right what is in the way."
            )
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
        return f"{first}, {share}, {self._variable} by {self.export}"

    def notes(self) -> list[str]:
        """Return what the header says besides of the pool."""
        notes = list(self.pool.notes)
        if self.export != self._options.export:
            notes.append(
                f"{self._variable} has UUIDs, although --gpupool-export={self._options.export}: {self.pool.by_uuid}"
            )
        problem = problem_of(self.pool.devices) if self._options.affinity else None
        if problem is not None:
            notes.append(f"--gpupool-affinity leaves workers unpinned: {problem}")
        return notes

    @property
    def _variable(self) -> str:
        return vendors.of(self.pool.devices).variable

"""Outside: processes of this worker, itself and its descendants, on devices of the host that it has not leased.

A number that the vendor's library gives is trusted where it is a number of ours: in the host's own pid namespace, and
in a container once this process, or one that it started, was found under its own number on a device that is leased.
Elsewhere the library may give the numbers that processes have outside, and nobody is accused by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..processes import table
from ..processes.own.system import os
from ..values.device import Device

if TYPE_CHECKING:
    from ..devices.probe import GpuProcess
    from ..devices.vendor import Meter

SECONDS = 2.0
"""How often to look: each look asks for the processes of every other device."""

_HOSTS_OWN = 0xEFFFFFFC  # PROC_PID_INIT_INO of Linux: the inode of the first pid namespace


class Outsider(NamedTuple):
    """A process of ours on a device that is not: the device's id and label, the process's number and name."""

    device: str
    label: str
    pid: int
    name: str


class OutsideLook:
    """Looks at the host's other devices, at most every two seconds. All is asked by the thread that samples."""

    def __init__(self, leased: Sequence[Device], *, clock: Callable[[], float]) -> None:
        self._leased = {device.id for device in leased}
        self._clock = clock
        self._due = clock() + SECONDS  # a suite of short tests does without
        self._others: dict[str, Device] | None = None
        self._meter: Meter | None = None
        self._ours: dict[int, bool] = {}
        self._numbers_are_ours: bool | None = None

    @property
    def is_due(self) -> bool:
        """Whether it is time for a look."""
        return self._clock() >= self._due

    def look(self, on_leased: Iterable[int]) -> frozenset[Outsider]:
        """Return who is outside at this moment; ``on_leased`` are the pids on the devices that are leased."""
        self._due = self._clock() + SECONDS
        meter = self._open()
        if meter is None or not self._may_trust(on_leased):
            return frozenset()
        return frozenset(self._outsiders(meter.processes()))

    def close(self) -> None:
        """Stop the vendor's library."""
        if self._meter is not None:
            self._meter.close()

    def _outsiders(self, listed: Mapping[str, Sequence[GpuProcess]]) -> Iterable[Outsider]:
        assert self._others is not None
        on_device = [(self._others[id_], process.pid) for id_, processes in listed.items() for process in processes]
        self._sort({pid for _, pid in on_device})
        return [Outsider(one.id, one.label, pid, _name_of(pid)) for one, pid in on_device if self._ours[pid]]

    def _sort(self, pids: Collection[int]) -> None:
        """Know whose these are. Who was ours stays so while it is listed: its parent may end."""
        known = {pid: ours for pid, ours in self._ours.items() if pid in pids}
        self._ours = known | {pid: _descends_from_us(pid) for pid in pids - known.keys()}

    def _open(self) -> Meter | None:
        """Find the other devices, once: there may be none, and no library."""
        if self._others is None:
            from ..devices import vendors

            host = vendors.survey()
            self._others = {one.id: one for one in host.devices if one.id not in self._leased}
            if self._others:
                self._meter = vendors.named(host.vendor).meter(list(self._others.values()), clock=self._clock)
                self._meter.open()
        return self._meter

    def _may_trust(self, on_leased: Iterable[int]) -> bool:
        if self._numbers_are_ours is None:
            identity = table.identity()
            self._numbers_are_ours = identity is not None and identity.pid_namespace == _HOSTS_OWN
        self._numbers_are_ours = self._numbers_are_ours or any(map(_descends_from_us, on_leased))
        return self._numbers_are_ours


def _descends_from_us(pid: int) -> bool:
    return os.getpid() in table.lineage(pid)


def _name_of(pid: int) -> str:
    known = table.process(pid)
    return "ended" if known is None else known.name.decode(errors="replace")

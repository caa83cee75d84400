"""Devices, and amounts of their memory. Pure: standard library only, no clock, no files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Kind = Literal["gpu", "mig", "cpu"]
Export = Literal["index", "uuid"]


UNKNOWN = "unknown"
"""What a device is called whose name is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU, one MIG instance, or one CPU slot.

    ``id`` is its vendor's UUID (``GPU-…``, ``MIG-…``) or ``cpu:N``; ``index`` is the vendor's number of the GPU (of the
    parent GPU for a MIG instance), as the vendor's tool shows it; ``memory_total`` is in bytes, None for a CPU slot;
    ``legacy_id`` is another name that the vendor's programs know it by: a MIG instance's in drivers before R470,
    ``MIG-GPU-<uuid>/<gi>/<ci>``. ``vendor`` is a name that :mod:`devices.vendors` knows, empty for the first of them.
    """

    id: str
    kind: Kind
    index: int
    name: str
    memory_total: int | None = None
    legacy_id: str | None = None
    vendor: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it is one on which GPU programs run."""
        return self.kind != "cpu"

    @property
    def label(self) -> str:
        """How a person calls it: ``GPU 3``, ``MIG-41f4… on GPU 0``, ``cpu:2``."""
        if self.kind == "gpu":
            return f"GPU {self.index}"
        if self.kind == "mig":
            return f"{self.id[:12]} on GPU {self.index}"
        return self.id

    def to_wire(self) -> dict[str, Any]:
        """Return it as plain values, which execnet and JSON carry."""
        return asdict(self)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Device:
        """Make it again from :meth:`to_wire`, of this version's or a later one's."""
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})


def cpu_device(number: int) -> Device:
    """Return CPU slot ``number``."""
    return Device(id=f"cpu:{number}", kind="cpu", index=number, name="CPU")


def usable_together(devices: Sequence[Device]) -> Sequence[Device]:
    """Return those of the devices that one process can use together: GPUs, for it sees one MIG instance at most.

    Where that is only one, or none, it is any of them.
    """
    whole = [device for device in devices if device.kind != "mig"]
    return whole if len(whole) > 1 or len(whole) == len(devices) else devices[:1]


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of memory: bytes, or with ``relative`` a fraction of a device's memory."""

    amount: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read ``20GiB``, ``500MB``, ``1024`` (bytes) or ``0.5`` (that fraction of the device's memory).

        Raises:
            ValueError: it is none of these.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]i?B|B|)\s*", text)
        if match is None:
            raise ValueError(text)
        number, unit = match.groups()
        scale = 1000 if "i" not in unit else 1024
        power = " KMGT".index(unit[0].upper()) if len(unit) > 1 else 0
        if not unit and 0 < float(number) < 1:
            return cls(float(number), relative=True)
        return cls(float(number) * scale**power)

    def of(self, device: Device) -> int:
        """Return it in bytes, for that device."""
        return int(self.amount * (device.memory_total or 0)) if self.relative else int(self.amount)


BUSY_MEMORY = Size(512 * 2**20)
"""What may be in use of a device that no named process explains, where nobody says otherwise."""

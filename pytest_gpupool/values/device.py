"""Devices, and amounts of their memory. Pure: standard library only, no clock, no files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["gpu", "mig", "cpu"]
Export = Literal["index", "uuid"]


UNKNOWN = "unknown"
"""What a device is called whose name is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU, one MIG instance, or one CPU slot.

    ``id`` is NVML's UUID (``GPU-…``, ``MIG-…``) or ``cpu:N``; ``index`` is NVML's index of the GPU (of the
    parent GPU for a MIG instance), as nvidia-smi shows it; ``memory_total`` is in bytes, None for a CPU slot;
    ``legacy_id`` is a MIG instance's name in drivers before R470, ``MIG-GPU-<uuid>/<gi>/<ci>``.
    """

    id: str
    kind: Kind
    index: int
    name: str
    memory_total: int | None = None
    legacy_id: str | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether a CUDA program can run on it."""
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
        """Make it again from :meth:`to_wire`."""
        return cls(**data)


def cpu_device(number: int) -> Device:
    """Return CPU slot ``number``."""
    return Device(id=f"cpu:{number}", kind="cpu", index=number, name="CPU")


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

"""A machine with AMD's GPUs, as the stand-in amdsmi shows it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

AMDSMI_PATH = Path(__file__).parent / "amdsmi_package"
"""The directory to put on PYTHONPATH for ``import amdsmi`` to give the stand-in."""

STATE_VARIABLE = "GPUPOOL_STANDIN_AMDSMI"
"""Names the state file to it."""

GIB = 2**30


@dataclass(frozen=True)
class AmdGpu:
    """A GPU of AMD's: ``hip_id`` is its number to ROCm's programs, ``processes`` are pids and bytes.

    ``faults`` are the codes with which functions fail for it, ``energy`` is in joules, ``throttled`` has reasons.
    """

    uuid: str
    hip_uuid: str
    hip_id: int
    name: str = "AMD Instinct MI300X"
    serial: str = "N/A"
    memory: int = 192 * GIB
    used: int = 0
    processes: tuple[tuple[int, int], ...] = ()
    faults: dict[str, int] = field(default_factory=dict)
    activity: int | str = 0
    energy: float = 1000.0
    power: int = 140
    temperatures: dict[str, int] = field(default_factory=lambda: {"HOTSPOT": 41})
    throttled: tuple[str, ...] = ()
    numa: int = 0


def amd_gpus(count: int, **fields: Any) -> list[AmdGpu]:
    """GPUs with ids of real shape, this process's own, which ROCm's programs number as amdsmi does."""
    mine = f"{os.getpid():08x}"
    return [
        AmdGpu(
            uuid=f"{number:02x}ff74a1-0000-1000-80f5-9a{mine}{number:02x}",
            hip_uuid=f"GPU-f59a{mine}{number:04x}",
            **{"hip_id": number, **fields},
        )
        for number in range(count)
    ]


class Rocm:
    """The GPUs; every change is seen at once. ``computing`` has the numbers of the GPUs that each process uses."""

    def __init__(self, state: Path, gpus: Sequence[AmdGpu]) -> None:
        self._state = state
        self._gpus = list(gpus)
        self._computing: dict[int, tuple[int, ...]] = {}
        self._init = 0
        self._faults: dict[str, int] = {}
        self._write()

    @property
    def uuids(self) -> tuple[str, ...]:
        """The ids of the GPUs, as the pool has them."""
        return tuple(f"GPU-{gpu.uuid}" for gpu in self._gpus)

    @property
    def gpus(self) -> list[AmdGpu]:
        """The GPUs in amdsmi's order."""
        return self._gpus

    def replace(self, index: int, **changes: Any) -> None:
        """Change fields of a GPU."""
        self._gpus[index] = replace(self._gpus[index], **changes)
        self._write()

    def remove(self, index: int) -> None:
        """Take a GPU out."""
        del self._gpus[index]
        self._write()

    def compute(self, **processes: tuple[int, ...]) -> None:
        """These processes, ``p815=(0, 1)``, compute on these GPUs, as the kernel tells of all users'."""
        self._computing = {int(name[1:]): places for name, places in processes.items()}
        self._write()

    def fail_init(self, code: int) -> None:
        """Starting the library fails from now on."""
        self._init = code
        self._write()

    def fault(self, function: str, code: int) -> None:
        """A function fails from now on, everywhere."""
        self._faults[function] = code
        self._write()

    def environ(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """``base`` (``os.environ``, if not given) with what makes a process use these GPUs."""
        environ = dict(os.environ if base is None else base)
        inherited = environ.get("PYTHONPATH")
        environ["PYTHONPATH"] = os.pathsep.join([str(AMDSMI_PATH), *([inherited] if inherited else [])])
        environ[STATE_VARIABLE] = str(self._state)
        return environ

    def _write(self) -> None:
        state = {
            "init": self._init,
            "faults": self._faults,
            "gpus": [asdict(gpu) for gpu in self._gpus],
            "computing": list(self._computing.items()),
        }
        aside = self._state.with_name(f"{self._state.name}.{os.getpid()}")
        aside.write_text(json.dumps(state))
        aside.replace(self._state)

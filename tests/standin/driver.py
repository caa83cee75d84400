"""The stand-in driver: the state of all devices, written where the stand-in libraries read it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from standin.devices import Fault, Gpu, Process, fake_uuid
from standin.toolchain import SOURCES

STATE_VARIABLE = "GPUPOOL_STANDIN_NVML"
"""Names the state file to the stand-in libraries."""

NOT_SUPPORTED = 3
GPU_IS_LOST = 15

_DEFINITION = re.compile(r"^nvmlReturn_t (nvml\w+)\(", re.MULTILINE)

FUNCTIONS = frozenset(_DEFINITION.findall((SOURCES / "nvml.c").read_text()))
"""The NVML functions that the stand-in has and that can be made to fail."""


@dataclass(frozen=True)
class System:
    """What NVML says of the machine."""

    driver: str = "570.86.15"
    nvml: str = "12.570.86.15"
    cuda: int = 12080

    def lines(self) -> Iterator[str]:
        """The lines of the state file."""
        yield f"driver {self.driver}"
        yield f"nvml {self.nvml}"
        yield f"cuda {self.cuda}"


class Driver:
    """A machine's GPUs as the stand-in libraries show them; every change is seen at once."""

    def __init__(
        self,
        library: Path,
        state: Path,
        gpus: Sequence[Gpu] = (),
        *,
        system: System | None = None,
    ) -> None:
        self.library = library
        self.state = state
        self._gpus = tuple(gpus)
        self._system = system or System()
        self._init = 0
        self._faults: tuple[Fault, ...] = ()
        self._write()

    @classmethod
    def with_gpus(cls, library: Path, state: Path, count: int, **fields: Any) -> Driver:
        """A driver of `count` GPUs with UUIDs of real shape; `fields` are those of every `Gpu`."""
        return cls(library, state, [Gpu(fake_uuid("GPU", n), **fields) for n in range(count)])

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs in the order of their indices; assigning others replaces them all."""
        return self._gpus

    @gpus.setter
    def gpus(self, gpus: Sequence[Gpu]) -> None:
        self._gpus = tuple(gpus)
        self._write()

    @property
    def uuids(self) -> tuple[str, ...]:
        """The UUIDs of the GPUs."""
        return tuple(gpu.uuid for gpu in self._gpus)

    def replace(self, index: int, **changes: Any) -> None:
        """Change fields of a `Gpu`."""
        gpus = list(self._gpus)
        gpus[index] = replace(gpus[index], **changes)
        self.gpus = gpus

    def replace_mig(self, index: int, mig_index: int, **changes: Any) -> None:
        """Change fields of a `Mig` of a GPU."""
        devices = list(self._gpus[index].mig)
        devices[mig_index] = replace(devices[mig_index], **changes)
        self.replace(index, mig=tuple(devices))

    def processes(self, index: int, *processes: Process) -> None:
        """These, and no others, are the compute processes of a GPU."""
        self.replace(index, processes=processes)

    def lose(self, index: int, code: int = GPU_IS_LOST, *, handle: bool = True, lookup: bool = True) -> None:
        """Calls with the GPU's handle, and looking that handle up, fail from now on."""
        self.replace(index, lost=code if handle else None, lookup=code if lookup else None)

    def find(self, index: int) -> None:
        """A GPU that was lost answers again."""
        self.replace(index, lost=None, lookup=None)

    def fail_init(self, code: int) -> None:
        """Initialising NVML fails from now on; 0 makes it succeed again."""
        self._init = code
        self._write()

    def fault(self, function: str, code: int, index: int | None = None) -> None:
        """A function fails from now on, for one GPU and its MIG devices or everywhere; 0 repairs it."""
        if function not in FUNCTIONS:
            raise ValueError(f"the stand-in library has no function {function!r}")
        if index is not None:
            self.replace(index, faults=_with_fault(self._gpus[index].faults, function, code))
            return
        self._faults = _with_fault(self._faults, function, code)
        self._write()

    def hang(self, index: int, *functions: str) -> None:
        """Calls of these functions, and of no others, do not return from now on for one GPU and its MIG devices."""
        for function in functions:
            if function not in FUNCTIONS:
                raise ValueError(f"the stand-in library has no function {function!r}")
        self.replace(index, hangs=functions)

    def unsupported(self, function: str, index: int | None = None) -> None:
        """A function is not supported from now on, on one GPU or everywhere."""
        self.fault(function, NOT_SUPPORTED, index)

    def environ(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """`base` (``os.environ``, if not given) with what makes a process use this driver."""
        environ = dict(os.environ if base is None else base)
        inherited = environ.get("LD_LIBRARY_PATH")
        environ["LD_LIBRARY_PATH"] = f"{self.library}:{inherited}" if inherited else str(self.library)
        environ[STATE_VARIABLE] = str(self.state)
        return environ

    def _lines(self) -> Iterator[str]:
        yield from self._system.lines()
        yield f"init {self._init}"
        yield from (f"fault {function} {code}" for function, code in self._faults)
        for gpu in self._gpus:
            yield from gpu.lines()

    def _write(self) -> None:
        # Moved into place whole: a process that reads meanwhile must not see half a state.
        aside = self.state.with_name(f"{self.state.name}.{os.getpid()}")
        aside.write_text("".join(f"{line}\n" for line in self._lines()))
        aside.replace(self.state)


def _with_fault(faults: tuple[Fault, ...], function: str, code: int) -> tuple[Fault, ...]:
    others = tuple(fault for fault in faults if fault[0] != function)
    return (*others, (function, code)) if code else others

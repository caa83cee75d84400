"""The running test: the item that pytest runs now, and what it may use here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

import pytest

from ...devices.torch import memory
from ...foreign.pytest_names import has_failed_as_unittest
from ...values.device import Device
from ...values.repeats import Repeat
from ...values.requirement import USUAL, Requirement
from ..items.markers import requirement_of
from ..items.repeats import repeat_of


@dataclass(frozen=True, kw_only=True)
class RunningTest:
    """Made when the test has been let in, for all attempts at it. pytest's later hooks name only its id.

    ``refused`` says why it can never run here, else None; ``held`` are the devices of the process, none where the
    pool is off.
    """

    item: pytest.Item
    refused: str | None
    held: tuple[Device, ...]

    @property
    def nodeid(self) -> str:
        """Its id."""
        return self.item.nodeid

    @cached_property
    def requirement(self) -> Requirement:
        """What it asks for.

        Raises:
            MarkerProblem: that cannot be understood, for which it was refused.
        """
        return requirement_of(self.item)

    @cached_property
    def repeat(self) -> Repeat | None:
        """Which repeat of its test it is, None where it is the test itself."""
        return repeat_of(self.item)

    @property
    def has_failed_as_unittest(self) -> bool:
        """Whether its call has failed as a unittest.TestCase: pytest raises that later."""
        return has_failed_as_unittest(self.item)

    def devices(self) -> list[str]:
        """Return the ids of the devices that it may use: all that are held, or none where it asks for none."""
        return [device.id for device in self.held if self.refused or self.requirement.gpus]

    def kind(self) -> str:
        """Return the kind of device that it asks for, as baselines tell them apart.

        Raises:
            MarkerProblem: what it asks for cannot be understood, for which it was refused.
        """
        # Without workers the process may hold more for the sake of other tests.
        return _kind_of(self.held[: self.requirement.gpus])

    def asked(self) -> dict[str, float | None]:
        """Return what its marker says of the memory of a device, in bytes, and of its time limit; None is no limit."""
        requirement = USUAL if self.refused else self.requirement
        limit, size = requirement.timeout, requirement.memory
        if limit is None and size is None:
            return {}
        return {
            **({} if limit is None else {"timeout": limit if math.isfinite(limit) else None}),
            **({} if size is None or not self.held else {"memory": min(map(size.of, self.held))}),
        }

    def torch_peak(self) -> int | None:
        """Return the most bytes that torch has held on a device since it was let in, None where that is not known."""
        return memory.torch_peak() if any(device.is_gpu for device in self.held) else None


@cache
def _kind_of(devices: tuple[Device, ...]) -> str:
    from ...verdicts.baselines.baseline import cpu_kind, is_cpu, kind_of

    kind = kind_of([device.name for device in devices])
    if not is_cpu(kind):
        return kind
    from ...processes.cpu import model

    return cpu_kind(model.model())

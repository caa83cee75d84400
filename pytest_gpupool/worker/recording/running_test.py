"""The running test: the item that pytest runs now, and what it may use here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest

from ...devices import torch_memory
from ...foreign.pytest_names import has_failed_as_unittest
from ...values.device import Device
from ..items.markers import requirement_of


@dataclass(frozen=True, slots=True, kw_only=True)
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

    @property
    def has_failed_as_unittest(self) -> bool:
        """Whether its call has failed as a unittest.TestCase: pytest raises that later."""
        return has_failed_as_unittest(self.item)

    def devices(self) -> list[str]:
        """Return the ids of the devices that it may use: all that are held, or none where it asks for none."""
        return [device.id for device in self.held if self.refused or requirement_of(self.item).gpus]

    def kind(self) -> str:
        """Return the kind of device that it asks for, as baselines tell them apart.

        Raises:
            MarkerProblem: what it asks for cannot be understood, for which it was refused.
        """
        # Without workers the process may hold more for the sake of other tests.
        return _kind_of(self.held[: requirement_of(self.item).gpus])

    def declared_memory(self) -> int | None:
        """Return how many bytes it says that it needs on each device, None where it says nothing."""
        need = None if self.refused else requirement_of(self.item).memory
        if need is None or (need.relative and not self.held):
            return None
        return (need.of(self.held[0]) if self.held else int(need.amount)) or None

    def torch_peak(self) -> int | None:
        """Return the most bytes that torch has held on a device since it was let in, None where that is not known."""
        return torch_memory.torch_peak() if any(device.is_gpu for device in self.held) else None


@cache
def _kind_of(devices: tuple[Device, ...]) -> str:
    from ...verdicts.baseline import kind_of

    return kind_of([device.name for device in devices])

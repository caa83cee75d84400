"""Expected workers: what each worker that will be started is to lease."""

from __future__ import annotations

from collections import deque

from .member import Member, Shape


class ExpectedWorkers:
    """Remembers between the decision that a worker is started and the moment at which xdist starts it."""

    def __init__(self) -> None:
        self._by_name: dict[str, Shape] = {}
        self._replacements: deque[Shape] = deque()

    def expect(self, name: str, shape: Shape) -> None:
        """We start one, and know what its name will be."""
        self._by_name[name] = shape

    def expect_replacement(self, dead: Member) -> None:
        """Xdist will start one for a worker that died: of the same shape, on other devices if possible."""
        shape = dead.shape
        self._replacements.append(Shape(gpus=shape.gpus, memory=shape.memory, avoid=dead.devices))

    def shape_of(self, name: str) -> Shape:
        """Return what the worker that is being started is to lease. Those that nobody announced are the run's first."""
        if name in self._by_name:
            return self._by_name.pop(name)
        return self._replacements.popleft() if self._replacements else Shape()

"""A member: one worker process as the controller knows it."""

from __future__ import annotations

from dataclasses import dataclass

from xdist.workermanage import WorkerController

from ..values.messages import Expired
from ..values.texts import shortened
from . import process_ends


@dataclass(slots=True)
class Member:
    """One worker. ``places`` are its positions among the devices, or the numbers of its CPU slots."""

    node: WorkerController
    places: tuple[int, ...]
    gpus: int = 1
    memory: int = 0
    devices: tuple[str, ...] = ()
    pid: int = 0
    stacks: int = 0
    """The descriptor to which it writes its stacks."""
    leased: bool = False
    expired: Expired | None = None
    """What it said when it had waited for as long as the user said."""
    collected: bool = False
    retired: bool = False
    gone: bool = False
    limit: float = 0.0
    overdue: str | None = None
    """The test for which it was ended, and in ``dump`` the stacks that it had then."""
    dump: str = ""

    @property
    def name(self) -> str:
        """What xdist calls it: ``gw3``."""
        name: str = self.node.gateway.id
        return name

    def waits_text(self) -> str:
        """Return that it waits, and for what."""
        return f"{self.name} waits for {'a device' if self.gpus == 1 else f'{self.gpus} devices'}"

    def crash_text(self) -> str:
        """Return what to say of the test that it took with it."""
        return f"worker {self.name} died ({process_ends.exit_words(self.node)}) while it ran this test"

    def limit_text(self) -> str:
        """Return what to say of the test for which it was ended."""
        where = f"; its stacks then:\n{self.dump}" if self.dump else ""
        return shortened(f"this test took longer than {self.limit:g} s; worker {self.name} was ended{where}")

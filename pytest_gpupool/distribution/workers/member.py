"""A member: one worker process as the controller knows it."""

from __future__ import annotations

from dataclasses import dataclass

from xdist.workermanage import WorkerController

from ...values.messages import Expired
from ...values.texts import shortened
from . import process_ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a worker leases: so many devices of at least so many bytes each, if possible none of those in ``avoid``."""

    gpus: int = 1
    memory: int = 0
    avoid: tuple[str, ...] = ()


@dataclass(slots=True)
class Member:
    """One worker. ``places`` are its positions among the devices, or the numbers of its CPU slots."""

    node: WorkerController
    places: tuple[int, ...]
    shape: Shape
    devices: tuple[str, ...] = ()
    pid: int = 0
    stacks: int = 0
    """The descriptor to which it writes its stacks."""
    leased: bool = False
    expired: Expired | None = None
    """What it said when it had waited for a lease for as long as the user said."""
    collected: bool = False
    excluded: bool = False
    """Whether it collected other tests than the run's, and so gets none."""
    retired: bool = False
    gone: bool = False
    died: bool = False
    """Whether it is gone without having said goodbye."""
    limit: float = 0.0
    overdue: str | None = None
    """The test for which we ended it, and in ``dump`` the stacks that it had then."""
    dump: str = ""

    @property
    def name(self) -> str:
        """What xdist calls it: ``gw3``."""
        name: str = self.node.gateway.id
        return name

    def retire(self) -> None:
        """Let it finish."""
        self.retired = True
        self.node.shutdown()

    def waits_text(self) -> str:
        """Return that it waits, and for what."""
        gpus = self.shape.gpus
        return f"{self.name} waits for {'a device' if gpus == 1 else f'{gpus} devices'}"

    def crash_text(self) -> str:
        """Return what to say of the test that it took with it."""
        return f"worker {self.name} died ({process_ends.exit_words(self.node)}) while it ran this test"

    def limit_text(self) -> str:
        """Return what to say of the test for which it was ended."""
        where = f"; its stacks then:\n{self.dump}" if self.dump else ""
        return shortened(f"this test took longer than {self.limit:g} s; worker {self.name} was ended{where}")

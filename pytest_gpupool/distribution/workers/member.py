"""A member: one worker process as the controller knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdist.workermanage import WorkerController

from ...processes.own.events import Event
from ...values.messages import Expired
from ...values.process_id import ProcessId
from ...values.texts import shortened
from ..collecting.run_tests import Numbering
from .engine_process import EngineWorkerProcess
from .process_ends import WorkerProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a worker leases: so many devices of at least so many bytes each, if possible none of those in ``avoid``.

    One that ``is_alone`` shares them with nobody, whatever the others do.
    """

    gpus: int = 1
    memory: int = 0
    avoid: tuple[str, ...] = ()
    is_alone: bool = False


@dataclass(slots=True)
class Member:
    """One worker. ``places`` are its positions among the devices, or the numbers of its CPU slots."""

    node: WorkerController
    process: WorkerProcess
    places: tuple[int, ...]
    shape: Shape
    devices: tuple[str, ...] = ()
    identity: ProcessId | None = None
    """The process that holds the lease, as it has said itself."""
    stacks: int = 0
    """The descriptor to which it writes its stacks."""
    leased: bool = False
    expired: Expired | None = None
    """What it said when it had waited for a lease for as long as the user said."""
    collected: bool = False
    digest: str = ""
    """Of what it has collected, in short; see :class:`Collected`."""
    numbering: Numbering = field(default_factory=Numbering)
    """What its numbers of tests mean."""
    is_first: bool = False
    """Whether it was started before anybody had collected."""
    has_to_wait: bool = False
    """Whether its device was not free when it came."""
    ready: str | None = None
    """When it was ready for its first test."""
    is_awaited: bool = False
    """Whether the run does not end before it has collected."""
    retired: bool = False
    said_goodbye: bool = False
    connection_over: Event = field(default_factory=Event)
    tears_down: str = ""
    """The test that is over and whose fixtures it tears down."""
    tear_down_limit: float = 0.0
    """What that may take; 0 where it has no limit."""
    is_finishing: bool = False
    """Whether all of its tests are over and torn down."""
    last_phase: str = ""
    """What it has to do in time now that all tests are over."""
    late: str | None = None
    """What it did not do in time, for which we ended it."""
    has_exited: bool = False
    """Whether its process is gone, which is told as :class:`Exited`."""
    gone: bool = False
    died: bool = False
    """Whether it is gone without having said goodbye."""
    cause: str | None = None
    """What it died of, where that is known, see :data:`CAUSES`."""
    is_replaced: bool = True
    """Whether xdist starts another one in its place where it dies, or ends the run."""
    limit: float = 0.0
    """What the test that it runs may take, or ran last; 0 where that has no limit."""
    limits: dict[str, float] = field(default_factory=dict)
    """The same by test, of the last two; never changed, but made anew, since other threads look."""
    overdue: str | None = None
    """The test for which we ended it."""
    where: str = ""
    """Where it was then, in words that follow others."""
    interrupted: bool = False
    """Whether its test has ended its session, as KeyboardInterrupt does."""
    internal_error: str | None = None
    """What it said of an error in it that is no test's, until pytest has shown that."""

    @property
    def is_cut_off(self) -> bool:
        """Whether we have ended it."""
        return self.overdue is not None or self.late is not None

    @property
    def never_began(self) -> bool:
        """Whether its engine has refused to place it, or it could not be started there."""
        process = self.process
        return isinstance(process, EngineWorkerProcess) and not process.is_withdrawn and process.never_began is not None

    @property
    def name(self) -> str:
        """What xdist calls it: ``gw3``."""
        name: str = self.node.gateway.id
        return name

    def begins(self, test: str, limit: float) -> None:
        """It runs a test that may take so many seconds; 0 where that has no limit."""
        before = list(self.limits.items())[-1:]
        self.limit, self.limits = limit, dict([*before, (test, limit)])

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
        if self.interrupted:
            return f"this test ended the session of worker {self.name}, as KeyboardInterrupt and pytest.exit() do"
        return (
            f"worker {self.name} died ({self.process.exit_words()}) while it ran this test{self.process.memory_words()}"
        )

    def limit_text(self) -> str:
        """Return what to say of the test for which it was ended."""
        return shortened(f"this test took longer than {self.limit:g} s; worker {self.name} was ended{self.where}")

"""Types of fixtures: what a test is given, for those who write ``gpu: pytest_gpupool.Gpu``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import os

    from ..script.result import ScriptResult
    from ..values.verdicts import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The devices that the running test has for itself; none where it asked for none on a host with GPUs.

    ``devices`` are what torch calls them in this process, ``cuda:0`` and on, or ``cpu``; ``ids`` are UUIDs or
    ``cpu:N``; ``memory_total`` is the first device's memory in bytes, None for a CPU slot.
    """

    devices: list[str]
    ids: list[str]
    names: list[str]
    memory_total: int | None
    is_gpu: bool
    present_repeat: Callable[[], int] = field(default=lambda: 0, repr=False, compare=False)

    @property
    def repeat(self) -> int:
        """Which of its measurements of a test this is, from 0; 0 where there is but one."""
        return self.present_repeat()

    @property
    def device(self) -> str:
        """The first device, as torch calls it; ``cpu`` where there is none."""
        return self.devices[0] if self.devices else "cpu"

    @property
    def count(self) -> int:
        """How many devices there are."""
        return len(self.devices)

    def free_port(self) -> int:
        """Return a port that no test of any run on this host is given meanwhile, and nobody uses.

        A socket is bound to it until the test is over, so that nothing else takes it; a server that sets SO_REUSEADDR,
        as nearly all do, can bind it all the same, any other one after :meth:`release_port`. Raises NoPort.
        """
        from ..leases import ports

        return ports.free_port()

    def release_port(self, port: int) -> None:
        """Let go of a port: what does not set SO_REUSEADDR is about to bind it."""
        from ..leases import ports

        ports.release_port(port)


class RecordMetric(Protocol):
    """The type of the ``record_metric`` fixture."""

    def __call__(
        self,
        name: str,
        value: object,
        *,
        kind: Kind | None = None,
        unit: str = "",
        higher_is_better: bool | None = None,
        n: int | None = None,
        samples: Iterable[object] | Mapping[object, object] | None = None,
        repeats: Iterable[object] | None = None,
        atol: float | None = None,
        rtol: float | None = None,
        reduce: Literal["sum"] | None = None,
    ) -> None:
        """Record a number under a name."""


class RecordSample(Protocol):
    """The type of the ``record_sample`` fixture."""

    def __call__(
        self,
        id: object,
        *,
        input: object = None,
        output: object = None,
        target: object = None,
        score: object = None,
        **scores: object,
    ) -> None:
        """Record what is said of one item."""


class RecordFact(Protocol):
    """The type of the ``record_fact`` fixture."""

    def __call__(self, name: str, text: object) -> None:
        """Record a short text under a name."""


class Attach(Protocol):
    """The type of the ``attach`` fixture."""

    def __call__(self, data: object, name: str | None = None) -> None:
        """Keep a file, or what is to be one."""


class RunScript(Protocol):
    """The type of the ``run_script`` fixture."""

    def __call__(
        self,
        path: str | os.PathLike[str],
        params: Mapping[str, object] | None = None,
        *,
        args: Sequence[object] = (),
        style: str = "json",
        timeout: float | str | None = None,
        env: Mapping[str, str] | None = None,
        metrics: Mapping[str, Mapping[str, object]] | None = None,
    ) -> ScriptResult:
        """Run a script, and record its metrics."""


class TorchRun(Protocol):
    """The type of the ``torchrun`` fixture."""

    def __call__(
        self,
        script: str | os.PathLike[str] | Callable[..., object],
        params: Mapping[str, object] | None = None,
        *,
        nproc: int | None = None,
        args: Sequence[object] = (),
        style: str = "json",
        timeout: float | str | None = None,
        env: Mapping[str, str] | None = None,
        metrics: Mapping[str, Mapping[str, object]] | None = None,
        reduce: str | Mapping[str, str] | None = None,
    ) -> ScriptResult:
        """Run a script or a function in several ranks, and record its metrics."""


class Measure(Protocol):
    """The type of the ``measure`` fixture."""

    def __call__(
        self,
        fn: Callable[..., object],
        *args: object,
        name: str = "latency",
        warmup: float = 0.1,
        min_time: float = 0.2,
        rel_error: float = 0.01,
        max_time: float = 10.0,
    ) -> float:
        """Return the median seconds of a call, which are recorded under a name."""

"""Fixtures: what a test sees of the pool. A plugin of their own, which stays where ``-p no:gpupool`` is given.

PYTEST_DONT_REWRITE: the other plugin, which may have been loaded with ``-p``, has imported this one already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from ..options import options, role_end
from ..values.device import Device
from ..values.errors import GpupoolError, UsageProblem
from ..values.requirement import Requirement
from .recording.recorder import Recorder, recorder_key
from .recording.refusal import Refusal

if TYPE_CHECKING:
    from ..leases.lease import Lease
    from ..values.kinds import Kind

_PLUGIN = "gpupool"
"""The name of the plugin of the pool."""

lease_key: pytest.StashKey[Lease] = pytest.StashKey()
"""What this process holds."""

_in_vain: pytest.StashKey[list[str]] = pytest.StashKey()


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

    @property
    def device(self) -> str:
        """The first device, as torch calls it; ``cpu`` where there is none."""
        return self.devices[0] if self.devices else "cpu"

    @property
    def count(self) -> int:
        """How many devices there are."""
        return len(self.devices)


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
    ) -> None:
        """Record a number under a name."""


def be_off(config: pytest.Config, fail_on: frozenset[str]) -> None:
    """Register what stays where the pool is off: metrics go to JUnit."""
    record(config, Recorder(fail_on=fail_on))


def record(config: pytest.Config, recorder: Recorder) -> None:
    """Register the recorder, for the fixtures too, until pytest ends."""
    config.stash[recorder_key] = recorder
    config.pluginmanager.register(recorder, "gpupool-recorder")
    config.pluginmanager.register(Refusal(recorder), "gpupool-refusal")
    if recorder.set_ups is not None:
        config.pluginmanager.register(recorder.set_ups, "gpupool-set-ups")
    role_end.at_end(config, recorder.close)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the options where nobody else does: what is typed, or in the ini file, is in vain then, and no error."""
    if pluginmanager.is_blocked(_PLUGIN):
        options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Be off where the plugin of the pool is switched off: metrics go to JUnit."""
    if early_config.pluginmanager.is_blocked(_PLUGIN):
        try:
            be_off(early_config, options.fail_on(early_config))
            early_config.stash[_in_vain] = options.given_in_vain(early_config)
        except UsageProblem as problem:
            raise pytest.UsageError(f"gpupool: {problem}") from None


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker: pytest's strict mode refuses unknown ones."""
    config.addinivalue_line(
        "markers",
        f"{Requirement.signature()}: what the test needs of pytest-gpupool's pool, and when it may run.",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which options are given in vain."""
    return options.off_lines(config.stash.get(_in_vain, []), f"by -p no:{_PLUGIN}")


@pytest.fixture(scope="session")
def gpu(pytestconfig: pytest.Config) -> Gpu:
    """The device that this worker holds: ``gpu.device`` is ``cuda:0``, or ``cpu`` where there is no GPU."""
    lease = pytestconfig.stash.get(lease_key, None)
    if lease is not None:
        return describe(lease.devices)
    from ..devices import vendors

    return describe(vendors.visible_devices())


@pytest.fixture
def record_metric(request: pytest.FixtureRequest) -> RecordMetric:
    """Record a metric of this test: ``record_metric("accuracy", 0.91, higher_is_better=True, n=1000)``.

    Takes ints, floats, bools, enums of these, and NumPy and torch scalars. NaN and infinities are kept and fail the
    test as invalid; what is no number fails it at once. ``kind`` says what it is (``proportion``, ``mean``, ``time``,
    ``rate``, ``size``, ``score``), ``samples`` has a number per item, best by the item's id, and ``repeats`` has
    measurements of one and the same quantity.
    """
    from ..metrics import metric as metrics  # most workers' start is not held up by it

    recorder = request.config.stash[recorder_key]
    attempt = recorder.attempt_at(request.node)

    def record(
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
    ) -> None:
        try:
            metric = metrics.make(
                name,
                value,
                kind=kind,
                unit=unit,
                higher_is_better=higher_is_better,
                n=n,
                samples=samples,
                repeats=repeats,
                atol=atol,
                rtol=rtol,
            )
            recorder.metric(metric, attempt)
        except GpupoolError as error:
            problem = str(error)
        else:
            return
        pytest.fail(problem, pytrace=False)  # outside the handler, so that no traceback of ours is shown with it

    return record


def describe(devices: Sequence[Device]) -> Gpu:
    """Return the fixture's value for these devices."""
    is_gpu = bool(devices) and devices[0].is_gpu
    return Gpu(
        devices=[f"cuda:{number}" if is_gpu else "cpu" for number in range(len(devices))],
        ids=[device.id for device in devices],
        names=[device.name for device in devices],
        memory_total=devices[0].memory_total if devices else None,
        is_gpu=is_gpu,
    )

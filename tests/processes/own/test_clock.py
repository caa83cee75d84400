"""What time it is, whatever a test has put in the place of the standard library's clocks."""

from __future__ import annotations

import sys
import time
from types import ModuleType

import pytest

from pytest_gpupool.processes.own import clock

FUNCTIONS = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "clock_gettime",
    "sleep",
)


def freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """As freezegun does: each name of each module that is one of time's functions is another function from now on."""
    real = {id(getattr(time, name)): name for name in FUNCTIONS}
    for module in [one for one in sys.modules.values() if isinstance(one, ModuleType)]:
        for name, value in list(vars(module).items()):
            if id(value) in real:
                monkeypatch.setattr(module, name, lambda *_: 0.0)


def test_a_frozen_clock_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (clock.now(), clock.monotonic(), clock.since_boot(), clock.processor_time())
    freeze(monkeypatch)
    assert time.time() == time.monotonic() == 0.0
    clock.sleep(0.001)
    after = (clock.now(), clock.monotonic(), clock.since_boot(), clock.processor_time())
    monkeypatch.undo()
    assert all(0 <= one - other < 300 for one, other in zip(after[:3], before[:3], strict=True))
    assert after[0] > before[0]
    assert after[3] >= before[3]


def test_it_is_the_time_of_this_world() -> None:
    assert abs(clock.now() - time.time()) < 300

"""How often a call is repeated, and which of its samples count."""

from __future__ import annotations

import pytest

from pytest_gpupool.metrics.measurement import Measurement, Plan, _Sample, measure
from pytest_gpupool.processes.own import clock
from pytest_gpupool.values.errors import MetricProblem


def plan(*, warmup: float = 0, min_time: float = 0, rel_error: float = 0.01, max_time: float = 60) -> Plan:
    return Plan(name="m", warmup=warmup, min_time=min_time, rel_error=rel_error, max_time=max_time)


class Call:
    """A call that counts itself, and takes as long as it is told."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls = 0
        self._seconds = seconds

    def __call__(self) -> None:
        self.calls += 1
        if self._seconds:
            clock.sleep(self._seconds)


def test_it_ends_when_the_error_is_small_enough() -> None:
    """Here with the first look, since any error is; the warm-up's calls are made besides."""
    call = Call(0.001)
    found = measure(call, plan(rel_error=1e6), lambda: ())
    assert (len(found.samples), found.limit, found.calls) == (10, None, 1)
    assert call.calls == 10 + found.warmup_calls + 1  # and one to see how long it takes
    error = found.median().relative_error
    assert error is not None


def test_it_ends_at_the_limit_of_time() -> None:
    """One sample there is in any case."""
    found = measure(Call(0.001), plan(rel_error=0, max_time=0), lambda: ())
    assert (len(found.samples), found.limit) == (1, "time")
    assert found.to_metric("m").value == found.samples[0].seconds


def test_it_ends_at_the_limit_of_samples() -> None:
    """Quick calls are timed several at once: the clock's own time would show."""
    call = Call()
    found = measure(call, plan(rel_error=0), lambda: ())
    assert (len(found.samples), found.limit) == (1000, "samples")
    assert found.calls > 1
    assert call.calls >= 1000 * found.calls


def test_the_least_time_is_that_of_the_samples() -> None:
    found = measure(Call(0.001), plan(rel_error=1e6, min_time=0.05), lambda: ())
    assert sum(one.seconds for one in found.samples) >= 0.05


def test_what_the_call_raises_is_raised() -> None:
    def fails() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        measure(fails, plan(), lambda: ())


def made(*seconds: float, throttled: tuple[tuple[float, float], ...] = ()) -> Measurement:
    """A measurement whose samples follow each other."""
    samples, now = [], 0.0
    for one in seconds:
        samples.append(_Sample(now, now + one, one))
        now += one
    return Measurement(clock="device_events", first=9.0, samples=samples, throttled=throttled)


class TestThrottling:
    """Samples of a throttled device do not count."""

    def test_those_within_and_beside_a_span(self) -> None:
        """Any part of them; the metric says how many there were."""
        found = made(1, 1, 4, 4, 1, throttled=((2.5, 7.0),))
        assert (found.kept(), found.median().value) == ([1, 1, 1], 1)
        timing = found.to_metric("m").timing
        assert timing is not None
        assert (timing["discarded"], timing["repeats"]) == (2, [1, 1, 1])

    def test_where_all_are_all_count(self) -> None:
        """There is nothing else; what the samples of the device say makes the verdict."""
        assert made(1, 4, throttled=((0.0, float("inf")),)).kept() == [1, 4]

    def test_they_do_not_end_the_measurement(self) -> None:
        """It goes on until enough count."""
        spans = [(0.0, float("inf"))]
        looks = 0

        def throttled() -> list[tuple[float, float]]:
            nonlocal looks
            looks += 1
            if looks == 2:
                spans[:] = [(0.0, clock.monotonic())]
            return spans

        found = measure(Call(0.001), plan(rel_error=0.0, max_time=0.5), throttled)
        assert looks > 2
        assert len(found.kept()) < len(found.samples)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"warmup": -1}, "measure 'm': warmup is a number of seconds, not -1"),
        ({"min_time": "1s"}, "measure 'm': min_time is a number of seconds, not '1s'"),
        ({"max_time": float("nan")}, "measure 'm': max_time is a number of seconds, not nan"),
        ({"rel_error": True}, "measure 'm': rel_error is a share such as 0.01, not True"),
        ({"min_time": 2, "max_time": 1}, "measure 'm': max_time (1 s) is less than min_time (2 s)"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(MetricProblem) as caught:
        plan(**arguments)
    assert str(caught.value) == said

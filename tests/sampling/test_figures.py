"""What readings say of an attempt: no figure is invented, and none belongs to another attempt."""

from __future__ import annotations

import json

import pytest

from pytest_gpupool.devices.readings import Count, Levels
from pytest_gpupool.sampling.figures import Counters, Figures, Growth, Observation, Totals

GIB = 2**30

NOTHING = {
    "peak_memory_bytes": None,
    "utilization_mean": None,
    "utilization_max": None,
    "energy_j": None,
    "temperature_max_c": None,
    "throttled": None,
    "foreign_pids": None,
    "cpu_percent": None,
    "rss_peak_bytes": None,
    "cpu_pressure_percent": None,
}


def energy(moment: float, joules: float | None = None, watts: float | None = None) -> Counters:
    return Counters(energy={"GPU-1": Count(moment, total=joules, rate=watts)})


class TestShare:
    """How much of a counter's growth is an attempt's."""

    @pytest.mark.parametrize(
        ("earlier", "later", "share"),
        [
            (Count(10.0, total=500.0), Count(12.0, total=700.0), Growth(200.0, 2.0)),
            (Count(9.0, total=500.0), Count(11.0, total=700.0), Growth(100.0, 1.0)),
            (Count(10.0, rate=100.0), Count(12.0, rate=300.0), Growth(400.0, 2.0)),
            (Count(8.0, rate=100.0), Count(12.0, rate=300.0), Growth(400.0, 2.0)),
            (Count(10.0, total=500.0), Count(12.0, total=500.0), Growth(0.0, 2.0)),
        ],
        ids=["all of it", "half of it", "a rate", "half of a rate", "no growth"],
    )
    def test_growth_counts_by_the_time_since_the_begin(self, earlier: Count, later: Count, share: Growth) -> None:
        """The attempt began at 10 s."""
        assert Growth().plus(earlier, later, began=10.0) == share

    @pytest.mark.parametrize(
        ("earlier", "later"),
        [
            (None, Count(12.0, total=700.0)),
            (Count(10.0, total=500.0), None),
            (Count(10.0, total=500.0), Count(12.0, rate=100.0)),
            (Count(10.0, total=500.0), Count(12.0, total=30.0)),
            (Count(8.0, total=500.0), Count(10.0, total=700.0)),
            (Count(10.0, total=500.0), Count(10.0, total=700.0)),
        ],
        ids=["no first", "no second", "of two sorts", "begun anew", "of before", "no time"],
    )
    def test_what_cannot_be_told_adds_nothing(self, earlier: Count | None, later: Count | None) -> None:
        """Neither growth nor time."""
        assert Growth(1.0, 1.0).plus(earlier, later, began=10.0) == Growth(1.0, 1.0)

    @pytest.mark.parametrize(("seconds", "rate"), [(2.0, 50.0), (6.0, 50.0), (6.1, None), (0.0, 50.0)])
    def test_what_is_known_of_a_third_is_taken_for_the_rest(self, seconds: float, rate: float | None) -> None:
        """Of less it is not."""
        assert Growth(100.0, 2.0).rate(seconds) == rate
        assert Growth().rate(seconds) is None


class TestTotals:
    """What several looks come to."""

    def test_without_a_view_there_are_no_figures(self) -> None:
        """Though what grows is known."""
        totals = Totals().plus(energy(0.0, 0.0), energy(1.0, 100.0), None, began=0.0)
        assert totals.figures(1.0) == Figures()
        assert totals.figures(1.0, lost=True) == Figures(lost=True)

    def test_one_device(self) -> None:
        """The largest memory, utilisation and temperature; the mean of the utilisation; any throttling."""
        first = Observation(devices={"GPU-1": Levels(3 * GIB, 90.0, 60, False)}, rss=500, foreign=frozenset({7}))
        second = Observation(devices={"GPU-1": Levels(2 * GIB, 40.0, 70, True)}, rss=400, foreign=frozenset({5}))
        totals = Totals().plus(None, energy(0.0, 1000.0), None, began=0.0)
        totals = totals.plus(energy(0.0, 1000.0), energy(1.0, 1300.0), first, began=0.0)
        totals = totals.plus(energy(1.0, 1300.0), energy(2.0, 1400.0), second, began=0.0)
        assert totals.figures(2.5) == Figures(
            peak_memory_bytes=3 * GIB,
            utilization_mean=65.0,
            utilization_max=90.0,
            energy_j=500.0,
            temperature_max_c=70,
            throttled=True,
            foreign_pids=(5, 7),
            rss_peak_bytes=500,
            by_device={"GPU-1": (65.0, 500.0)},
        )

    def test_what_was_not_told_once_is_left_out(self) -> None:
        """It is no zero."""
        totals = Totals().plus(None, Counters(), Observation(devices={"GPU-1": Levels()}), began=0.0)
        assert totals.figures(1.0) == Figures(by_device={"GPU-1": (None, None)})
        totals = totals.plus(None, Counters(), Observation(devices={"GPU-1": Levels(utilization=30.0)}), began=0.0)
        assert totals.figures(1.0).utilization_mean == 30.0

    def test_several_devices(self) -> None:
        """Memory and temperature of the one that has most, the mean over their means, the sum of their energies."""
        devices = {"GPU-1": Levels(3 * GIB, 90.0, 60, False), "GPU-2": Levels(4 * GIB, 20.0, 50, False)}
        before = {"GPU-1": Count(0.0, total=0.0), "GPU-2": Count(0.0, rate=50.0)}
        after = {"GPU-1": Count(2.0, total=200.0), "GPU-2": Count(2.0, rate=50.0)}
        totals = Totals().plus(Counters(energy=before), Counters(energy=after), Observation(devices=devices), began=0.0)
        figures = totals.figures(2.0)
        assert (figures.peak_memory_bytes, figures.temperature_max_c) == (4 * GIB, 60)
        assert (figures.utilization_mean, figures.utilization_max) == (55.0, 90.0)
        assert (figures.energy_j, figures.throttled) == (300.0, False)
        assert figures.by_device == {"GPU-1": (90.0, 200.0), "GPU-2": (20.0, 100.0)}

    def test_a_sum_needs_all_of_its_parts(self) -> None:
        """A device that tells no energy makes that of all unknown."""
        devices = {"GPU-1": Levels(), "GPU-2": Levels()}
        totals = Totals().plus(energy(0.0, 0.0), energy(1.0, 100.0), Observation(devices=devices), began=0.0)
        assert totals.figures(1.0).energy_j is None
        assert totals.figures(1.0).by_device == {"GPU-1": (None, 100.0), "GPU-2": (None, None)}

    def test_processor_time_is_per_cent_of_a_core(self) -> None:
        """So it may be above 100."""
        before, after = Counters(cpu=Count(0.0, total=10.0)), Counters(cpu=Count(2.0, total=15.0))
        assert Totals().plus(before, after, Observation(), began=0.0).figures(2.0).cpu_percent == 250.0

    def test_waiting_for_a_processor_is_per_cent_of_the_time(self) -> None:
        """What was before the attempt is not in it; two clocks may differ a little."""
        before, after = (
            Counters(cpu_pressure=Count(moment, total=waited)) for moment, waited in ((1.0, 3.0), (5.0, 4.0))
        )
        assert Totals().plus(before, after, Observation(), began=3.0).figures(2.0).cpu_pressure_percent == 25.0
        after = Counters(cpu_pressure=Count(5.0, total=7.1))
        assert Totals().plus(before, after, Observation(), began=3.0).figures(2.0).cpu_pressure_percent == 100.0


class TestRecord:
    """What goes into a record is strict JSON by the report's names."""

    def test_nothing_measured(self) -> None:
        """Null, never 0; without devices there is no word of them."""
        assert Figures().to_record() == NOTHING

    def test_everything_measured(self) -> None:
        """Rounded to what means something."""
        figures = Figures(
            peak_memory_bytes=3 * GIB,
            utilization_mean=200 / 3,
            utilization_max=90.0,
            energy_j=100.12345,
            temperature_max_c=70,
            throttled=True,
            foreign_pids=(7, 5),
            cpu_percent=99.96,
            rss_peak_bytes=500,
            cpu_pressure_percent=12.345,
            by_device={"GPU-1": (200 / 3, 100.12345), "GPU-2": (None, None)},
        )
        record = figures.to_record()
        assert json.loads(json.dumps(record, allow_nan=False)) == {
            "peak_memory_bytes": 3 * GIB,
            "utilization_mean": 66.67,
            "utilization_max": 90.0,
            "energy_j": 100.123,
            "temperature_max_c": 70,
            "throttled": True,
            "foreign_pids": [5, 7],
            "cpu_percent": 100.0,
            "rss_peak_bytes": 500,
            "cpu_pressure_percent": 12.3,
            "devices": {
                "GPU-1": {"utilization_mean": 66.67, "energy_j": 100.123},
                "GPU-2": {"utilization_mean": None, "energy_j": None},
            },
        }

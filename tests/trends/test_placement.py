"""The placement check: a bad card is found, and neither chance nor a change of the code is taken for one."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest

from pytest_gpupool.trends import placement
from pytest_gpupool.trends.outliers import student_p_value
from pytest_gpupool.trends.placement import Finding, Observation, findings, from_report, sentence, to_report

Draw = Callable[[random.Random], float]
Effect = Callable[[int, str, str, int], float]
"""The factor on a device, in a test, of a metric, in a run."""

IDS = [f"GPU-{number}a5c0000-1111-4000-8000-00000000000{number}" for number in range(8)]
LABELS = {id: f"GPU {number}" for number, id in enumerate(IDS)}
UNITS = {"time_s": "s", "rate": "GB/s", "accuracy": "", "step_s": "s"}

NORMAL: Draw = lambda chance: chance.gauss(10, 0.1)  # noqa: E731
SAME: Draw = lambda _: 0.913  # noqa: E731

CHANCES: dict[str, Draw] = {
    "normal": NORMAL,
    "Student's t, 3 degrees of freedom": lambda chance: (
        10 + 0.1 * chance.gauss(0, 1) / math.sqrt(chance.gammavariate(1.5, 2) / 3)
    ),
    "Cauchy": lambda chance: 10 + 0.1 * math.tan(math.pi * (chance.random() - 0.5)),
    "skewed": lambda chance: 10 + 0.1 * math.exp(chance.gauss(0, 1.5)),
    "two modes": lambda chance: chance.choice((10, 15)) + 0.001 * chance.random(),
    "of a coin": lambda chance: float(chance.random() < 0.5),
    "of ten items": lambda chance: sum(chance.random() < 0.8 for _ in range(10)) / 10,
    "always the same": SAME,
}


def one(device: int, run: int, value: float, /, **more: str) -> Observation:
    told = {
        "test": "t.py::test_a",
        "metric": "time_s",
        "unit": "s",
        "device": IDS[device],
        "device_name": "NVIDIA H200",
    }
    return Observation(value=value, run=f"run-{run:03}", **told | more)


def series(devices: str, values: Sequence[float], **more: str) -> list[Observation]:
    """One value per run: ``devices`` has a digit for each, the device that it ran on."""
    return [
        one(int(device), run, value, **more)
        for run, (device, value) in enumerate(zip(devices, values, strict=True))
        if device != " "
    ]


def measured(
    draw: Draw,
    *,
    seed: int,
    tests: int = 60,
    devices: int = 8,
    runs: int = 20,
    each: bool = False,
    effect: Effect = lambda *_: 1.0,
) -> Iterator[Observation]:
    """What runs measure whose tests land on any device, or on each; every metric of a test has a level of its own."""
    chance = random.Random(seed)
    for run in range(runs):
        for test in range(tests):
            for device in range(devices) if each else [chance.randrange(devices)]:
                for number, (metric, unit) in enumerate(UNITS.items()):
                    level = math.exp(random.Random(test * 10 + number).gauss(0, 2))
                    value = level * draw(chance) * effect(device, f"test_{test}", metric, run)
                    yield one(device, run, value, test=f"t.py::test_{test}", metric=metric, unit=unit)


def told(observations: Iterator[Observation] | Sequence[Observation]) -> list[tuple[str | None, str | None, str]]:
    """The findings: test, metric, device."""
    return [
        (found.test and found.test.removeprefix("t.py::"), found.metric, LABELS[found.device])
        for found in findings(observations)
    ]


class TestNothing:
    """What is no finding."""

    @pytest.mark.parametrize("draw", CHANCES.values(), ids=CHANCES)
    @pytest.mark.parametrize(
        "shape",
        [{"devices": 8, "runs": 20}, {"devices": 2, "runs": 8}, {"devices": 8, "runs": 3, "each": True, "tests": 30}],
        ids=["8 devices", "2 devices", "each"],
    )
    def test_chance(self, draw: Draw, shape: dict[str, int]) -> None:
        """However the values of 60 tests with 4 metrics are spread, hardly any of them is taken for a card's fault."""
        assert len(told(measured(draw, seed=1, **shape))) <= 1  # type: ignore[arg-type]

    @pytest.mark.parametrize("seed", range(3))
    def test_a_hundred_tests(self, seed: int) -> None:
        """With four metrics on eight devices, 20 runs, normal or with heavy tails."""
        for draw in (NORMAL, CHANCES["Cauchy"]):
            assert told(measured(draw, seed=seed, tests=100)) == []

    @pytest.mark.parametrize("draw", [NORMAL, SAME], ids=["spread", "exact"])
    @pytest.mark.parametrize("devices", [2, 8])
    def test_a_change_of_the_code(self, draw: Draw, devices: int) -> None:
        """From one run on all, or some, or one of the tests are slower: on every card."""
        for slower in (lambda test: True, lambda test: test < "test_3", lambda test: test == "test_7"):
            effect: Effect = lambda _, test, metric, run: 1.3 if run >= 4 and slower(test) else 1.0  # noqa: B023, E731
            assert told(measured(draw, seed=2, devices=devices, runs=9, effect=effect)) == []

    @pytest.mark.parametrize("devices", ["000111", "111000", "0001111111", "00 0 1 11", "0111100", "1000111111111"])
    def test_a_card_that_came_with_the_change(self, devices: str) -> None:
        """One card before, another one after: nothing tells the card from the code, nor one run that is off."""
        values = [1.0 if run < 3 else 2.0 for run in range(len(devices))]
        assert told(series(devices, values)) == []

    def test_a_card_that_was_tried_before_the_change(self) -> None:
        """Again and again, and was no worse then than what varies anyway."""
        devices = "10101" + "0" * 25 + "1" * 30
        values = [(1.0 if run < 30 else 2.0) + 0.001 * (device == "1") for run, device in enumerate(devices)]
        assert told(series(devices, values)) == []

    def test_a_code_that_came_and_went(self) -> None:
        """While just one card was used."""
        assert told(series("0001111000", [1, 1, 1, 2, 2, 2, 2, 1, 1, 1])) == []

    def test_a_slow_day(self) -> None:
        """All cards are slower in some of the runs."""
        effect: Effect = lambda _, test, metric, run: 1 + 0.2 * (run % 3 == 0)  # noqa: E731
        assert told(measured(NORMAL, seed=3, effect=effect)) == []

    def test_cards_that_differ_a_little(self) -> None:
        """No two are quite the same; by test that may be beyond the spread, as a whole it is none that stands out."""
        offs = (0.006, -0.006, 0, 0.003, 0.005, -0.004, 0.008, -0.005)
        effect: Effect = lambda device, test, metric, run: 1 + offs[device]  # noqa: E731
        assert told(measured(NORMAL, seed=4, effect=effect)) == []

    def test_what_is_certain_but_small(self) -> None:
        """Hundreds of values tell two cards apart that differ by two standard deviations: that is within the spread."""
        effect: Effect = lambda device, test, metric, run: 1.02 if device == 1 and test == "test_0" else 1.0  # noqa: E731
        assert told(measured(NORMAL, seed=5, tests=4, devices=2, runs=100, each=True, effect=effect)) == []

    def test_a_unit_as_a_whole_within_a_percent(self) -> None:
        """Certain as it is, nobody exchanges a card for 0.7 %."""
        effect: Effect = lambda device, *_: 1.007 if device == 3 else 1.0  # noqa: E731
        assert told(measured(NORMAL, seed=5, runs=4, each=True, effect=effect)) == []

    def test_wild_values(self) -> None:
        """Two on cards that have no other do not make the rest look better."""
        values = {0: [9.5, 9.49, 9.62, 9.53, 9.66], 1: [9.5, 9.5], 2: [9.59, 9.53, 9.76, 9.55, 9.65], 3: [9.55, 9.78]}
        wild = {4: [16.1], 5: [13.1], 6: [12.2]}
        pairs = [(device, value) for device, own in (values | wild).items() for value in own]
        random.Random(2).shuffle(pairs)
        assert told([one(device, run, value) for run, (device, value) in enumerate(pairs)]) == []

    def test_what_is_left_beside_a_bad_card(self) -> None:
        """Two cards, on one of which there are too few values to say that they differ."""
        values = {"0": 1.0, "1": 1.1, "3": 9.0}
        devices = "031030130330"
        assert told(series(devices, [values[device] for device in devices])) == [("test_a", "time_s", "GPU 3")]

    @pytest.mark.parametrize(
        "more",
        [
            [{"device": "cpu:0"}, {"device": "cpu:1"}],
            [{"device_name": "NVIDIA H200"}, {"device_name": "NVIDIA T4"}],
            [{"unit": "s"}, {"unit": "ms"}],
            [{"test": "t.py::test_a"}, {"test": "t.py::test_b"}],
            [{"metric": "a"}, {"metric": "b"}],
        ],
        ids=["CPU slots", "kinds", "units", "tests", "metrics"],
    )
    def test_what_is_not_compared(self, more: list[dict[str, str]]) -> None:
        """CPU slots, and what is not the same thing on the same kind of device."""
        assert told([one(run % 2, run, 1 + run % 2, **more[run % 2]) for run in range(20)]) == []

    @pytest.mark.parametrize("devices", ["0101", "010", "0000001", "0", "", "00000", "01010 "])
    def test_too_few(self, devices: str) -> None:
        """Three values on either side are the least."""
        assert told(series(devices, [1.0 + (device == "1") for device in devices])) == []

    @pytest.mark.parametrize("size", [0.0, 1.0, 5e-324, 1e308, -1e308])
    def test_the_noise_of_floating_point(self, size: float) -> None:
        """Sums in another order are no difference; nor do the largest numbers or the smallest ones harm."""
        assert told(series("0101010101", [size, size * (1 - 1e-12)] * 5)) == []


class TestFound:
    """A bad card."""

    def test_by_one_test(self) -> None:
        """Values, the spread on one device, and over how many runs."""
        values = [12.3, 10.1, 10.2, 12.4, 10.0, 10.1, 12.5, 10.2, 10.0, 10.1, 12.4, 10.1]
        (found,) = findings(series("312302312032", values))
        assert (found.test, found.metric, found.unit) == ("t.py::test_a", "time_s", "s")
        assert (found.device, found.device_name, found.other, found.runs) == (IDS[3], "NVIDIA H200", None, 12)
        assert found.value == pytest.approx(12.4)
        assert found.others == pytest.approx(10.1)
        assert found.spread == pytest.approx(0.1, rel=0.3)

    @pytest.mark.parametrize("seed", range(3))
    def test_one_metric_among_many(self, seed: int) -> None:
        """Of 240, on one of eight cards: where every worker runs every test three runs are enough."""
        effect: Effect = lambda device, test, metric, run: (  # noqa: E731
            1.2 if (device, test, metric) == (3, "test_7", "rate") else 1.0
        )
        assert told(measured(NORMAL, seed=seed, runs=3, each=True, tests=40, effect=effect)) == [
            ("test_7", "rate", "GPU 3")
        ]

    def test_what_is_always_the_same(self) -> None:
        """Any difference counts, in the sixth digit too, after three values on each side."""
        good, bad = 0.913001, 0.913004
        (found,) = findings(series("0102101", [good, bad, good, good, bad, good, bad]))
        assert (found.device, found.spread) == (IDS[1], 0.0)
        assert sentence(found, LABELS) == (
            "test_a time_s on GPU 1 (GPU-1a5c0000…): 0.913004 s, on the others 0.913001 s (spread 0 s over 7 runs): "
            "a bad card?"
        )

    def test_no_spread_is_none(self) -> None:
        """Though the mean of 0.2, 0.2 and 0.2 is 0.20000000000000004."""
        (found,) = findings(series("0102101", [0.2, 1.0, 0.2, 0.2, 1.0, 0.2, 1.0]))
        assert found.spread == 0.0

    def test_of_two_cards_either_may_be_bad(self) -> None:
        """One finding that names both."""
        (found,) = findings(series("010101", [1.0, 2.0] * 3))
        assert (found.device, found.other) == (IDS[0], IDS[1])
        assert sentence(found, LABELS) == (
            "test_a time_s on GPU 0 (GPU-0a5c0000…): 1 s, on GPU 1 (GPU-1a5c0000…) 2 s (spread 0 s over 6 runs): "
            "one of the two may be a bad card"
        )

    def test_in_spite_of_a_change_of_the_code(self) -> None:
        """The card is slower before and after it."""
        values = [2.0 if device == "3" else 1.0 for device in "301302310320"]
        slower = [value * (1.2 if run >= 6 else 1) for run, value in enumerate(values)]
        noisy = [value * (1 + 0.01 * (run % 3)) for run, value in enumerate(slower)]
        assert told(series("301302310320", noisy)) == [("test_a", "time_s", "GPU 3")]

    def test_numbers_at_the_ends_of_the_scale(self) -> None:
        """A factor that no float can hold is a large one."""
        observations = [
            one(device, run, 1e297 if device == 3 else 1e-15, metric=f"m{number}")
            for run in range(3)
            for device in (1, 2, 3)
            for number in range(5)
        ]
        found = findings(observations)
        assert [one.device for one in found] == [IDS[3]] * 6
        assert all(math.isfinite(one.value) for one in found)

    def test_two_bad_cards(self) -> None:
        """Each is told, and no good one."""
        effect: Effect = lambda device, test, metric, run: (  # noqa: E731
            {2: 1.5, 5: 1.3}.get(device, 1.0) if test == "test_0" and metric == "time_s" else 1.0
        )
        assert told(measured(NORMAL, seed=5, tests=1, runs=4, each=True, effect=effect)) == [
            ("test_0", "time_s", "GPU 2"), ("test_0", "time_s", "GPU 5"),
        ]  # fmt: skip

    def test_a_bad_card_with_few_values_accuses_no_other(self) -> None:
        """Two values on it are too few, and do not make the others look better."""
        values = {"0": 1.0, "1": 1.001, "2": 0.999, "3": 2.0}
        devices = "01203120120120"
        assert told(series(devices, [values[device] for device in devices])) == []

    def test_by_all_metrics_of_a_unit(self) -> None:
        """A card that is 5 % slow in all that is timed: each test has too few values, together they are enough."""
        effect: Effect = lambda device, test, metric, run: 1.05 if device == 3 and metric.endswith("_s") else 1.0  # noqa: E731
        (found,) = findings(measured(NORMAL, seed=6, runs=6, effect=effect))
        assert (found.test, found.metric, found.unit, found.device, found.others) == (None, None, "s", IDS[3], 1.0)
        assert found.value == pytest.approx(1.05, abs=0.01)
        assert found.runs == 6
        assert found.metrics is not None
        assert found.metrics > 50
        assert found.agree is not None
        assert found.agree > 0.9 * found.metrics
        assert sentence(found, LABELS) == (
            f"GPU 3 (GPU-3a5c0000…) is {found.value - 1:.1%} slower than the others in {found.agree} of "
            f"{found.metrics} metrics in s (over 6 runs): a bad card?"
        )

    def test_in_spite_of_slow_days(self) -> None:
        """All cards are 20 % slower in every other run, that one 25 %."""
        effect: Effect = lambda device, test, metric, run: (1 + 0.2 * (run % 2)) * (1.05 if device == 3 else 1.0)  # noqa: E731
        found = findings(measured(NORMAL, seed=6, runs=6, effect=effect))
        assert {(one.unit, one.device) for one in found if one.test is None} == {
            (unit, IDS[3]) for unit in ("s", "GB/s", "")
        }

    def test_some_metrics_are_not_all(self) -> None:
        """A card that is slow in 12 of 20 tests is told by these, not as a whole."""
        slow = {f"test_{number}" for number in range(12)}
        effect: Effect = lambda device, test, *_: 1.2 if device == 3 and test in slow else 1.0  # noqa: E731
        found = findings(measured(NORMAL, seed=6, runs=4, tests=20, each=True, effect=effect))
        assert len(found) == 12 * len(UNITS)
        assert {(one.test is None, one.device) for one in found} == {(False, IDS[3])}

    def test_what_is_found_by_unit_comes_first(self) -> None:
        """Then by test, the largest difference first."""
        effect: Effect = lambda device, test, metric, run: (  # noqa: E731
            1 + 0.1 * (device == 3 and metric == "rate") * (1 + (test == "test_4"))
        )
        found = findings(measured(NORMAL, seed=7, runs=4, each=True, tests=10, effect=effect))
        assert [one.test for one in found[:2]] == [None, "t.py::test_4"]
        assert len(found) == 11
        assert {one.device for one in found} == {IDS[3]}
        sizes = [one.value / one.others for one in found[1:]]
        assert all(first >= second for first, second in pairwise(sizes))
        assert "% higher than the others in 10 of 10 metrics in GB/s (over 4 runs)" in sentence(found[0], LABELS)

    def test_the_order_of_observations_is_of_no_matter(self) -> None:
        """They come by run, test or metric."""
        slow: Effect = lambda device, *_: 1 + (device == 2)  # noqa: E731
        observations = list(measured(NORMAL, seed=8, runs=4, each=True, tests=8, effect=slow))
        expected = findings(observations)
        random.Random(1).shuffle(observations)
        assert len(expected) == 3 + 8 * len(UNITS)
        assert sorted(map(str, findings(observations))) == sorted(map(str, expected))


class TestWords:
    """What people and programs read."""

    FINDING = Finding(
        test="evals/test_a.py::test_train[a]", metric="time_s", unit="s", device=IDS[3], device_name="NVIDIA H200",
        value=12.4, others=10.1, spread=0.1, runs=9,
    )  # fmt: skip

    def test_a_line(self) -> None:
        """The example of the documentation."""
        assert sentence(self.FINDING, LABELS) == (
            "test_train[a] time_s on GPU 3 (GPU-3a5c0000…): 12.4 s, on the others 10.1 s (spread 0.1 s over 9 runs): "
            "a bad card?"
        )

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ({}, "time_s on GPU-3a5c0000-1111-4000-8000-000000000003: "),
            ({IDS[3]: "MIG-41f4 on GPU 0"}, "time_s on MIG-41f4 on GPU 0 (GPU-3a5c0000…): "),
            ({IDS[3]: f"{IDS[3][:12]} on GPU 0"}, "time_s on GPU-3a5c0000 on GPU 0: "),
        ],
    )
    def test_a_device_is_named_once(self, labels: dict[str, str], words: str) -> None:
        """By its label and the beginning of its id, or the whole id where it has no label."""
        assert words in sentence(self.FINDING, labels)

    @pytest.mark.parametrize(
        ("unit", "value", "words"),
        [
            ("s", 1.05, "is 5.0% slower than the others in 40 of 42 metrics in s"),
            ("ms", 0.9, "is 10.0% faster than"),
            ("GB/s", 0.5, "is 50.0% lower than the others in 40 of 42 metrics in GB/s"),
            ("", 1.5, "is 50.0% higher than the others in 40 of 42 metrics without a unit"),
        ],
    )
    def test_of_a_unit(self, unit: str, value: float, words: str) -> None:
        """Times are slower or faster, anything else is higher or lower."""
        found = Finding(
            test=None, metric=None, unit=unit, device=IDS[3], device_name="NVIDIA H200", value=value, others=1.0,
            spread=0.01, runs=12, metrics=42, agree=40,
        )  # fmt: skip
        assert words in sentence(found, LABELS)

    def test_of_many_a_few_have_lines(self) -> None:
        """Not the tests of a card that is bad as a whole; how many more there are is told."""
        slow = {(3, f"test_{number}", "rate") for number in range(12)}
        slow |= {(5, f"test_{number}", "accuracy") for number in (1, 10, 11)}
        effect: Effect = lambda *place: 1.2 if place[:3] in slow else 1.0  # noqa: E731
        found = findings(measured(NORMAL, seed=7, runs=4, each=True, tests=12, effect=effect))
        assert len(found) == 1 + 12 + 3
        first, *rest = placement.sentences(found, LABELS)
        assert first.startswith("GPU 3 (GPU-3a5c0000…) is ")
        assert [line.partition(":")[0] for line in rest[:-1]] == [
            f"{found.test} accuracy on GPU 5 (GPU-5a5c0000…)".removeprefix("t.py::")
            for found in found
            if found.metric == "accuracy"
        ]
        assert rest[-1] == "12 more metrics of tests differ by device"
        assert placement.sentences(found, LABELS, most=1)[1:] == ["15 more metrics of tests differ by device"]
        assert placement.sentences([self.FINDING], LABELS) == [sentence(self.FINDING, LABELS)]
        assert placement.sentences([], LABELS) == []

    def test_of_a_report(self) -> None:
        """Strict JSON, and back again; what says nothing is left out."""
        assert to_report(self.FINDING) == {
            "test": "evals/test_a.py::test_train[a]", "metric": "time_s", "unit": "s", "device": IDS[3],
            "device_name": "NVIDIA H200", "value": 12.4, "others": 10.1, "spread": 0.1, "runs": 9,
        }  # fmt: skip
        for found in (self.FINDING, *findings(series("010101", [1.0, 2.0] * 3))):
            assert from_report(json.loads(json.dumps(to_report(found), allow_nan=False))) == found


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [
        (12.7062, 1, 0.05), (4.3027, 2, 0.05), (3.1824, 3, 0.05), (2.7764, 4, 0.05), (2.2281, 10, 0.05),
        (2.0423, 30, 0.05), (63.6567, 1, 0.01), (4.0321, 5, 0.01), (3.1693, 10, 0.01), (1.9840, 100, 0.05), (0, 7, 1.0),
    ],
)  # fmt: skip
def test_students_t(t: float, freedom: int, p: float) -> None:
    """As in the usual tables, two-sided."""
    assert student_p_value(t, freedom) == pytest.approx(p, rel=2e-4)
    assert student_p_value(-t, freedom) == student_p_value(t, freedom)

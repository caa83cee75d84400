"""How often the decision over a whole run is wrong: false alarms per suite, and the power to find a true change.

    python benchmarks/calibration.py [--suites 300] [--seed 1]

Everything goes through ``decide``, as in a run. A suite has 100 or 1,000 metrics, a baseline of 1 to 20 accepted runs
and one new run of the same model, in which, for the power, the first metric of every ten is worse. Accuracies have
n = 1319 items (as GSM8K) and fall by 3 points; times grow by 10 %. ``repeats`` are measurements that are pooled.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_gpupool.metrics.metric import Metric, make
from pytest_gpupool.values.verdicts import ERROR
from pytest_gpupool.verdicts.baseline import Baseline, Entry
from pytest_gpupool.verdicts.chance.cohort import Measurement
from pytest_gpupool.verdicts.decide import Evidence, Policy, decide

ITEMS = 1319
DROP = 0.03
SLOWER = 1.10
DEVICE = "CPU"

Draw = Callable[[np.random.Generator, bool], tuple[Metric, list[Measurement]]]
"""Makes a metric of a new run, worse or not, and its accepted runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What was seen: the share of unchanged suites that were red, and of worse metrics that were found."""

    red: float
    found: float
    suites: int

    def text(self) -> str:
        """Return both in percent."""
        return f"{100 * self.red:9.1f} {100 * self.found:9.1f}"


def rates(draw: Draw, *, metrics: int, suites: int, seed: int, error: float = ERROR) -> Rates:
    """Return what was seen in so many suites of so many metrics."""
    random = np.random.default_rng(seed)
    red = found = worse = 0
    for _ in range(suites):
        unchanged = _regressed(draw, random, [False] * metrics, error)
        red += any(unchanged)
        # Few are worse: what is rejected first makes the rest easier by Holm's rule, which is not to be shown here.
        changed = [number == 0 for number in range(metrics)]
        found += _regressed(draw, random, changed, error)[0]
        worse += 1
    return Rates(red=red / suites, found=found / worse, suites=suites)


def _regressed(draw: Draw, random: np.random.Generator, worse: Sequence[bool], error: float) -> list[bool]:
    evidence, entries = [], []
    for number, is_worse in enumerate(worse):
        metric, runs = draw(random, is_worse)
        test = f"test_{number}"
        evidence.append(Evidence(test=test, metric=metric, device=DEVICE))
        first, *later = runs
        entries.append(
            Entry(
                test=test,
                metric=metric.name,
                device=DEVICE,
                value=first.value,
                n=first.n,
                samples=first.samples,
                later=tuple(later),
            )
        )
    decisions = decide(evidence, Baseline(tuple(entries)), Policy(error=error))
    return [decision.verdict == "regressed" for decision in decisions]


def accuracy(p: float, *, cohort: int, repeats: int = 1) -> Draw:
    """Return what draws accuracies of items that are new ones each time: nothing but ``n`` is known of them."""

    def draw(random: np.random.Generator, is_worse: bool) -> tuple[Metric, list[Measurement]]:
        new = random.binomial(ITEMS, p - DROP * is_worse, size=repeats) / ITEMS
        old = random.binomial(ITEMS, p, size=cohort) / ITEMS
        several = list(new) if repeats > 1 else None
        metric = make(
            "accuracy",
            float(new.mean()),
            kind="proportion",
            higher_is_better=True,
            n=ITEMS,
            repeats=several,
        )
        return metric, [Measurement(value=float(one), n=ITEMS) for one in old]

    return draw


def same_items(p: float, *, flips: float, cohort: int) -> Draw:
    """Return what draws accuracies over the same items, of which a share flips between any two runs."""

    def draw(random: np.random.Generator, is_worse: bool) -> tuple[Metric, list[Measurement]]:
        # An item that is right half of the time flips in half of the pairs of runs.
        chances = np.where(random.random(ITEMS) < 2 * flips, 0.5, (random.random(ITEMS) < p).astype(float))
        now = chances * (random.random(ITEMS) >= DROP / p) if is_worse else chances
        new, *old = ((random.random(ITEMS) < one).astype(float) for one in (now, *[chances] * cohort))
        metric = make("accuracy", float(new.mean()), higher_is_better=True, samples=new.tolist())
        runs = [Measurement(value=float(one.mean()), n=ITEMS, samples=tuple(one.tolist())) for one in old]
        return metric, runs

    return draw


def time(noise: float, *, cohort: int) -> Draw:
    """Return what draws times with so much noise between runs, relative to them."""

    def draw(random: np.random.Generator, is_worse: bool) -> tuple[Metric, list[Measurement]]:
        new, *old = 12.0 * np.exp(noise * random.standard_normal(1 + cohort))
        value = float(new) * (SLOWER if is_worse else 1.0)
        metric = make("latency", value, unit="ms", higher_is_better=False)
        return metric, [Measurement(value=float(one)) for one in old]

    return draw


COHORTS = (1, 5, 10, 20)
CHANCES = (0.3, 0.5, 0.8, 0.95)


def tables(*, suites: int, seed: int) -> Iterator[str]:
    """Yield the lines of all tables."""
    yield f"{'case':48} {'cohort':>6} {'metrics':>7} {'suites':>6}     red % found %"
    for name, cohort, metrics, count, draw in _cases(suites):
        found = rates(draw, metrics=metrics, suites=count, seed=seed)
        yield f"{name:48} {cohort:6} {metrics:7} {count:6} {found.text()}"


def _cases(suites: int) -> Iterator[tuple[str, int, int, int, Draw]]:
    for p in CHANCES:
        for cohort in COHORTS:
            yield f"accuracy {p}, n = {ITEMS}, other items", cohort, 100, suites, accuracy(p, cohort=cohort)
        yield f"accuracy {p}, other items", 5, 1000, max(1, suites // 10), accuracy(p, cohort=5)
        yield f"accuracy {p}, other items, repeats=5", 20, 100, suites, accuracy(p, cohort=20, repeats=5)
        yield f"accuracy {p}, other items, repeats=10", 20, 100, suites, accuracy(p, cohort=20, repeats=10)
        for flips in (0.01, 0.11):
            for cohort in COHORTS:
                draw = same_items(p, flips=flips, cohort=cohort)
                yield f"accuracy {p}, same items, {100 * flips:.0f} % flip", cohort, 100, max(1, suites // 3), draw
    for noise in (0.01, 0.03, 0.1):
        for cohort in COHORTS:
            yield f"time, {100 * noise:.0f} % noise, 10 % slower", cohort, 100, suites, time(noise, cohort=cohort)
        yield f"time, {100 * noise:.0f} % noise", 20, 1000, max(1, suites // 10), time(noise, cohort=20)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=300, help="how many suites of 100 metrics there are of each case")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for line in tables(suites=args.suites, seed=args.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()

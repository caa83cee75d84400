"""How often the decision over a whole run is wrong: false alarms per suite, and the power to find a true change.

    python benchmarks/calibration.py [--suites 300] [--seed 1] [--confirm 4 9] [--only TEXT] [--cohort 1 5 10 20]

Everything goes through ``decide``, as in a run. A suite has 100 or 1,000 metrics, a baseline of 1 to 20 accepted runs
and one new run of the same model, in which, for the power, the first metric is worse. Accuracies have n = 1319 items
(as GSM8K) and fall by 3 points; times grow by 10 %. Each case is shown without and with confirmation: then what
``is_suspect`` marks is measured again, as a run does, and the last column says how many more measurements that took, in
percent of the suite's. Where a metric is judged by its own items alone, the worse one is a suite by itself, at its even
part of the error: Holm's first step, and 100 times as quick. ``common`` is the share of a time's noise that all
attempts of one run have in common: a slow host, the hour of the day. A share of n trials has a standard error of
sqrt(share (1 - share) / n): 2.8 points for 80 % of 200.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_gpupool.metrics.metric import Metric, make
from pytest_gpupool.values.verdicts import ERROR
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry
from pytest_gpupool.verdicts.case import Evidence
from pytest_gpupool.verdicts.chance.cohort import Measurement
from pytest_gpupool.verdicts.decide import Policy, decide, is_suspect, known_noise

ITEMS = 1319
DROP = 0.03
SLOWER = 1.10
DEVICE = "CPU"
CONFIRM = 4
ALONE = 20

Measure = Callable[[], Metric]
"""Measures a metric of the new run, once more each time."""

Draw = Callable[[np.random.Generator, bool], tuple[Measure, list[Measurement]]]
"""Makes a metric of a new run, worse or not, and its accepted runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What was seen: the share of unchanged suites that were red, and of worse metrics that were found.

    ``again`` is how many measurements more there were for each metric of an unchanged suite.
    """

    red: float
    found: float
    again: float
    suites: int

    def text(self) -> str:
        """Return all in percent."""
        return f"{100 * self.red:7.1f} {100 * self.found:7.1f} {100 * self.again:7.1f}"


def rates(
    draw: Draw, *, metrics: int, suites: int, seed: int, error: float = ERROR, confirm: int = 0, alone: int = 0
) -> Rates:
    """Return what was seen in so many suites of so many metrics, each measured again up to ``confirm`` times.

    The worse metric is one of the suite's, or ``alone``, so many times for each suite, where no other one matters.
    """
    random = np.random.default_rng(seed)
    red = again = 0
    found = 0.0
    for _ in range(suites):
        unchanged, more = _regressed(draw, random, [False] * metrics, error, confirm)
        red += any(unchanged)
        again += more
        # Few are worse: what is rejected first makes the rest easier by Holm's rule, which is not to be shown here.
        if alone:
            worse = (_regressed(draw, random, [True], error / metrics, confirm)[0][0] for _ in range(alone))
            found += sum(worse) / alone
        else:
            changed, _ = _regressed(draw, random, [number == 0 for number in range(metrics)], error, confirm)
            found += changed[0]
    return Rates(red=red / suites, found=found / suites, again=again / suites / metrics, suites=suites)


def _regressed(
    draw: Draw, random: np.random.Generator, worse: Sequence[bool], error: float, confirm: int
) -> tuple[list[bool], int]:
    measured, entries = [], []
    for number, is_worse in enumerate(worse):
        measure, runs = draw(random, is_worse)
        metric, test = measure(), f"test_{number}"
        measured.append((measure, Evidence(test=test, metric=metric, device=DEVICE)))
        first, *later = runs
        entries.append(
            Entry(
                test=test,
                metric=metric.name,
                device=DEVICE,
                value=first.value,
                n=first.n,
                unit=metric.unit,
                samples=first.samples,
                later=tuple(later),
            )
        )
    baseline, policy = Baseline(tuple(entries)), Policy(error=error)
    evidence, again = [], 0
    noise = known_noise(baseline)
    for measure, one in measured:
        for _ in range(confirm):
            if not is_suspect(one, baseline, policy, noise):
                break
            again += 1
            one = replace(one, attempts=(*(one.attempts or (one.metric,)), measure()))  # noqa: PLW2901
        evidence.append(one)
    return [decision.verdict == "regressed" for decision in decide(evidence, baseline, policy)], again


def accuracy(p: float, *, cohort: int) -> Draw:
    """Return what draws accuracies of items that are new ones each time: nothing but ``n`` is known of them."""

    def draw(random: np.random.Generator, is_worse: bool) -> tuple[Measure, list[Measurement]]:
        def measure() -> Metric:
            right = int(random.binomial(ITEMS, p - DROP * is_worse))
            return make("accuracy", right / ITEMS, kind="proportion", higher_is_better=True, n=ITEMS)

        old = random.binomial(ITEMS, p, size=cohort) / ITEMS
        return measure, [Measurement(value=float(one), n=ITEMS) for one in old]

    return draw


def same_items(p: float, *, flips: float, cohort: int) -> Draw:
    """Return what draws accuracies over the same items, of which a share flips between any two runs."""

    def draw(random: np.random.Generator, is_worse: bool) -> tuple[Measure, list[Measurement]]:
        # An item that is right half of the time flips in half of the pairs of runs.
        chances = np.where(random.random(ITEMS) < 2 * flips, 0.5, (random.random(ITEMS) < p).astype(float))
        now = chances * (random.random(ITEMS) >= DROP / p) if is_worse else chances

        def measure() -> Metric:
            new = (random.random(ITEMS) < now).astype(float)
            return make("accuracy", float(new.mean()), higher_is_better=True, samples=new.tolist())

        old = [(random.random(ITEMS) < chances).astype(float) for _ in range(cohort)]
        runs = [Measurement(value=float(one.mean()), n=ITEMS, samples=tuple(one.tolist())) for one in old]
        return measure, runs

    return draw


def time(noise: float, *, cohort: int, common: float = 0.0) -> Draw:
    """Return what draws times with so much noise between runs, relative to them."""

    def draw(random: np.random.Generator, is_worse: bool) -> tuple[Measure, list[Measurement]]:
        shared, *old = 12.0 * np.exp(noise * random.standard_normal(1 + cohort) * [common**0.5, *[1.0] * cohort])

        def measure() -> Metric:
            own = float(np.exp(noise * (1 - common) ** 0.5 * random.standard_normal()))
            value = float(shared) * own * (SLOWER if is_worse else 1.0)
            return make("latency", value, unit="ms", higher_is_better=False)

        return measure, [Measurement(value=float(one)) for one in old]

    return draw


COHORTS = (1, 5, 10, 20)
CHANCES = (0.3, 0.5, 0.8, 0.95)


def tables(*, suites: int, seed: int, confirms: Sequence[int], only: str, cohorts: Sequence[int]) -> Iterator[str]:
    """Yield the lines of all tables: of cases whose name holds ``only``, and for so many accepted runs."""
    heads = "".join(f" | {f'with --gpupool-confirm={confirm}':23}" for confirm in confirms)
    yield f"{'case':44} {'cohort':>6} {'metrics':>7} {'suites':>6} |     once       {heads}"
    yield f"{'':44} {'':>6} {'':>7} {'':>6} |  red %  found %{' |  red %  found %  again %' * len(confirms)}"
    for name, cohort, metrics, count, draw in _cases(suites):
        if only not in name or cohort not in cohorts:
            continue
        alone = ALONE if "same items" in name else 0
        once, *more = (
            rates(draw, metrics=metrics, suites=count, seed=seed, confirm=confirm, alone=alone).text()
            for confirm in (0, *confirms)
        )
        yield " | ".join([f"{name:44} {cohort:6} {metrics:7} {count:6}", once[:15], *more])


def _cases(suites: int) -> Iterator[tuple[str, int, int, int, Draw]]:
    for p in CHANCES:
        for cohort in COHORTS:
            yield f"accuracy {p}, n = {ITEMS}, other items", cohort, 100, suites, accuracy(p, cohort=cohort)
        yield f"accuracy {p}, other items", 5, 1000, max(1, suites // 10), accuracy(p, cohort=5)
        for flips in (0.01, 0.11):
            for cohort in COHORTS:
                draw = same_items(p, flips=flips, cohort=cohort)
                yield f"accuracy {p}, same items, {100 * flips:.0f} % flip", cohort, 100, max(1, suites // 10), draw
    for noise in (0.01, 0.03, 0.1):
        for cohort in COHORTS:
            yield f"time, {100 * noise:.0f} % noise, 10 % slower", cohort, 100, suites, time(noise, cohort=cohort)
        yield f"time, {100 * noise:.0f} % noise", 20, 1000, max(1, suites // 10), time(noise, cohort=20)
    for common in (0.25, 0.5, 1.0):
        for cohort in (5, 20):
            draw = time(0.03, cohort=cohort, common=common)
            yield f"time, 3 % noise, {100 * common:.0f} % of it common", cohort, 100, suites, draw


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=300, help="how many suites of 100 metrics there are of each case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--confirm", type=int, nargs="+", default=[CONFIRM], help="how often a suspect is run again")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    parser.add_argument("--cohort", type=int, nargs="+", default=COHORTS, help="how many accepted runs there are")
    args = parser.parse_args()
    lines = tables(suites=args.suites, seed=args.seed, confirms=args.confirm, only=args.only, cohorts=args.cohort)
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()

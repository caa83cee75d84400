"""The plan of tests that share what takes long to set up, beside simpler rules, in simulated time.

    python benchmarks/families.py [--suites 1000] [--seed 0]

Each suite has tests that need one of several models; setting one up takes a time of its own, and a worker has one at a
time. Nothing else takes time, and all durations are known. Compared are the planner, longest first (which takes no
notice of set-ups), and staying put (a worker keeps to its model, then goes to the one with the most work for each
worker, where that is more than its set-up takes).

"÷ bound" is the makespan over what no plan is shorter than: the longest test with its set-up, and the shortest time in
which the tests and the set-ups that are needed at least fit on so many workers; a model whose tests take longer than
that time is needed on several of them.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import fmean

from simulate import table

from pytest_gpupool.planning.outlook.choice import chosen
from pytest_gpupool.planning.outlook.forecast import Forecast
from pytest_gpupool.planning.problem import Problem
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.values.wide_fixture import WideFixture

Family = tuple[float, Sequence[float]]
"""What a model takes to set up, and the durations of the tests that need it."""

Rule = Callable[[Sequence[Family], int], tuple[float, int]]
"""Returns the makespan on so many workers, and the number of set-ups."""


def tests_of(families: Sequence[Family]) -> tuple[list[Test], dict[str, float]]:
    """Return the tests, and what setting up takes."""
    models = [WideFixture("model", "", f"m{number}", "") for number in range(len(families))]
    each = [(model, seconds) for model, (_, durations) in zip(models, families, strict=True) for seconds in durations]
    tests = [
        Test(index=index, function="f.py::f", seconds=seconds, set_ups=(model,))
        for index, (model, seconds) in enumerate(each)
    ]
    return tests, {model.key: load for model, (load, _) in zip(models, families, strict=True)}


def planned(families: Sequence[Family], workers: int, known: Mapping[str, float] | None = None) -> tuple[float, int]:
    """The planner; ``known`` is what it thinks that set-ups take."""
    tests, costs = tests_of(families)
    problem = Problem(tests=tests, capacity=workers, asked=workers, costs=costs if known is None else known)
    run = Forecast(chosen(problem), costs=costs, tells=known is None).run()
    return run.end, len(run.builds)


def longest_first(families: Sequence[Family], workers: int) -> tuple[float, int]:
    """The planner, told that set-ups take nothing."""
    return planned(families, workers, dict.fromkeys(tests_of(families)[1], 0.0))


def staying_put(families: Sequence[Family], workers: int) -> tuple[float, int]:
    """A worker keeps to its model; of its tests the longest goes first."""
    left = [sorted(durations) for _, durations in families]
    has: list[int | None] = [None] * workers
    free = [(0.0, worker) for worker in range(workers)]
    end, set_ups = 0.0, 0
    while free:
        now, worker = heapq.heappop(free)
        model = has[worker]
        if model is None or not left[model]:
            model, has[worker] = _next_model(families, left, has, worker), None
            if model is None:
                continue
        took = left[model].pop() + (0.0 if has[worker] == model else families[model][0])
        set_ups += has[worker] != model
        has[worker] = model
        end = max(end, now + took)
        heapq.heappush(free, (now + took, worker))
    return end, set_ups


def _next_model(
    families: Sequence[Family], left: Sequence[Sequence[float]], has: Sequence[int | None], worker: int
) -> int | None:
    others = [sum(one == model for at, one in enumerate(has) if at != worker) for model in range(len(families))]
    worth = {
        model: sum(left[model]) / (others[model] + 1)
        for model, (load, _) in enumerate(families)
        if left[model] and (not others[model] or sum(left[model]) / others[model] > load)
    }
    return max(worth, key=worth.__getitem__, default=None)


def bound(families: Sequence[Family], workers: int) -> float:
    """Return what no plan is shorter than."""
    each = [(load, sum(durations), max(durations)) for load, durations in families]
    low = max(*(load + longest for load, _, longest in each), sum(load + work for load, work, _ in each) / workers)
    high = 2 * low + sum(load + work for load, work, _ in each)
    for _ in range(60):
        middle = (low + high) / 2
        if _fits(each, workers, middle):
            high = middle
        else:
            low = middle
    return low


def _fits(each: Sequence[tuple[float, float, float]], workers: int, time: float) -> bool:
    total = 0.0
    for load, work, _ in each:
        if time <= load:
            return False
        total += work + load * math.ceil(work / (time - load) - 1e-9)
    return total <= workers * time


def random_suite(dice: Random) -> tuple[list[Family], int]:
    """Return families whose set-up takes 0 to 10 times what a test takes, and a number of workers."""
    workers = dice.choice([2, 4, 8, 16])
    spread, load = dice.choice([0.1, 0.5, 1.0]), dice.choice([0.0, 0.1, 0.5, 1.0, 3.0, 10.0])
    families: list[Family] = [
        (load * dice.choice([1.0, dice.random()]), [dice.lognormvariate(0, spread) for _ in range(count)])
        for count in dice.choices([1, 2, 5, 20, 60], k=dice.randint(1, 3 * workers))
    ]
    return families, workers


def named(dice: Random) -> dict[str, tuple[list[Family], int]]:
    """Return suites as people have them."""

    def models(number: int, tasks: int) -> list[Family]:
        return [(180.0, [dice.uniform(40, 75) for _ in range(tasks)]) for _ in range(number)]

    return {
        "8 models × 60 tasks, 8 workers": (models(8, 60), 8),
        "64 models × 100 tasks, 256 workers": (models(64, 100), 256),
        "3 models × 40 tasks, 8 workers": (models(3, 40), 8),
    }


RULES: Mapping[str, Rule] = {"planner": planned, "longest first": longest_first, "staying put": staying_put}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = [["suite", "bound s", *(f"{name}, ÷ bound (set-ups)" for name in RULES)]]
    for name, (families, workers) in named(Random(given.seed)).items():
        least = bound(families, workers)
        cells = [f"{end / least:.3f} ({loads})" for end, loads in (rule(families, workers) for rule in RULES.values())]
        rows.append([name, f"{least:.0f}", *cells])
    print("\n".join(table(rows)))
    print(f"\n{given.suites} random suites, set-up 0 to 10 times a test:\n")
    print("\n".join(table(random_rows(given.suites, given.seed))))


def random_rows(count: int, seed: int) -> list[list[str]]:
    """Return the table of random suites."""
    ratios: dict[str, list[float]] = {name: [] for name in RULES}
    for number in range(count):
        families, workers = random_suite(Random(f"{seed}-{number}"))
        least = bound(families, workers)
        for name, rule in RULES.items():
            ratios[name].append(rule(families, workers)[0] / least)
    rows = [["rule", "÷ bound, mean", "longest", "planner longer by more than 2 %", "by at most"]]
    for name, found in ratios.items():
        worse = [mine / other for mine, other in zip(ratios["planner"], found, strict=True)]
        more = sum(ratio > 1.02 for ratio in worse)
        cells = ["–", "–"] if name == "planner" else [f"{more} of {count}", f"{max(worse):.3f}"]
        rows.append([name, f"{fmean(found):.3f}", f"{max(found):.2f}", *cells])
    return rows


if __name__ == "__main__":
    main()

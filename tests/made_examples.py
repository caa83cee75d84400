"""What pages show of runs that take too long for a test, made by the package's own parts from made records."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from made_advice import CARDS, GIB, given, holder, ran, setting
from made_reports import Report, a_metric, a_report, a_test

from pytest_gpupool.advice.items import Advice
from pytest_gpupool.cli.main import main
from pytest_gpupool.live.painter import Painter
from pytest_gpupool.live.run_state import Counts, Row
from pytest_gpupool.live.snapshot import Reading, Snapshot
from pytest_gpupool.reports import scaling
from pytest_gpupool.trends import speedup
from pytest_gpupool.trends.speedup import TimedRun

_IDS = [card.id for card in CARDS]
_COLUMNS = 90


def said(*arguments: str) -> str:
    """What the program gpupool prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main([*arguments])
    return out.getvalue()


def comment(directory: Path) -> str:
    """All of one model of three are worse than the day before."""
    worse = directory / "report.json"
    worse.write_text(json.dumps(_suite(0.7, id="20261121T100000Z-bbbbbb", started="2026-11-21T10:00:00.000000Z")))
    main_branch = directory / "main.json"
    main_branch.write_text(json.dumps(_suite(0.9, id="20261120T100000Z-aaaaaa", started="2026-11-20T10:00:00.000000Z")))
    return said("comment", str(worse), "--against", str(main_branch))


def _suite(medium: float, **run: object) -> Report:
    run["git"] = None
    models = ("small", "medium", "large")
    tests = [
        a_test(
            f"evals/test_qa.py::test_qa[{number}-{models[number % 3]}]",
            params={"case": number, "model": models[number % 3]},
            metrics=[a_metric("accuracy", medium if number % 3 == 1 else 0.9, higher_is_better=True)],
        )
        for number in range(24)
    ]
    return a_report(*tests, **run)


def advice(_: Path) -> str:
    """One line of each of four runs."""
    one = holder("gw0", _IDS[0])
    many = [
        ran(
            f"test_a[{n}]", at=1 + 9 * n, seconds=9, peak_memory_bytes=10 * GIB, utilization_mean=20.0, cpu_percent=50.0
        )
        for n in range(10)
    ]
    found: list[tuple[str, Mapping[str, Advice]]] = [
        ("slots", given(one, setting("cores", 64), *many)),
        ("memory", given(one, ran("test_mmlu[llama-8]", asked={"memory": 60 * GIB}, peak_memory_bytes=12 * GIB))),
        ("stage", given(one, holder("gw1", _IDS[1], idle={"stage": 20.0}), ran("test_a"))),
        ("timeout", given(one, ran("test_mmlu[llama-8]", seconds=58, asked={"timeout": 3600.0}))),
    ]
    return "".join(f"gpupool: advice: {by_kind[kind].text}\n" for kind, by_kind in found)


def live(_: Path) -> str:
    """A run of 500 tests on two GPUs goes on."""
    suite = "evals/test_mmlu.py::test_mmlu"
    metric = {"name": "accuracy", "value": 0.9137, "unit": ""}
    shown = Snapshot(
        rows=(
            Row(worker="gw0", pid=1, devices=(_IDS[0],), test=f"{suite}[llama-8b-5]", seconds=85.0, metric=metric),
            Row(worker="gw1", pid=2, devices=(_IDS[1],), test=f"{suite}[llama-70b-0]", seconds=12.0),
        ),
        counts=Counts(total=500, done=120, failed=2, running=2),
        labels={"gw0": "GPU 0", "gw1": "GPU 1"},
        readings={
            "gw0": Reading(memory=int(61.2 * GIB), utilization=98.0),
            "gw1": Reading(memory=int(3.1 * GIB), utilization=12.0),
        },
        remaining=720.0,
        end="about 14:32 (in 12 min)",
        failure=("evals/test_gsm8k.py::test_gsm8k[llama-8b]", "AssertionError: accuracy 0.2 is too low"),
    )
    return "".join(f"{line.rstrip()}\n" for line in Painter(colour=False).paint(shown, columns=_COLUMNS, lines=24))


def speedups(_: Path) -> str:
    """A suite of 40 minutes on up to eight GPUs; its 24 values are the same each time."""
    times = {1: (2400.0, 2340.0), 2: (1230.0, 1180.0), 4: (682.0, 640.0), 8: (499.0, 455.0)}
    runs = [TimedRun(asked=n, workers=n, time=time, makespan=makespan) for n, (time, makespan) in times.items()]
    metrics = [a_metric("accuracy", 0.9), a_metric("latency", 1.5, unit="s")]
    names = [f"evals/test_qa.py::test_qa[{number}]" for number in range(24)]
    tests = [a_test(name, metrics=metrics[: 1 + (number < 6)]) for number, name in enumerate(names)]
    reports = {n: a_report(*tests) for n in times}
    lines = scaling.lines(speedup.points(runs), speedup.agreement(reports), reports, verbose=False)
    return "".join(f"{line}\n" for line in [*lines, "gpupool: the chart is in .gpupool/scaling/scaling.svg"])


MADE: Mapping[str, Callable[[Path], str]] = {
    "advice": advice,
    "comment": comment,
    "live": live,
    "scaling": speedups,
}
"""By the name that a page has for it."""

"""A JSON report as a large run leaves it, for those who draw it: every outcome, verdict and kind of device."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from itertools import product
from typing import Any

from made_reports import REQUIRED, Report, a_metric, a_report, a_test

from pytest_gpupool.values.outcomes import OUTCOMES
from pytest_gpupool.values.texts import epoch, iso
from pytest_gpupool.verdicts.baselines.baseline import kind_of

BEGUN = epoch("2026-11-21T11:46:52.000000Z")
GPUS = [f"GPU-{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-000000000000" for n in range(6)]
MIGS = [f"MIG-{n}a{n}b{n}c{n}d-0000-5000-8000-000000000000" for n in (6, 7)]
MODELS = ["llama-8b", "llama-70b", "qwen-14b", "mixtral-8x7b", "gemma-9b"]
TASKS = ["mmlu", "gsm8k", "arc", "hellaswag"]
INJECTED = "evals/test_names.py::test_odd[</script><script>document.title='owned'</script>]"
ODD = "evals/test_names.py::test_odd[\u202eright-to-left \x1b[31m ünïcödé 模型 🚀]"
MESSAGE = """\
model = 'llama-70b', shots = 5

    def test_mmlu(model, shots, gpu, record_metric):
        accuracy = evaluate(model, shots, device=gpu.device)
>       assert accuracy > 0.9, "the model <b>forgot</b> & failed"
E       AssertionError: the model <b>forgot</b> & failed
E       assert 0.8812 > 0.9

evals/test_mmlu.py:14: AssertionError"""
BAD = {
    3: ("failed", MESSAGE),
    8: ("error", "E       RuntimeError: CUDA out of memory. Tried to allocate 20.00 GiB."),
    17: ("crashed", "worker gw2 crashed while it ran this test: Fatal Python error: Segmentation fault"),
    25: ("timeout", "the test took longer than its 60 s; the worker was ended"),
    31: ("skipped", "Skipped: needs bfloat16"),
    32: ("xfailed", "known: https://example.org/issue/7"),
    33: ("xpassed", None),
}  # fmt: skip


def a_run(size: int = 130, seed: int = 7) -> Report:
    """The report of a run of so many tests on six GPUs and two MIG instances; the same for the same seed."""
    chance = random.Random(seed)
    tests = list(_tests(size, chance))
    workers = _scheduled(tests, chance)
    report = a_report(exit_status=1, command="pytest -n 8 evals/ --gpupool-baseline=baseline.json")
    report["tests"], report["workers"], report["devices"] = tests, workers, _devices(tests)
    _count(report)
    report["placement"] = [
        {"test": tests[1]["nodeid"], "metric": "latency", "unit": "ms", "device": GPUS[3], "device_name": "NVIDIA H200",
         "value": 61.2, "others": 48.9, "spread": 0.8, "runs": 6},
    ]  # fmt: skip
    return report


def a_past(report: Report, runs: int = 12, seed: int = 7) -> list[dict[str, Any]]:
    """What runs before it measured; the first two on another kind of device, and with other numbers of workers."""
    chance = random.Random(seed)
    workers = [1, 2, 4, 8, 8, 6, 8, 8, 8, 4, 8, 8]
    return [_past_run(report, number, workers[number % len(workers)], chance) for number in range(runs)]


def _past_run(report: Report, number: int, workers: int, chance: random.Random) -> dict[str, Any]:
    names = {device["id"]: "NVIDIA A100" if number < 2 else device["name"] for device in report["devices"]}
    efficiency = 0.98 - 0.03 * workers - chance.uniform(0, 0.05)
    values = {
        test["nodeid"]: {
            metric["name"]: {
                "value": None if metric["value"] is None else metric["value"] * chance.gauss(1.01, 0.01),
                "unit": metric["unit"],
                "verdict": "regressed" if chance.random() < 0.05 else "ok",
                "device": kind_of([names[device] for device in test["devices"]]),
            }
            for metric in test["metrics"]
        }
        for test in report["tests"]
        if test["metrics"] and chance.random() < 0.95
    }
    return {
        "run": f"202611{number + 5:02}T094500Z-{number:06x}",
        "started": f"2026-11-{number + 5:02}T09:45:00.000000Z",
        "commit": f"{chance.getrandbits(160):040x}",
        "values": values,
        "workers": workers,
        "makespan_s": 900 / workers / efficiency,
        "speedup": workers * efficiency,
        "efficiency": efficiency,
    }


def _tests(size: int, chance: random.Random) -> Iterator[Report]:
    yield a_test(INJECTED, "failed", message="</script><img src=x onerror=alert(1)>", params={"text": "</script>"})
    yield a_test(ODD, params={"text": "\u202emodel"})
    yield a_test("evals/test_report.py::test_summary", devices=[], metrics=[a_metric("rows", 1200)])
    yield a_test("evals/test_parallel.py::test_two_gpus[2]", devices=[None, None], params={"gpus": 2})
    yield a_test("evals/test_parallel.py::test_never", "not-run")
    for number, (task, model, shots, repeat) in enumerate(
        product(TASKS, MODELS, (0, 1, 5), range(-(-size // (len(TASKS) * len(MODELS) * 3))))
    ):
        if number + 5 >= size:
            return
        yield _evaluation(number, task, model, shots, repeat, chance)


def _evaluation(number: int, task: str, model: str, shots: int, seed: int, chance: random.Random) -> Report:
    outcome, message = BAD.get(number, ("passed", None))
    took = chance.lognormvariate(1.2, 0.8)
    params = {"model": model, "shots": shots, "seed": seed}
    good = outcome in ("passed", "xpassed", "failed")
    quality = 0.55 + 0.07 * MODELS.index(model) + 0.02 * shots + chance.gauss(0, 0.01)
    return a_test(
        f"evals/test_{task}.py::test_{task}[{model}-{shots}-{seed}]",
        outcome,
        params=params,
        message=message,
        duration_s=took,
        phases={"setup_s": 0.1 * took, "call_s": 0.88 * took, "teardown_s": 0.02 * took},
        attempt=2 if outcome == "crashed" else 1,
        metrics=_metrics(number, min(quality, 0.99), chance) if good else [],
        resources=dict.fromkeys(REQUIRED["resources"]) | _resources(chance),
        **({"output": {"stdout": "loading…\nloss 0.3 <i>\n", "stderr": "warning: slow\n"}} if message else {}),
    )


def _metrics(number: int, quality: float, chance: random.Random) -> list[Report]:
    baseline = quality * (1.06 if number % 19 == 3 else 0.95 if number % 23 == 5 else chance.gauss(1, 0.002))
    change = (quality - baseline) / baseline
    verdict = "regressed" if change < -0.03 else "improved" if change > 0.03 else "ok"
    latency = 40 + 60 * (1 - quality)
    judged: dict[str, Any] = {"verdict": "contended" if number % 29 == 7 else "ok", "baseline": latency * 1.01}
    rest = {"higher_is_better": False, "unit": "ms", "change": -0.0099, "allowed": latency * 0.02}
    odd = [a_metric("loss", None)] if number == 40 else [a_metric("loss", 2.3 - quality, verdict="no-baseline")]
    return [
        a_metric("accuracy", quality, baseline=baseline, change=change, verdict=verdict, higher_is_better=True, n=1000)
        | {"allowed": 0.01, "detectable": 0.023},
        a_metric("latency", latency, **judged, **rest),
        *(odd if number % 4 == 0 else []),
    ]


def _resources(chance: random.Random) -> dict[str, Any]:
    return {
        "peak_memory_bytes": int(chance.uniform(4, 120) * 2**30),
        "torch_peak_memory_bytes": int(chance.uniform(3, 4) * 2**30),
        "utilization_mean": chance.uniform(60, 97),
        "utilization_max": 100.0,
        "energy_j": chance.uniform(300, 20_000),
        "temperature_max_c": 71.0,
        "throttled": chance.random() < 0.02,
        "foreign_pids": [815] if chance.random() < 0.02 else [],
        "cpu_percent": chance.uniform(80, 300),
        "rss_peak_bytes": int(chance.uniform(1, 8) * 2**30),
    }


def _scheduled(tests: list[Report], chance: random.Random) -> list[Report]:
    """Give each test a device, a worker and a time, the next one that is free; return the workers."""
    devices = GPUS + MIGS
    waits = [0.0, 0.0, 3.5, 0.0, 0.0, 6.0, 0.0, 0.0]
    names = [f"gw{n}" for n in range(len(devices))]
    free = [(2.5 + wait, place) for place, wait in enumerate(waits)]
    heapq.heapify(free)
    workers = {name: _worker(name, devices[place], waits[place]) for place, name in enumerate(names)}
    for test in tests:
        if test["outcome"] == "not-run":
            continue
        moment, place = heapq.heappop(free)
        took = 20.0 if test["outcome"] == "timeout" else test["duration_s"]
        test |= {"started": iso(BEGUN + moment), "duration_s": took, "worker": names[place]}
        if test["devices"]:
            test["devices"] = (
                [devices[place], devices[place - 1]] if test["devices"] == [None, None] else [devices[place]]
            )
        end = moment + took
        workers[names[place]]["ended"] = iso(BEGUN + end)
        if test["outcome"] in ("crashed", "timeout"):
            workers[names[place]]["exit"] = "crashed" if test["outcome"] == "crashed" else "killed"
            end += 1.5
            names[place] = f"gw{len(workers)}"
            workers[names[place]] = _worker(names[place], devices[place], 0.0) | {"started": iso(BEGUN + end)}
            workers[names[place]]["ended"] = iso(BEGUN + end + 0.1)
        heapq.heappush(free, (end + chance.uniform(0.01, 0.1), place))
    return list(workers.values())


def _worker(name: str, device: str, wait: float) -> Report:
    return {
        "id": name, "host": "node1", "pid": 4000 + int(name[2:]), "devices": [device], "lease_wait_s": wait,
        "started": iso(BEGUN + 2.5 + wait), "ended": iso(BEGUN + 2.5 + wait), "exit": "finished",
    }  # fmt: skip


def _devices(tests: list[Report]) -> list[Report]:
    return [
        {
            "id": id,
            "kind": "mig" if id in MIGS else "gpu",
            "index": 7 if id in MIGS else n,
            "name": "NVIDIA H200 MIG 3g.71gb" if id in MIGS else "NVIDIA H200",
            "memory_total_bytes": (71 if id in MIGS else 141) * 2**30,
            "tests": sum(id in test["devices"] for test in tests),
            "busy_s": sum(test["duration_s"] for test in tests if id in test["devices"]),
            "utilization_mean": 81.0,
            "energy_j": 123_456.0,
            "quarantined": "fell off the bus (Xid 79)" if id == GPUS[5] else None,
        }
        for n, id in enumerate(GPUS + MIGS)
    ]


def _count(report: Report) -> None:
    tests, summary = report["tests"], report["summary"]
    left = sum(test["outcome"] == "not-run" for test in tests)
    report["run"] |= {"collected": len(tests), "finished": len(tests) - left, "complete": not left}
    summary |= {name: sum(test["outcome"] == name for test in tests) for name in OUTCOMES}
    for verdict in summary["metrics"]:
        summary["metrics"][verdict] = sum(m["verdict"] == verdict for test in tests for m in test["metrics"])
    ran = [test for test in tests if test["started"]]
    start = min(epoch(test["started"]) for test in ran)
    end = max(epoch(test["started"]) + test["duration_s"] for test in ran)
    busy = sum(device["busy_s"] for device in report["devices"])
    report["run"]["duration_s"] = end - BEGUN + 1
    summary |= {"makespan_s": end - start, "busy_s": busy, "speedup": busy / (end - start)}
    summary["efficiency"] = summary["speedup"] / len(report["devices"])

"""The fixture ``measure``, in real runs; the device's clock is the stand-in torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import Host, wait_for

each_way = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])


def timing(host: Host, test: str, *args: str, environ: dict[str, str] | None = None) -> tuple[Any, dict[str, Any]]:
    """A run that passes, and its one metric of a test."""
    run = host.pytest(*args, environ=environ)
    assert run.status == 0, run.output
    (metric,) = run.tests[test]["metrics"]
    return run, metric


@each_way
def test_on_a_host_without_gpus(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """The median is returned, and recorded with each sample; the first call is not among them."""
    cpu_host.write(
        "test_suite.py",
        """
        import time

        calls = []

        def step(first, later):
            time.sleep(later if calls else first)
            calls.append(1)

        def test_a(measure, request):
            median = measure(step, 0.3, 0.002, min_time=0.01, rel_error=0.5)
            assert 0.002 <= median < 0.3
            assert measure(lambda: None, name="nothing", warmup=0, min_time=0, rel_error=9) > 0
        """,
    )
    run = cpu_host.pytest(*workers)
    assert run.status == 0, run.output
    latency, nothing = run.tests["test_a"]["metrics"]
    assert (latency["name"], latency["unit"], latency["higher_is_better"]) == ("latency", "s", False)
    assert (nothing["name"], nothing["n"]) == ("nothing", None)
    how = latency["timing"]
    assert (how["clock"], how["calls_per_repeat"], how["discarded"], how["device_clock_mhz"]) == (
        "perf_counter",
        1,
        0,
        None,
    )
    assert how["first_call_s"] >= 0.3 > max(how["repeats"]) >= min(how["repeats"]) >= 0.002
    assert len(how["repeats"]) >= 10
    assert how["interval"][0] <= latency["value"] <= how["interval"][1]
    assert nothing["timing"]["calls_per_repeat"] > 1
    assert run.junit["test_a"]["gpupool.metric.latency"] == str(latency["value"])


@each_way
def test_where_torch_uses_a_gpu_its_events_measure(make_host: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """The host's time is not in it, nor that of the flushes, one before each call, of twice the L2 cache."""
    host = make_host(1)
    host.write(
        "test_suite.py",
        """
        import torch

        def test_a(gpu, measure):
            torch.cuda.init()
            assert abs(measure(torch.cuda.compute, 0.005, warmup=0) - 0.005) < 1e-9
        """,
    )
    _, metric = timing(host, "test_a", *workers, environ=host.torch_environ())
    how = metric["timing"]
    assert (how["clock"], how["calls_per_repeat"], how["device_clock_mhz"]) == ("device_events", 1, [1980, 1980])
    assert (how["limit"], how["discarded"]) == (None, 0)
    assert how["repeats"] == pytest.approx([0.005] * len(how["repeats"]))
    assert len(how["repeats"]) == 40  # 0.2 s
    flushes = [call for call in host.torch_calls() if call["call"] == "zero_"]
    assert len(flushes) == len(how["repeats"]) + how["warmup_calls"]
    assert {call["bytes"] for call in flushes} == {2 * (50 << 20)}


def test_samples_of_a_throttled_device_do_not_count(make_host: Callable[..., Host]) -> None:
    """Those since then; the report says how many."""
    host = make_host(1)
    assert host.driver is not None
    host.write(
        "test_suite.py",
        """
        import pathlib, time

        calls = []

        def step():
            calls.append(1)
            if len(calls) == 40:
                pathlib.Path("half").write_text("there\\n")
                while not pathlib.Path("go").exists(): time.sleep(0.01)
            time.sleep(0.01)

        def test_a(measure):
            time.sleep(0.2)  # the device is seen as it was before
            measure(step, warmup=0, min_time=2, rel_error=9)
        """,
    )
    running = host.start("--gpupool-sample=0.05")
    try:
        wait_for(host.project / "half")
        host.driver.replace(0, reasons=0x40)
        host.write("go", "")
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 0, run.output
    how = run.tests["test_a"]["metrics"][0]["timing"]
    assert how["discarded"] > 0
    assert len(how["repeats"]) > 0


def test_where_torch_uses_none_the_host_measures(make_host: Callable[..., Host]) -> None:
    """Torch is there, and nothing of CUDA has been touched; nor does measuring do so."""
    host = make_host(1)
    host.write(
        "test_suite.py",
        """
        import torch

        def test_a(measure):
            measure(lambda: None, warmup=0, min_time=0, rel_error=9)
            assert not torch.cuda.is_initialized()
        """,
    )
    _, metric = timing(host, "test_a", environ=host.torch_environ())
    assert metric["timing"]["clock"] == "perf_counter"


def test_a_limit_that_is_reached_is_told(cpu_host: Host) -> None:
    """What the median is worth then, beside the metric."""
    cpu_host.write(
        "test_suite.py", "def test_a(measure): measure(lambda: None, warmup=0, min_time=0, rel_error=0, max_time=0)\n"
    )
    _, metric = timing(cpu_host, "test_a", "--gpupool-html=report.html")
    assert metric["timing"]["limit"] == "time"
    assert metric["timing"]["relative_error"] is None
    page = (cpu_host.project / "report.html").read_text()
    assert "median of 1 by perf_counter, stopped by the limit of time, error not known, first call" in page


def test_a_verdict_and_a_resumed_run_keep_how_it_was_measured(cpu_host: Host) -> None:
    """It is judged as any metric; one that is kept is judged again."""
    cpu_host.write(
        "test_suite.py",
        """
        def test_a(measure): measure(lambda: None, warmup=0, min_time=0, rel_error=9)
        def test_b(): assert False
        """,
    )
    first = cpu_host.pytest()
    entry = '{"test": "test_suite.py::test_a", "metric": "latency", "device": "CPU", "value": 1, "unit": "s"}'
    cpu_host.write("b.json", f'{{"format": "gpupool-baseline", "version": 1, "entries": [{entry}]}}')
    run = cpu_host.pytest(f"--gpupool-resume={first.report['run']['id']}", "--gpupool-baseline=b.json")
    (metric,) = run.tests["test_a"]["metrics"]
    assert metric["verdict"] == "improved"
    assert metric["timing"] == first.tests["test_a"]["metrics"][0]["timing"]


@each_way
def test_what_is_wrong_fails_the_test_in_one_line(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """What the call itself raises is its own, with its traceback."""
    cpu_host.write(
        "test_suite.py",
        """
        def bad(): return {}["missing"]

        def test_arguments(measure): measure(bad, min_time=5, max_time=1)
        def test_raises(measure): measure(bad)
        def test_twice(measure):
            for _ in range(2):
                measure(lambda: None, warmup=0, min_time=0, rel_error=9)
        """,
    )
    run = cpu_host.pytest(*workers)
    assert set(run.outcomes.values()) == {"failed"}
    message = {name: test["message"] for name, test in run.tests.items()}
    assert message["test_arguments"] == "measure 'latency': max_time (1 s) is less than min_time (5 s)"
    assert message["test_twice"].startswith("metric 'latency' was recorded before in this test")
    assert "KeyError: 'missing'" in message["test_raises"]


def test_it_works_where_the_pool_is_off(cpu_host: Host) -> None:
    cpu_host.write("test_suite.py", "def test_a(measure): assert measure(sum, (1, 2), min_time=0, rel_error=9) > 0\n")
    run = cpu_host.pytest("-pno:gpupool")
    assert run.status == 0, run.output
    assert "gpupool.metric.latency" in run.junit["test_a"]

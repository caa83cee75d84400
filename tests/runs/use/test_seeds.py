"""``--gpupool-seed``: the same numbers in any order, on any worker, whatever else runs there."""

from __future__ import annotations

from typing import Any

import pytest
from support import Host, Run

SUITE = """
    import random
    import pytest

    def numbers():
        import numpy  # when the first test needs it
        return random.random() + numpy.random.random()

    @pytest.fixture(scope="module")
    def data():
        return numbers(), random.random()

    @pytest.fixture(scope="session", params=["x", "y"])
    def model(request):
        import numpy.random
        return numbers()

    @pytest.fixture
    def noise():
        return random.random()

    @pytest.mark.parametrize("case", range(4))
    def test_alone(case, record_metric, noise, gpupool_seed):
        record_metric("noise", noise)
        record_metric("own", numbers())
        record_metric("more", random.random())
        record_metric("seed", gpupool_seed)

    @pytest.mark.parametrize("case", range(3))
    def test_shares(case, noise, data, model, record_metric):
        record_metric("noise", noise)
        record_metric("data", sum(data))
        record_metric("model", model)
        record_metric("own", numbers())

    def test_asks_as_it_goes(request, record_metric):
        record_metric("before", random.random())
        request.getfixturevalue("data")
        record_metric("after", random.random())
"""


def measured(run: Run) -> dict[str, dict[str, Any]]:
    """The metrics of each test."""
    assert run.status == 0, run.output
    return {name: run.metrics(name) for name in sorted(run.tests)}


def test_the_same_numbers_in_any_order(cpu_host: Host) -> None:
    """With and without workers, alone, and shuffled by a plugin that has a seed of its own for each test."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest("--gpupool-seed=7")
    first = measured(run)
    assert run.report["run"]["seed"] == 7
    assert len(first) == 11
    values = [value for metrics in first.values() for name, value in metrics.items() if name not in ("data", "model")]
    assert len(set(values)) == len(values)
    assert len({metrics["data"] for metrics in first.values() if "data" in metrics}) == 1
    assert len({metrics["model"] for metrics in first.values() if "model" in metrics}) == 2
    for args in (["-n2"], []):
        assert measured(cpu_host.pytest("--gpupool-seed=7", *args, companions=["randomly"])) == first
    for test in ("test_shares[y-1]", "test_alone[2]", "test_asks_as_it_goes"):
        assert measured(cpu_host.pytest("--gpupool-seed=7", f"test_suite.py::{test}")) == {test: first[test]}
    other = measured(cpu_host.pytest("--gpupool-seed=8", "-n2"))
    assert {name: other[name] != first[name] for name in first} == dict.fromkeys(first, True)
    by_ini = measured(cpu_host.pytest("-ogpupool_seed=7"))
    assert by_ini == first


def test_torch_is_seeded_as_it_is_loaded(cpu_host: Host) -> None:
    """By the test that needs it first, or before: the numbers are the same."""
    pytest.importorskip("torch")
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.parametrize("case", range(2))
        def test(case, record_metric):
            import torch
            record_metric("own", torch.rand(1).item())

        @pytest.fixture(scope="module")
        def layer():
            import torch
            return torch.nn.Linear(1, 1)

        def test_layer(layer, record_metric):
            import torch
            record_metric("layer", layer.weight.item())
            record_metric("own", torch.rand(1).item())
        """,
    )
    first = measured(cpu_host.pytest("--gpupool-seed=1"))
    assert len({value for metrics in first.values() for value in metrics.values()}) == 4
    assert measured(cpu_host.pytest("--gpupool-seed=1", "-n2")) == first
    assert measured(cpu_host.pytest("--gpupool-seed=1", "test_suite.py::test_layer")) == {
        "test_layer": first["test_layer"]
    }


def test_a_resumed_run_keeps_results_of_its_own_seed(cpu_host: Host) -> None:
    """With another seed the results are other ones."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, random

        def test_kept(record_metric): record_metric("own", random.random())
        def test_later(): assert os.path.exists("again")
        """,
    )
    assert cpu_host.pytest("--gpupool-seed=1").status == 1
    cpu_host.write("again", "")
    run = cpu_host.pytest("--gpupool-seed=2", "--gpupool-resume", "--gpupool-resume-anyway")
    other = run.metrics("test_kept")
    assert other == cpu_host.pytest("--gpupool-seed=2").metrics("test_kept")
    assert run.report["run"]["seed"] == 2


@pytest.mark.parametrize("value", ["-1", "x", "1.5", str(2**63)])
def test_a_wrong_seed(cpu_host: Host, value: str) -> None:
    """It is refused."""
    cpu_host.write("test_suite.py", "def test(): pass\n")
    run = cpu_host.pytest(f"--gpupool-seed={value}")
    assert run.status == 4
    assert f"gpupool: --gpupool-seed={value}: give a whole number from 0" in run.output


def test_the_fixture_without_the_option(cpu_host: Host) -> None:
    """It is the same in each run; nothing is seeded."""
    cpu_host.write("test_suite.py", "def test(gpupool_seed, record_metric): record_metric('seed', gpupool_seed)\n")
    first = cpu_host.pytest()
    assert first.report["run"]["seed"] is None
    assert cpu_host.pytest("-n1").metrics("test") == first.metrics("test")
    assert 0 <= first.metrics("test")["seed"] < 2**63
    assert cpu_host.pytest("-pno:gpupool").status == 0

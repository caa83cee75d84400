"""Matrices of parameters in a run of pytest."""

from __future__ import annotations

import re

from support import Host

SUITE = """
    import enum
    import numpy as np
    import pytest
    import pytest_gpupool

    class Mode(enum.Enum):
        FAST = 1

    @pytest.fixture
    def half(lr): return lr / 2

    @pytest_gpupool.matrix(
        lr=[1e-3, 1e-4],
        size=[32, "auto", None, True, pytest.param(64, marks=pytest.mark.skip(reason="not today"), id="large")],
        exclude=[{"lr": 1e-4, "size": "auto"}],
    )
    def test_real(lr, size, half, record_metric): record_metric("half", half)

    @pytest_gpupool.matrix(mode=Mode, dtype=[np.float16], betas=[(0.9, 0.99)], gain=[float("inf")], text=["é|"])
    def test_others(mode, dtype, betas, gain, text): pass

    @pytest_gpupool.matrix(a=[1, 2])
    class TestStacked:
        @pytest_gpupool.matrix(b=[3], c=[4])
        @pytest.mark.parametrize("d", [5, 6])
        def test_it(self, a, b, c, d): assert (b, c) == (3, 4)

    @pytest_gpupool.matrix(sample=3, seed=7, x=range(1000), y=range(1000))
    def test_sampled(x, y): pass
"""


def test_a_run_with_workers_records_the_values(cpu_host: Host) -> None:
    """All workers collect the same tests; numbers, texts, bools and None are recorded as such, others by a text."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest("-n2")
    assert run.status == 0, run.output
    params = {name: test["params"] for name, test in run.tests.items()}
    assert params["test_real[lr=0.001-size=32]"] == {"lr": 0.001, "size": 32}
    sizes = [one["size"] for name, one in params.items() if name.startswith("test_real[lr=0.0001-")]
    assert sizes == [32, None, True, 64]
    assert sizes[2] is True
    assert run.outcomes["test_real[lr=0.001-size=large]"] == "skipped"
    assert run.metrics("test_real[lr=0.0001-size=None]") == {"half": 5e-05}
    others = params[r"test_others[mode=FAST-dtype=float16-betas=betas0-gain=inf-text=\xe9|]"]
    assert (others["betas"], others["gain"], others["text"]) == ([0.9, 0.99], "inf", "é|")
    assert "FAST" in others["mode"]
    assert "float16" in others["dtype"]
    stacked = sorted(tuple(one.values()) for name, one in params.items() if "Stacked" in name)
    assert sorted(map(sorted, stacked)) == [[1, 3, 4, 5], [1, 3, 4, 6], [2, 3, 4, 5], [2, 3, 4, 6]]
    assert sum(name.startswith("test_sampled[") for name in params) == 3


def test_a_mistake_is_the_error_of_its_file(cpu_host: Host) -> None:
    """With the line of the test and the reason, and nothing of this package's inside."""
    head = "import pytest_gpupool\n"
    cpu_host.write(
        "test_value.py",
        f"{head}@pytest_gpupool.matrix(lr=[0.1], exclude=[{{'lr': 1}}])\ndef test_it(lr): pass\n",
    )
    cpu_host.write("test_axis.py", f"{head}@pytest_gpupool.matrix(lr=[0.1])\ndef test_it(rate): pass\n")
    run = cpu_host.pytest("--collect-only")
    assert run.status == 2
    errors = run.stdout[run.stdout.index("= ERRORS =") :]
    assert "test_value.py:2: in <module>" in errors
    assert "matrix: exclude has lr=1, which is no value of it: [0.1]" in errors
    assert "test_it: function uses no argument 'lr'" in errors
    assert not re.search(r"pytest_gpupool/\w+\.py", errors)

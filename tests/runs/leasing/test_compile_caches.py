"""What torch compiles is kept once for all workers, by as many threads as each may use."""

from __future__ import annotations

import os
import shutil

import pytest
from support import Host, Run

NAMES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS")

SUITE = f"""
    import os, pytest

    @pytest.mark.parametrize("case", range(2))
    def test(case): print([os.environ.get(name) for name in {NAMES}])
"""


def told(run: Run) -> set[tuple[str | None, ...]]:
    """What the report says was set in each worker."""
    assert run.status == 0, run.output
    return {tuple(worker["environment"].get(name) for name in NAMES) for worker in run.report["workers"]}


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_workers_share_a_cache_and_the_cores(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """The report has what was set, and nothing that the user had set."""
    cpu_host.write("test_suite.py", SUITE)
    cache = cpu_host.directory / "cache"
    environ = cpu_host.environ(XDG_CACHE_HOME=str(cache), **dict.fromkeys(NAMES))
    run = cpu_host.pytest("-rP", "--gpupool-html=report.html", *workers, environ=environ)
    threads = str(max(1, len(os.sched_getaffinity(0)) // max(1, 2 * len(workers))))
    folder = cache / "pytest-gpupool"
    expected = (str(folder / "inductor"), str(folder / "triton"), threads)
    assert told(run) == {expected}
    assert run.stdout.count(str(list(expected))) == 2
    assert f"TORCHINDUCTOR_CACHE_DIR={folder}/inductor" in (run.directory / "report.html").read_text()
    assert "OMP_NUM_THREADS" in run.report["workers"][0]["environment"]
    assert not cache.exists()  # nothing was compiled


def test_what_the_user_has_set_stays(cpu_host: Host) -> None:
    """Each by itself; torch puts Triton's folder into its own."""
    cpu_host.write("test_suite.py", SUITE)
    environ = cpu_host.environ(XDG_CACHE_HOME=str(cpu_host.directory / "cache"), **dict.fromkeys(NAMES))
    run = cpu_host.pytest("-rP", "-n1", environ=environ | {NAMES[0]: "/mine", NAMES[2]: "7"})
    assert told(run) == {(None, None, None)}
    assert run.stdout.count("['/mine', None, '7']") == 2
    run = cpu_host.pytest("-rP", environ=environ | {NAMES[1]: "/mine"})
    ((inductor, triton, threads),) = told(run)
    assert (inductor is None, triton, threads is None) == (False, None, False)


def test_each_worker_has_its_own_where_none_is_safe(cpu_host: Host) -> None:
    """In the run's directory, which goes with it."""
    cpu_host.write("test_suite.py", SUITE)
    (temporary := cpu_host.directory / "tmp").mkdir()
    (taken := temporary / f"pytest-gpupool-{os.geteuid()}").mkdir()
    taken.chmod(0o777)
    environ = cpu_host.environ(
        XDG_CACHE_HOME=str(temporary / taken.name), TMPDIR=str(temporary), **dict.fromkeys(NAMES)
    )
    run = cpu_host.pytest("-n2", environ=environ)
    run_dir = run.directory / ".gpupool" / "runs" / run.report["run"]["id"]
    assert {folder for folder, *_ in told(run)} == {str(run_dir / f"compiled/gw{number}/inductor") for number in (0, 1)}


def test_what_one_run_has_compiled_another_finds(cpu_host: Host, request: pytest.FixtureRequest) -> None:
    """And so does another worker, once the first one has compiled it."""
    if not request.config.getoption("--long"):
        pytest.skip("compiles for a while: --long")
    if shutil.which("g++") is None:
        pytest.skip("torch needs a C++ compiler")
    pytest.importorskip("torch")
    cpu_host.write(
        "test_suite.py",
        """
        import torch
        from torch._dynamo.utils import counters

        def test(record_metric):
            torch.compile(lambda x: torch.sin(x) * torch.relu(x) + 1)(torch.ones(64))
            record_metric("found", counters["inductor"]["fxgraph_cache_hit"])
        """,
    )
    cache = cpu_host.directory / "cache"
    for found, workers in ((0, ()), (1, ("-n1",))):
        environ = cpu_host.environ(XDG_CACHE_HOME=str(cache), **dict.fromkeys(NAMES))
        assert cpu_host.pytest(*workers, environ=environ).metrics("test") == {"found": found}
    assert list((cache / "pytest-gpupool" / "inductor").iterdir())

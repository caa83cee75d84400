"""What a process sees of its environment, and when: the lease comes before anything loads torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support import Host

LOADERS = {
    "conftest": ("conftest.py", "import torch\n", ()),
    "plugin": ("loads_torch.py", "import torch\n", ("-p", "loads_torch")),
    "module": ("helper.py", "", ()),
}


def workers_import(host: Host) -> list[dict[str, Any]]:
    """The first imports of torch in worker processes."""
    return [line for line in host.torch_imports() if line["PYTEST_XDIST_WORKER"]]


@pytest.mark.parametrize("loader", LOADERS)
def test_in_a_worker_the_lease_comes_before_torch(host: Host, loader: str) -> None:
    """Whoever loads torch first, a conftest.py, another plugin or a test module, finds the worker's own GPU."""
    name, text, options = LOADERS[loader]
    host.write(name, text)
    host.write(
        "test_suite.py",
        "import time, torch, pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n): time.sleep(0.3)\n",
    )
    environ = host.torch_environ()
    environ["PYTHONPATH"] += os.pathsep + str(host.project)
    run = host.pytest("-n2", *options, environ=environ)
    assert run.status == 0, run.output
    lines = workers_import(host)
    gpus = [gpu.uuid for gpu in host.driver.gpus]  # type: ignore[union-attr]
    assert {line["PYTEST_XDIST_WORKER"] for line in lines} == {"gw0", "gw1"}
    for line in lines:
        assert line["GPUPOOL_DEVICES"] in gpus
        assert line["CUDA_VISIBLE_DEVICES"] == str(gpus.index(line["GPUPOOL_DEVICES"]))
        assert line["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        assert line["GPUPOOL_RUN"] == run.report["run"]["id"]
    assert len({line["GPUPOOL_DEVICES"] for line in lines}) == 2


def test_the_controller_sees_no_gpu(host: Host) -> None:
    """conftest.py is loaded in the controller too: every GPU is hidden from it."""
    host.write("conftest.py", "import torch\n")
    host.write("test_suite.py", "def test_it(): pass\n")
    assert host.pytest("-n2", environ=host.torch_environ()).status == 0
    controllers = [line for line in host.torch_imports() if not line["PYTEST_XDIST_WORKER"]]
    assert [(line["CUDA_VISIBLE_DEVICES"], line["GPUPOOL_DEVICES"]) for line in controllers] == [("-1", None)]


def test_plain_pytest_leases_before_conftest_loads_torch(host: Host) -> None:
    """Without -n the one process has its GPU before the first conftest.py."""
    host.write("conftest.py", "import torch\n")
    host.write("test_suite.py", "def test_it(gpu): assert gpu.device == 'cuda:0'\n")
    run = host.pytest(environ=host.torch_environ())
    assert run.status == 0, run.output
    (line,) = host.torch_imports()
    assert line["CUDA_VISIBLE_DEVICES"] == "0"
    assert line["GPUPOOL_DEVICES"] == host.driver.gpus[0].uuid  # type: ignore[union-attr]


def test_a_process_with_cuda_initialised_is_refused_and_the_module_named(host: Host) -> None:
    """A plugin that initialises CUDA before the lease is named, with the remedy; nothing runs."""
    host.write("early_bird.py", "import torch\ntorch.cuda.init()\n")
    host.write("test_suite.py", "def test_it(): pass\n")
    environ = host.torch_environ()
    environ["PYTHONPATH"] += os.pathsep + str(host.project)
    run = host.pytest("-p", "early_bird", environ=environ)
    assert run.status == 4
    assert "CUDA is already initialised in this process ('early_bird' loaded torch)" in run.output
    assert "Traceback" not in run.output


def test_cuda_initialised_in_a_worker_ends_the_run_with_the_reason(host: Host) -> None:
    """Where a .pth or sitecustomize file initialises CUDA in every process, workers say so."""
    site = host.directory / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys\nif sys.argv[:1] == ['-c']:\n    import torch\n    torch.cuda.init()\n"
    )
    host.write("test_suite.py", "def test_it(): pass\n")
    environ = host.torch_environ()
    environ["PYTHONPATH"] += os.pathsep + str(site)
    run = host.pytest("-n2", environ=environ)
    assert run.status == 4
    assert "CUDA is already initialised in this process ('sitecustomize' loaded torch)" in run.output
    assert "Traceback" not in run.output


def test_threads_are_shared_out_unless_the_user_has_set_them(cpu_host: Host) -> None:
    """OMP_NUM_THREADS and MKL_NUM_THREADS are the cores divided by the workers, at least 1; a user's value stays."""
    cores = len(os.sched_getaffinity(0))
    cpu_host.write(
        "test_suite.py",
        """
        import os
        def test_threads(record_metric):
            record_metric("omp", int(os.environ["OMP_NUM_THREADS"]))
            record_metric("mkl", int(os.environ["MKL_NUM_THREADS"]))
        """,
    )

    def threads(*args: str, **environ: str) -> list[int]:
        run = cpu_host.pytest(*args, environ=cpu_host.environ(**environ))
        return [metric["value"] for metric in run.tests["test_threads"]["metrics"]]

    assert threads() == [cores, cores]
    assert threads("-n1") == [cores, cores]
    assert threads("-n", str(2 * cores)) == [1, 1]
    assert threads("-n1", OMP_NUM_THREADS="7") == [7, cores]


@pytest.mark.parametrize("off", ["-ogpupool=off", "-pno:gpupool", "-ogpupool_paths=evals"])
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_threads_are_nobodys_business_where_the_pool_is_off(cpu_host: Host, workers: tuple[str, ...], off: str) -> None:
    """A suite that tests numbers of threads finds them as its user has them."""
    cpu_host.write("evals/test_eval.py", "def test_it(): pass\n")
    cpu_host.write(
        "tests/test_suite.py",
        """
        import os
        def test_threads(): assert not [name for name in os.environ if name.endswith("_NUM_THREADS")]
        """,
    )
    run = cpu_host.pytest("tests", off, *workers)
    assert run.status == 0, run.output


def test_cpu_slots_hide_every_gpu(host: Host) -> None:
    """--gpupool-devices=cpu on a host with GPUs: tests see none, and no lock is taken."""
    host.write(
        "test_suite.py",
        """
        import os
        def test_it(gpu):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
            assert os.environ["GPUPOOL_DEVICES"] == gpu.ids[0]
            assert (gpu.device, gpu.devices, gpu.count, gpu.is_gpu) == ("cpu", ["cpu"], 1, False)
            assert gpu.memory_total is None
        """,
    )
    for workers in ((), ("-n2",)):
        run = host.pytest("--gpupool-devices=cpu", *workers)
        assert run.status == 0, run.output
        assert "CPU slots instead (--gpupool-devices=cpu)" in run.stdout
    assert not host.lock_dir.exists()


def test_the_fixture_describes_the_leased_gpu(host: Host) -> None:
    """gpu gives torch's name of the device, its id, name and memory."""
    host.write(
        "test_suite.py",
        """
        def test_it(gpu):
            assert (gpu.device, gpu.devices, gpu.count, gpu.is_gpu) == ("cuda:0", ["cuda:0"], 1, True)
            assert gpu.ids[0].startswith("GPU-") and gpu.names == ["Stand-in GPU"]
            assert gpu.memory_total == 80 * 2**30
        """,
    )
    assert host.pytest("-n1").status == 0


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_the_environment_is_put_back_after_a_run_in_process(host: Host, workers: tuple[str, ...]) -> None:
    """A program that calls pytest.main finds its environment as it was."""
    host.write("test_suite.py", "def test_it(): pass\n")
    script = host.write(
        "program.py",
        f"""
        import os, pytest
        before = dict(os.environ)
        assert pytest.main(["-q", "-p", "no:cacheprovider", *{list(workers)!r}]) == 0
        changed = {{k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}}
        assert not changed, changed
        """,
    )
    done = _run(host, script)
    assert done == "", done


def _run(host: Host, script: Path) -> str:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, str(script)], cwd=host.project, env=host.environ(), capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr

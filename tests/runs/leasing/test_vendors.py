"""A run on AMD's devices is what one on NVIDIA's is, but for how they are made visible."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import cast

import pytest
from standin import Driver
from standin.rocm import Rocm, amd_gpus
from support import Host

SEES = """
    import json, os, time
    from pathlib import Path
    import pytest

    NAMES = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")

    @pytest.mark.parametrize("number", range(4))
    def test_sees(number, gpu, request):
        seen = {name: os.environ[name] for name in NAMES if name in os.environ}
        # Two tests, one of each worker, are there together.
        here = Path(os.environ["HERE"])
        (here / f"{number}.json").write_text(json.dumps([seen, gpu.ids, gpu.device]))
        deadline = time.monotonic() + 60
        while len({json.loads(p.read_text())[1][0] for p in here.glob("*.json")}) < int(os.environ["WORKERS"]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
"""


@pytest.fixture
def rocm(tmp_path: Path) -> Rocm:
    """A machine of two GPUs."""
    return Rocm(tmp_path / "amdsmi.json", amd_gpus(2))


@pytest.fixture
def host(tmp_path: Path, rocm: Rocm) -> Host:
    """A host with them."""
    host = Host(tmp_path, cast(Driver, rocm))
    host.write("test_sees.py", SEES)
    return host


def seen(host: Host) -> list[tuple[dict[str, str], str]]:
    """What the tests saw of their environment, with the id of their device."""
    found = [json.loads(path.read_text()) for path in sorted((host.directory / "here").glob("*.json"))]
    assert {name for _, _, name in found} == {"cuda:0"}
    return [(environ, ids[0]) for environ, ids, _ in found]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_each_test_sees_the_device_that_is_leased(host: Host, rocm: Rocm, workers: tuple[str, ...]) -> None:
    """By ROCR_VISIBLE_DEVICES, and nothing else is set."""
    (host.directory / "here").mkdir()
    environ = host.environ(HERE=str(host.directory / "here"), WORKERS=workers[-1] if workers else "1")
    run = host.pytest(*workers, environ=environ)
    assert run.status == 0, run.output
    numbers = {uuid: str(number) for number, uuid in enumerate(rocm.uuids)}
    found = seen(host)
    assert found == [({"ROCR_VISIBLE_DEVICES": numbers[id_]}, id_) for _, id_ in found]
    assert set(Counter(id_ for _, id_ in found)) == set(rocm.uuids[: 2 if workers else 1])
    assert "2 GPUs (AMD Instinct MI300X)" in run.stdout
    assert "ROCR_VISIBLE_DEVICES by index" in run.stdout
    assert [one["id"] for one in run.report["devices"]] == list(rocm.uuids)
    assert run.report["run"]["software"]["driver"] == "6.14.14"


def test_where_rocm_counts_otherwise_devices_go_by_uuid(host: Host, rocm: Rocm) -> None:
    """Though numbers were asked for; the header says why."""
    rocm.replace(0, hip_id=1)
    rocm.replace(1, hip_id=0)
    (host.directory / "here").mkdir()
    run = host.pytest(environ=host.environ(HERE=str(host.directory / "here"), WORKERS="1"))
    assert run.status == 0, run.output
    assert {environ["ROCR_VISIBLE_DEVICES"] for environ, _ in seen(host)} == {rocm.gpus[0].hip_uuid}
    assert (
        "gpupool: ROCR_VISIBLE_DEVICES has UUIDs, although --gpupool-export=index: "
        "ROCm numbers the GPUs otherwise than amd-smi"
    ) in run.stdout


def test_a_foreign_process_makes_a_device_busy(host: Host, rocm: Rocm) -> None:
    """As on any device; the line says who."""
    rocm.compute(p1=(0, 1))
    run = host.pytest("--gpupool-wait=0")
    assert run.status == 75
    assert "GPU 0  AMD Instinct MI300X  busy: pid 1 (not of this pool) computes on it" in run.stderr


def test_the_controller_sees_no_device(host: Host) -> None:
    """It loads conftest.py as well."""
    host.write(
        "conftest.py",
        """
        import os
        from pathlib import Path

        def pytest_sessionfinish(session):
            if not hasattr(session.config, "workerinput"):
                Path("controller.txt").write_text(os.environ["ROCR_VISIBLE_DEVICES"])
        """,
    )
    (host.directory / "here").mkdir()
    run = host.pytest("-n", "1", environ=host.environ(HERE=str(host.directory / "here"), WORKERS="1"))
    assert run.status == 0, run.output
    assert (host.project / "controller.txt").read_text() == "-1"


def test_a_conftest_that_chooses_devices_is_refused(host: Host) -> None:
    """By the variable that was exported."""
    host.write("conftest.py", "import os\nos.environ['ROCR_VISIBLE_DEVICES'] = '0'\n")
    run = host.pytest("-n1", "--gpupool-devices=1")
    assert run.status == 4, run.output
    assert "gpupool: conftest.py set ROCR_VISIBLE_DEVICES=0, but this worker leased GPU 1 (" in run.output

"""'gpupool quarantine': devices leave the pool of a host and come back."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from made_hosts import SLEEPER, Program, ids, make_host
from program import gpupool
from standin import Gpu, Mig
from support import Host

Start = Callable[..., Program]


def quarantine(host: Host, *args: str) -> tuple[int, str, str]:
    return gpupool(host, "quarantine", *args)


def about(host: Host, number: int) -> str:
    return f"GPU {number} ({ids(host)[number]}, NVIDIA H200)"


def visible(host: Host) -> str:
    """Which of two devices a command gets."""
    return gpupool(host, "run", "--devices", "0,1", "--wait", "0", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")[1]


@pytest.mark.parametrize("name", ["0", "id", "prefix"])
def test_there_and_back(gpu_host: Host, name: str) -> None:
    """By number, UUID or the beginning of it."""
    uuid = ids(gpu_host)[0]
    device = {"0": "0", "id": uuid, "prefix": uuid[:12]}[name]
    assert quarantine(gpu_host, device, "--reason", "ECC errors") == (
        0,
        f"gpupool: {about(gpu_host, 0)} is out of this host's pool; 'gpupool quarantine {uuid} --lift' takes it back\n",
        "",
    )
    assert visible(gpu_host) == "1\n"
    assert quarantine(gpu_host, device, "--lift") == (
        0,
        f"gpupool: {about(gpu_host, 0)} is in this host's pool again\n",
        "",
    )
    assert visible(gpu_host) == "0\n"
    assert quarantine(gpu_host, device, "--lift") == (0, f"gpupool: {about(gpu_host, 0)} is not in quarantine\n", "")


def test_who_holds_it_goes_on(gpu_host: Host, start: Start) -> None:
    """And is named."""
    gpu_host.write("train.py", SLEEPER)
    program = start(gpu_host, "run", "--", "python3", "train.py")
    pid = re.findall(r"ready (\d+)\.", program.until(".\n"))[0]
    status, _, err = quarantine(gpu_host, "0", "--reason", "dust")
    assert status == 0
    assert re.fullmatch(rf"gpupool: pid {pid} \(\w+, python3 train.py\) holds GPU 0 and goes on\n", err)
    assert program.process.poll() is None


def test_a_command_that_finds_all_in_quarantine(gpu_host: Host) -> None:
    """Is told so at once, with what takes them back."""
    for number in "01":
        quarantine(gpu_host, number, "--reason", "dust")
    status, out, err = gpupool(gpu_host, "run", "--devices", "0,1", "--", "true")
    assert (status, out) == (75, "")
    first, *lines = err.splitlines()
    assert first == "gpupool: no device can come free, however long one waits."
    for place, line in enumerate(lines):
        uuid = ids(gpu_host)[place]
        assert re.fullmatch(
            rf"  GPU {place}  NVIDIA H200  quarantined by \w+ \d+ s ago: dust "
            rf"\('gpupool quarantine {uuid} --lift' takes it back\)",
            line,
        )


def test_all_instances_of_a_gpu(libraries: Path, tmp_path: Path) -> None:
    """A number means them all."""
    host = make_host(libraries, tmp_path, 0)
    assert host.driver is not None
    instances = tuple(Mig(f"MIG-{uuid4()}", gi=number) for number in (1, 2))
    host.driver.gpus = [Gpu(f"GPU-{uuid4()}", mig_enabled=True, mig=instances)]
    assert quarantine(host, "0", "--reason", "dust")[1].count("is out of this host's pool") == 2
    assert {path.stem for path in host.lock_dir.glob("*.quarantine")} == {instance.uuid for instance in instances}
    assert quarantine(host, instances[0].uuid, "--lift")[0] == 0
    assert [path.stem for path in host.lock_dir.glob("*.quarantine")] == [instances[1].uuid]


def test_one_that_is_gone_can_be_lifted(gpu_host: Host) -> None:
    """Its file is all that is left of it."""
    gpu_host.lock_dir.mkdir()
    (gpu_host.lock_dir / "GPU-gone-0000.quarantine").write_text("{}")
    said = "gpupool: GPU-gone-0000 is in this host's pool again\n"
    assert quarantine(gpu_host, "GPU-gone", "--lift") == (0, said, "")


def test_what_names_no_device(gpu_host: Host) -> None:
    """4, with what there is."""
    there = ", ".join(f"{number} ({uuid})" for number, uuid in enumerate(ids(gpu_host)))
    several = f"gpupool: 'GPU-' is the beginning of several: {', '.join(ids(gpu_host))}\n"
    assert quarantine(gpu_host, "9", "--reason", "x") == (4, "", f"gpupool: no device '9' here; there are: {there}\n")
    assert quarantine(gpu_host, "9", "--lift") == (
        4,
        "",
        f"gpupool: no device '9' here, nor in quarantine; there are: {there}\n",
    )
    assert quarantine(gpu_host, "GPU-", "--reason", "x") == (4, "", several)
    assert quarantine(gpu_host, "GPU-", "--lift") == (4, "", several)
    assert quarantine(gpu_host, "", "--reason", "x")[0] == 4
    empty = "gpupool: --reason is empty: say why, for those who find the device missing\n"
    assert quarantine(gpu_host, "0", "--reason", " ") == (4, "", empty)


def test_no_gpu(cpu_host: Host) -> None:
    said = "gpupool: no device '0' here; this host shows no GPU (see 'gpupool status')\n"
    assert quarantine(cpu_host, "0", "--reason", "x") == (4, "", said)


@pytest.mark.parametrize("args", [(), ("--reason", "x", "--lift")], ids=["neither", "both"])
def test_what_is_to_be_done_must_be_said(gpu_host: Host, args: tuple[str, ...]) -> None:
    status, _, err = quarantine(gpu_host, "0", *args)
    assert status == 2
    assert "--reason" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's file")
def test_another_users_stays(gpu_host: Host) -> None:
    """Its owner is named. Root may lift all, so that here a directory refuses whose files nobody may remove."""
    quarantine(gpu_host, "0", "--reason", "dust")
    path = gpu_host.lock_dir / f"{ids(gpu_host)[0]}.quarantine"
    os.chown(path, 65534, 65534)
    if subprocess.run(["chattr", "+i", path], check=False, capture_output=True).returncode:
        pytest.skip("the file system cannot protect a file from root")
    try:
        status, _, err = quarantine(gpu_host, "0", "--lift")
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    uuid = ids(gpu_host)[0]
    assert status == 1
    assert re.fullmatch(
        rf"gpupool: {uuid} stays in quarantine: quarantined by nobody \d+ s ago: dust\. Only nobody or root may change "
        rf"that: ask them for 'gpupool quarantine {uuid} --lift'\n",
        err,
    )

"""How much of a machine's cores a container leaves to a process is read where the kernel says it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_gpupool.processes.cpu.limits import cores_of_node, limit

POD = "0::/kubepods/pod1/box\n"
DOCKER = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n"


def host(root: Path, files: Mapping[str, str]) -> Path:
    """A machine on which /proc and /sys have these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


CGROUP = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        pytest.param("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0, id="docker --cpus=2"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, None, id="no limit"),
        pytest.param("0::/\n", {}, None, id="the root of the host has no such file"),
        pytest.param("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5, id="half a core"),
        pytest.param(POD, {"kubepods/pod1/box/cpu.max": "max 100000", "kubepods/pod1/cpu.max": "300000 100000"}, 3.0,
                     id="above it"),
        pytest.param(POD, {"kubepods/pod1/box/cpu.max": "150000 100000", "kubepods/pod1/cpu.max": "300000 100000"}, 1.5,
                     id="the least"),
        pytest.param(POD, {"cpu.max": "400000 100000"}, 4.0, id="the path is the host's"),
        pytest.param("0::/../other\n", {"cpu.max": "400000 100000"}, 4.0, id="outside the namespace"),
        pytest.param("0::/\n", {"cpu.max": "garbage\n"}, None, id="garbage"),
        pytest.param("0::/\n", {"cpu.max": "100000 0\n"}, None, id="no period"),
        pytest.param("", {"cpu.max": "200000 100000\n"}, None, id="no groups"),
        pytest.param(DOCKER, {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.5,
                     id="version 1 in a container"),
        pytest.param(DOCKER, {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "100000\n",
                              "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "50000\n"}, 2.0, id="version 1 on the host"),
        pytest.param(DOCKER, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None,
                     id="version 1 without a limit"),
    ],
)  # fmt: skip
def test_the_limit(tmp_path: Path, groups: str, files: Mapping[str, str], cores: float | None) -> None:
    """Of its control group and all above it the least counts."""
    placed = {f"{CGROUP}/{name}": text for name, text in files.items()}
    assert limit(host(tmp_path, {"proc/self/cgroup": groups, **placed})) == cores


def test_without_control_groups_there_is_none(tmp_path: Path) -> None:
    """Nor without /proc."""
    assert limit(tmp_path) is None


def test_here_it_is_told(tmp_path: Path) -> None:
    """Whatever this machine's is."""
    here = limit()
    assert here is None or here > 0


@pytest.mark.parametrize(
    ("text", "cores"),
    [("0-3,8,10-11\n", {0, 1, 2, 3, 8, 10, 11}), ("5\n", {5}), ("\n", None), ("x\n", None), (None, None)],
)
def test_cores_of_a_memory_node(tmp_path: Path, text: str | None, cores: set[int] | None) -> None:
    """None where the kernel does not tell, or the node has none."""
    files = {} if text is None else {"sys/devices/system/node/node1/cpulist": text}
    assert cores_of_node(1, host(tmp_path, files)) == cores

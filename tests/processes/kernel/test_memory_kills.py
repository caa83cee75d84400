"""How many processes the kernel has ended for want of memory is read where it counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpupool.processes.kernel.memory import ended_for_memory

VERSION_2 = "0::/kubepods/pod1\n"
VERSION_1 = "9:name=systemd:/\n4:memory:/docker/abc\n0::/\n"
CGROUP = "sys/fs/cgroup"
EVENTS = "low 0\nhigh 0\nmax 9\noom 4\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
VMSTAT = {"proc/vmstat": "pgfault 12\noom_kill 7\npgmajfault 3\n"}


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        (VERSION_2, {f"{CGROUP}/kubepods/pod1/memory.events": EVENTS.format(3), **VMSTAT}, 3),
        (VERSION_2, {f"{CGROUP}/kubepods/pod1/memory.events": EVENTS.format(0), **VMSTAT}, 0),
        (VERSION_1, {f"{CGROUP}/memory/docker/abc/memory.oom_control": CONTROL.format(2), **VMSTAT}, 2),
        ("0::/\n", {f"{CGROUP}/memory.events": EVENTS.format(5), **VMSTAT}, 5),
        ("0::/\n", VMSTAT, 7),
        (VERSION_1, VMSTAT, 7),
        ("0::/\n", {f"{CGROUP}/memory.events": "garbage\n", **VMSTAT}, 7),
        ("0::/\n", {}, 0),
        ("", VMSTAT, 7),
    ],
    ids=["v2", "v2 none", "v1", "in its own namespace", "the root", "v1 hidden", "garbage", "nothing", "no groups"],
)
def test_the_count(tmp_path: Path, groups: str, files: dict[str, str], count: int) -> None:
    """Of its control group, else of the machine: others' processes are no concern of a container's."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert ended_for_memory(str(tmp_path)) == count


def test_this_machine_counts() -> None:
    """Whatever it counts, it is no less a moment later."""
    assert 0 <= ended_for_memory() <= ended_for_memory()

"""The processor's model, and what the kernel says of programs that waited for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpupool.processes.cpu.model import model
from pytest_gpupool.processes.cpu.pressure import Pressure

PRESSURE = "some avg10=1.00 avg60=2.00 avg300=3.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


def host(directory: Path, **files: str) -> str:
    """A root directory with these files, of which the names have ``__`` for a slash; return it with its slash."""
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"{directory}/"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 7763\nflags\t: fpu\n", "AMD EPYC 7763"),
        ("model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\n", "Intel Xeon CPU @ 2.20GHz"),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", None),
        ("model name\t:\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_model_is_what_the_kernel_says(tmp_path: Path, text: str, name: str | None) -> None:
    assert model(host(tmp_path, proc__cpuinfo=text)) == name


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert (model(f"{tmp_path}/"), Pressure(f"{tmp_path}/").seconds()) == (None, None)


def test_pressure_is_that_of_the_own_group(tmp_path: Path) -> None:
    root = host(
        tmp_path,
        proc__pressure__cpu=PRESSURE.format(5_000_000),
        proc__self__cgroup="0::/mine/deep\n",
        sys__fs__cgroup__mine__deep__cgroup="",
    )
    assert Pressure(root).seconds() == 5.0
    (tmp_path / "sys/fs/cgroup/mine/deep/cpu.pressure").write_text(PRESSURE.format(2_500_000))
    pressure = Pressure(root)
    assert pressure.seconds() == 2.5
    (tmp_path / "sys/fs/cgroup/mine/deep/cpu.pressure").write_text(PRESSURE.format(2_600_000))
    assert pressure.seconds() == 2.6


def test_an_account_that_is_not_kept_is_none(tmp_path: Path) -> None:
    assert Pressure(host(tmp_path, proc__pressure__cpu="")).seconds() is None

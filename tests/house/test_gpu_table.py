"""The table of the checks of real GPUs, and why they are skipped: told right without a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from gpu_machine import NO_TORCH, SUITES, Machine, Torch, ask_torch, why_not
from gpu_table import PROPERTY, Checks, Row, lines, rows_of

from pytest_gpupool.devices.pool import Pool
from pytest_gpupool.values.device import Device

GPU = Device(id="GPU-8a5c", kind="gpu", index=0, name="NVIDIA H200", memory_total=1)
POOL = Pool(devices=(GPU,), driver="570.86.15")
GOOD = Torch(version="2.13.0", cuda="13.0", devices=1, error=None)


@pytest.mark.parametrize(
    ("pool", "torch", "reason"),
    [
        (POOL, GOOD, None),
        (Pool(no_gpu="the NVIDIA driver is not loaded"), GOOD, "no GPU to check: the NVIDIA driver is not loaded"),
        (POOL, None, NO_TORCH),
        (
            POOL,
            Torch(version="2.13.0+cpu", cuda=None, devices=0, error=None),
            "torch 2.13.0+cpu is built without CUDA",
        ),
        (
            POOL,
            Torch(version="2.13.0", cuda="13.0", devices=0, error="The NVIDIA driver on your system is too old"),
            "CUDA does not start in torch 2.13.0: The NVIDIA driver on your system is too old",
        ),
        (
            POOL,
            Torch(version="2.13.0", cuda="13.0", devices=0, error=None),
            "torch 2.13.0 (CUDA 13.0) sees no GPU, and NVML sees one",
        ),
        (
            Pool(devices=(Device(id="0", kind="gpu", index=0, name="AMD", memory_total=1),)),
            GOOD,
            "no NVIDIA GPU to check, but 1 GPU (AMD)",
        ),
    ],
)
def test_why_nothing_can_be_checked(pool: Pool, torch: Torch | None, reason: str | None) -> None:
    """The first thing that is missing, with what to do where something can be done."""
    assert why_not(pool, lambda: torch) == reason


def test_torch_is_not_asked_where_there_is_no_gpu() -> None:
    """To load it takes seconds."""

    def asked() -> Torch | None:
        raise AssertionError

    assert why_not(Pool(no_gpu="none"), asked) == "no GPU to check: none"


def test_what_torch_says_is_read(tmp_path: Any) -> None:
    """Where it is missing, broken, or has no CUDA; each in a process of its own."""
    package = tmp_path / "torch.py"
    environ = {"PYTHONPATH": str(tmp_path)}
    package.write_text('__version__ = "2.13.0+cpu"\nclass version: cuda = None\n')
    assert ask_torch(environ=environ) == Torch(version="2.13.0+cpu", cuda=None, devices=0, error=None)
    package.write_text("raise ImportError('libcudart.so.13: cannot open shared object file')\n")
    assert ask_torch(environ=environ) == Torch(
        version="?", cuda=None, devices=0, error="ImportError: libcudart.so.13: cannot open shared object file"
    )
    package.write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    assert ask_torch(environ=environ) is None


def test_a_machine_is_named() -> None:
    """As the heading of the table has it."""
    machine = Machine(devices=(GPU, GPU), driver="570.86.15", torch=GOOD)
    assert str(machine) == "2 × NVIDIA H200, driver 570.86.15, torch 2.13.0 (CUDA 13.0)"
    assert (len(machine.gpus), len(machine.instances)) == (2, 0)


def test_a_check_that_fails_keeps_no_other_from_being_looked_at() -> None:
    """Equal things, things near each other, and what words tell."""
    checks = Checks()
    checks.equal("a number", 1, 2)
    checks.near("near", 100.0, 104.9, rel=0.05)
    checks.near("not near", 100.0, 105.1, rel=0.05)
    checks.near("not measured", 100.0, None, rel=0.05)
    checks.near("by so much", 0.0, 0.2, atol=0.25)
    checks.true("words", "some", "none", good=False)
    assert [row.verdict for row in checks.rows] == ["BAD", "ok", "BAD", "BAD", "ok", "BAD"]
    assert checks.rows[1].cells == ("near", "100 ± 5", "104.9", "ok")
    assert checks.bad == [checks.rows[0], checks.rows[2], checks.rows[3], checks.rows[5]]


def report(name: str, outcome: str, rows: list[Row] | None = None, longrepr: object = None) -> SimpleNamespace:
    """What the table reads of pytest's reports."""
    return SimpleNamespace(
        nodeid=f"tests/gpu/test_real.py::test_{name}",
        skipped=outcome == "skipped",
        failed=outcome == "failed",
        user_properties=[(PROPERTY, list(row.cells)) for row in rows or []],
        longrepr=longrepr,
    )


OK = Row(what="a thing", expected="1", seen="1", verdict="ok")
BAD = Row(what="another thing", expected="a long word " * 20, seen="2", verdict="BAD")


def test_rows_of_reports() -> None:
    """Each once; a test that was skipped or broke has a row of its own, after those that it has made."""
    crash = SimpleNamespace(reprcrash=SimpleNamespace(message="AssertionError: the run hangs\nmore"))
    reports = [
        report("good", "passed", [OK]),
        report("bad", "failed", [OK, BAD]),
        report("two_gpus", "skipped", longrepr=("file", 1, "Skipped: needs two whole GPUs, and this machine has 1")),
        report("broken", "failed", [OK], crash),
        report("broken", "failed", [OK], crash),  # in its tear-down, too
    ]
    rows = rows_of(reports)
    assert rows[:3] == [OK, OK, BAD]
    assert rows[3].cells == ("two gpus", "", "needs two whole GPUs, and this machine has 1", "skipped")
    assert rows[4:] == [
        OK,
        Row(what="broken", expected="to run", seen="AssertionError: the run hangs", verdict="ERROR"),
    ]


def test_the_table() -> None:
    """Columns of equal width, long texts cut, and a count of each verdict."""
    told = lines([OK, BAD], 311.4)
    assert told[0].split() == ["WHAT", "EXPECTED", "SEEN", "VERDICT"]
    assert told[1].split() == ["a", "thing", "1", "1", "ok"]
    assert "a long word…" in told[2].replace("a long wo…", "a long word…")
    assert (
        len({line.index("VERDICT") if "VERDICT" in line else line.rindex(line.split()[-1]) for line in told[:3]}) == 1
    )
    assert told[-1] == "2 checks in 311 s: 1 ok, 1 BAD"


def test_one_line_where_nothing_was_checked() -> None:
    """For one reason; several are a table."""
    skipped = [Row(what=what, expected="", seen="no GPU", verdict="skipped") for what in ("one", "two")]
    assert lines(skipped, 1) == ["nothing was checked: no GPU"]
    assert len(lines([*skipped, Row(what="three", expected="", seen="other", verdict="skipped")], 1)) == 6


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.py")), ids=lambda path: path.stem)
def test_the_suites_are_programs(path: Any) -> None:
    """They parse here, too, where nothing runs them."""
    compile(path.read_text(encoding="utf-8"), str(path), "exec")

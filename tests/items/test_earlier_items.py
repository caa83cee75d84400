"""What runs had said of items before: of one that cannot be read it is said why."""

from __future__ import annotations

from pathlib import Path

from pytest_gpupool.items.earlier import Earlier

RUN = "20261121T000000Z-9f3c2a"


def test_a_run_that_cannot_be_read_costs_its_outputs_alone(tmp_path: Path) -> None:
    """And is not said to be gone."""
    bad = tmp_path / RUN
    (bad / "gw0.jsonl").mkdir(parents=True)
    earlier = Earlier(tmp_path)
    assert earlier.of(RUN, "t.py::a") == {}
    assert earlier.why_not(RUN) == (
        f"What was said before is not shown: the baseline is of run {RUN}, which is on record here, but: "
        f"{bad} cannot be read: Is a directory."
    )
    gone = RUN.replace("9f3c2a", "000000")
    assert earlier.why_not(gone).endswith(f"is of run {gone}, which is not on record here.")

"""The live table shows what there is room for, and nothing that a test is called commands the terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_gpupool.live import layout
from pytest_gpupool.live.painter import Painter
from pytest_gpupool.live.run_state import Counts, Row
from pytest_gpupool.live.snapshot import Reading, Snapshot


def row(number: int, seconds: float | None = 0.0, **fields: Any) -> Row:
    test = None if seconds is None else f"test_suite.py::test_case[{number}]"
    return Row(worker=f"gw{number}", pid=1, devices=(f"GPU-{number}",), test=test, seconds=seconds, **fields)


def snapshot(*rows: Row, **fields: Any) -> Snapshot:
    values: dict[str, Any] = {
        "rows": rows,
        "counts": Counts(total=500, done=120, failed=2, running=8),
        "labels": {row.worker: f"GPU {number}" for number, row in enumerate(rows)},
        "readings": {row.worker: Reading(memory=61 << 30, utilization=98.0) for row in rows},
        "remaining": 720.0,
        "end": "about 14:32 (in 12 min)",
        "failure": None,
    }
    return Snapshot(**{**values, **fields})


def painted(shown: Snapshot, *, columns: int = 100, lines: int = 24, colour: bool = False) -> list[str]:
    return Painter(colour=colour).paint(shown, columns=columns, lines=lines)


def test_a_table_has_all_columns_where_there_is_room() -> None:
    heading, first, last = painted(snapshot(row(0, 85.0, metric={"name": "accuracy", "value": 0.9137, "unit": ""})))
    assert heading.split() == ["DEVICE", "TEST", "ELAPSED", "MEMORY", "UTIL", "LAST", "METRIC"]
    assert re.split(r"\s{2,}", first.strip()) == [
        "GPU 0",
        "test_case[0]",
        "85 s",
        "61.0 GiB",
        "98%",
        "accuracy 0.9137",
    ]
    assert last.strip() == "120 of 500 done, 2 failed, 8 running, 372 left, end about 14:32 (in 12 min)"


@pytest.mark.parametrize(
    ("columns", "left_out"),
    [
        (100, []),
        (60, ["UTIL"]),
        (54, ["UTIL", "MEMORY"]),
        (40, ["UTIL", "MEMORY", "LAST METRIC"]),
        (30, ["UTIL", "MEMORY", "LAST METRIC", "ELAPSED"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns(columns: int, left_out: list[str]) -> None:
    """What tells most stays: the device and the test."""
    heading = painted(snapshot(row(0), row(1)), columns=columns)[0]
    assert {name for name in layout.HEADINGS if name not in heading} == {*left_out}


@pytest.mark.parametrize("columns", [1, 2, 10, 20, 40, 80, 200])
@pytest.mark.parametrize("lines", [1, 2, 8, 24])
def test_the_table_never_fills_the_terminal(columns: int, lines: int) -> None:
    """No row is as wide as the terminal, and a line at least is left to others."""
    shown = snapshot(*(row(number, float(number)) for number in range(40)), failure=("test_" + "x" * 300, "no " * 300))
    rows = painted(shown, columns=columns, lines=lines)
    assert 1 <= len(rows) <= max(1, lines - 1)
    assert max(map(len, rows)) < max(2, columns)


def test_of_many_devices_those_are_shown_whose_tests_run_the_longest() -> None:
    rows = painted(snapshot(*(row(number, float(number)) for number in range(20))), lines=15)
    shown = [line.split()[1] for line in rows if line.startswith("GPU")]
    assert shown == [str(number) for number in range(14, 20)]
    assert "… and 14 more" in "\n".join(rows)


def test_what_a_test_is_called_cannot_change_the_terminal() -> None:
    """Neither rich's markup, nor what the terminal takes for a command, nor a line's end."""
    nodeid = "test_a.py::test_b[[red]\x1b[31m\n:smile:]"
    one = Row(worker="gw0", pid=1, devices=("GPU-0",), test=nodeid, seconds=0.0)
    told = {"labels": {"gw0": "GPU 0"}, "failure": (nodeid, "E   [bold]\x07no")}
    rows = painted(snapshot(one, **told))
    assert len(rows) == 4
    assert r"test_b[[red]\x1b[31m :smile:]" in rows[1]
    assert rows[3].strip() == r"failed last: test_b[[red]\x1b[31m :smile:]: [bold]\x07no"


def test_what_is_suspect_is_told_at_once() -> None:
    """The last of them, and how many more there are."""
    suspects = {"test_a.py::test_b": ["accuracy"], "test_a.py::test_c": ["f1", "loss"]}
    assert (
        painted(snapshot(row(0), suspects=suspects))[-1].strip()
        == "suspect, measured again: loss of test_c, and 2 more"
    )


def test_colours_are_used_where_the_terminal_has_them() -> None:
    assert "\x1b[" in "".join(painted(snapshot(row(0)), colour=True))
    assert "\x1b[" not in "".join(painted(snapshot(row(0)), colour=False))

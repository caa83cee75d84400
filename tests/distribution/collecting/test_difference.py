"""What is said where two workers have collected different tests is short, and names the likely cause."""

from __future__ import annotations

import pytest

from pytest_gpupool.distribution.collecting import difference

CAUSES = {
    "set": [
        (["t.py::test_a[0-x]", "t.py::test_a[1-y]"], ["t.py::test_a[0-y]", "t.py::test_a[1-x]"]),
        (["t.py::test_a[x-y]"], ["t.py::test_a[y-x]"]),
    ],
    "address": [(["t.py::test_a[<Model at 0x7f3164d8fb90>]"], ["t.py::test_a[<Model at 0x7f2f6bd0>]"])],
    "worker": [(["t.py::test_a[gw0]"], ["t.py::test_a[gw1]"]), ([], ["t.py::test_a[data/gw1.bin]"])],
    "time": [
        (["t.py::test_a[1795608545.12]"], ["t.py::test_a[1795608546.5]"]),
        (["t.py::test_a[2026-11-30]"], ["t.py::test_a[2026-12-01]"]),
        (["t.py::test_a[run-23:59:59]"], ["t.py::test_a[run-00:00:00]"]),
    ],
    "random": [
        (["t.py::test_a[0.7312]", "t.py::test_a[0.1]"], ["t.py::test_a[0.21]", "t.py::test_a[0.3]"]),
        (["t.py::test_a[5f3e9a]"], ["t.py::test_a[c01d77]"]),
    ],
    "device": [
        ([], ["t.py::test_a[cuda:1]"]),
        ([], ["t.py::test_on_device[1]", "t.py::test_on_device[2]"]),
        (["t.py::test_a[gpu0]"], ["t.py::test_a[gpu1]"]),
    ],
    "": [
        ([], ["t.py::test_fits[64]"]),
        (["t.py::test_a[1]"], ["t.py::test_b[1]"]),
        ([], ["t.py::test_timeout[10000000000]"]),
        (["t.py::test_gpupool"], []),
    ],
}


@pytest.mark.parametrize(
    ("cause", "first", "other"), [(cause, *ids) for cause, examples in CAUSES.items() for ids in examples]
)
def test_the_cause_is_seen_by_the_ids(cause: str, first: list[str], other: list[str]) -> None:
    """Where they show it; what nobody knows is told in general."""
    assert difference.cause(first, other) == cause


def test_it_is_told_in_ten_lines_at_most() -> None:
    """With a few tests of each worker, however many differ and however long their ids are."""
    first = [f"t.py::test_a[{'x' * 9_000}\\n{number}]" for number in range(50)]
    text = difference.text("gw0", "gw1", first, ["t.py::test_a[1]"])
    lines = text.splitlines()
    assert lines[0] == "gw1 collected other tests than gw0; each runs on the workers that have it"
    assert lines[3:5] == ["  only gw0: 48 more", "  only gw1: t.py::test_a[1]"]
    assert len(lines) <= 10
    assert max(map(len, lines)) < 300


def test_every_cause_has_a_cure() -> None:
    """What to do follows what it probably is."""
    for cause, examples in CAUSES.items():
        told = difference.text("gw0", "gw1", *examples[0]).splitlines()[-1]
        assert told.startswith("  probably "), cause
        assert any(word in told for word in (": use ", ": give ", ": what ", ": take ", ": seed ")), told


def test_tests_that_were_written_meanwhile_are_named() -> None:
    """The first of them."""
    assert "gw3 found b::x, b::y, and 1 more, which this run leaves out" in difference.edited(
        "gw3", ["b::x", "b::y", "b::z"]
    )

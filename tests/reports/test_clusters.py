"""Failures that say the same, but for what is different each time."""

from __future__ import annotations

import pytest
from made_reports import a_test

from pytest_gpupool.reports.html.clusters import alike, clusters


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("assert 0.8812 > 0.9", "assert 0.75 > 0.9"),
        ("assert -1.5e-3 == 0", "assert 12 == 0"),
        ("assert nan > 0", "assert 0.1 > 0"),
        ("<Model at 0x7f00aa>", "<Model at 0x7fffc01d>"),
        ("Tried to allocate 20.00 GiB", "Tried to allocate 1.50 GiB"),
        ("run 4f1d2a3b9c failed", "run 9911aabb0c failed"),
        ("GPU-8a5c7d61-1111-4000-8000-00000000000a fell off", "GPU-00000000-2222-4000-8000-00000000000b fell off"),
        ("worker gw2 crashed", "worker gw17 crashed"),
        ("at 2026-11-21T11:46:52.123Z", "at 2025-01-02 03:04:05"),
        ("no file /tmp/pytest-of-a/pytest-3/x", "no file /tmp/pytest-of-a/pytest-41/x"),
        ("took 1,234 ms", "took 9 ms"),
        ("a  b\tc", "a b c"),
    ],
)
def test_what_is_alike(one: str, other: str) -> None:
    assert alike(one) == alike(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no", "TypeError: no"),
        ("cuda out of memory", "cuda error"),
        ("key 'abcdefgh' is missing", "key 'hgfedcba' is missing"),
        ("utf8_decode failed", "utf16_decode failed"),
        ("assert a > b", "assert a < b"),
        ("", "x"),
    ],
)
def test_what_is_not(one: str, other: str) -> None:
    assert alike(one) != alike(other)


def test_the_largest_kind_comes_first() -> None:
    """Each has the words of its first test, and the places of all; a failure without a word is one of its outcome."""
    tests = [
        a_test("a", "failed", message="E  KeyError: 1"),
        a_test("b", "failed", message="E  no"),
        a_test("c"),
        a_test("d", "error", message="E  no"),
        a_test("e", "crashed"),
        a_test("f", "skipped", message="E  no"),
    ]
    found = [(cluster.text, cluster.tests) for cluster in clusters(tests)]
    assert found == [("no", [1, 3]), ("KeyError: 1", [0]), ("crashed, without a message", [4])]

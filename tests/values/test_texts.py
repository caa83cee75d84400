"""Texts as a terminal's lines: cut, and without what would break them."""

from __future__ import annotations

import pytest

from pytest_gpupool.values.texts import cut, cut_middle, one_line, visible


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("short", 5, "short"), ("test_a[llama-8b-5]", 11, "test_…8b-5]"), ("ab", 1, "…"), ("ab", 0, "")],
)
def test_a_long_name_is_cut_in_its_middle(text: str, width: int, expected: str) -> None:
    """Parameters, which tell tests apart, are at its end."""
    shown = cut_middle(text, width)
    assert len(shown) <= width
    assert shown == expected


def test_a_long_text_is_cut_at_its_end() -> None:
    assert cut("reason", 6) == "reason"
    assert cut("reasons", 6) == "reaso…"


@pytest.mark.parametrize(
    ("text", "lines", "line"),
    [
        ("naïve ☃", "naïve ☃", "naïve ☃"),
        ("a\r\nb\tc", "a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31m\u202e\ud800", r"\x1b[31m\u202e\ud800", r"\x1b[31m\u202e\ud800"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, lines: str, line: str) -> None:
    """Several lines stay several where there is room for them."""
    assert visible(text) == lines
    assert one_line(text) == line

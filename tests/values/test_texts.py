"""Texts as a terminal's lines: cut, and without what would break them."""

from __future__ import annotations

import pytest

from pytest_gpupool.values.texts import cut, cut_middle, one_line, seconds, visible


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


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("1.5", 1.5), ("1e3", 1000), ("90s", 90), ("5m", 300), ("2h", 7200), ("10min", 600), (" 3 h ", 10800)],
)
def test_a_time_is_read_with_its_unit(text: str, value: float) -> None:
    """Seconds without one."""
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "nan", "inf", "s", "5d", "5 m s", "1e400", "five", "-2h", "1.2.3", "\u0663"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """With ValueError."""
    with pytest.raises(ValueError, match=r".*"):
        seconds(text)

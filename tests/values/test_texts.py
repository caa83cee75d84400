"""Texts as a terminal's lines: cut, and without what would break them."""

from __future__ import annotations

import pytest

from pytest_gpupool.values.texts import cell, cut, cut_middle, one_line, seconds, visible


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("short", 5, "short"), ("test_a[llama-8b-5]", 11, "test_…8b-5]"), ("ab", 1, "…"), ("ab", 0, "")],
)
def test_a_long_name_is_cut_in_its_middle(text: str, width: int, expected: str) -> None:
    """Parameters, which tell tests apart, are at its end."""
    shown = cut_middle(text, width)
    assert len(shown) <= width
    assert shown == expected


def test_a_cell_of_csv_is_no_formula() -> None:
    """A text that a spreadsheet would run has a quote before it; numbers stay, also those that are written as texts."""
    formulas = [
        "=1+1",
        "+a",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\0=1",
        "＝1",
        "-",
        "--1",
        "'=1",
    ]
    assert [cell(text) for text in formulas] == [f"'{text}" for text in formulas]
    plain = ["", "a=1", "'a'", "'", " a", "-1", "+3", "-0.5", "-.5e-3", "+1E9", "-inf", "-nan", -1, 2.5, None, True]
    assert [cell(value) for value in plain] == plain
    assert [cell(text) for text in ("-1\n", "-1_000", "-١", "-0x1", "-1,5")] == [
        *("'-1\n", "'-1_000", "'-١", "'-0x1", "'-1,5"),
    ]  # fmt: skip


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

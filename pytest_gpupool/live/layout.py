"""The layout of the live table: which of its columns a terminal has room for, and how wide each is.

Pure: standard library only, no clock, no files. Widths are in characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HEADINGS = ("DEVICE", "TEST", "ELAPSED", "MEMORY", "UTIL", "LAST METRIC")
GAP = 2
"""Between two columns."""

_TEST = HEADINGS.index("TEST")
_LEAST = (6, 4, 9, 9, 4, 11)  # what most values need, so that columns do not jump from one look to the next
_WIDEST = (24, 1000, 12, 12, 6, 32)
_TEST_NEEDS = 18  # below which another column is left out for it
_LEFT_OUT = ("UTIL", "MEMORY", "LAST METRIC", "ELAPSED")  # in this order


def natural(rows: Iterable[Sequence[str]], before: Sequence[int] = _LEAST) -> list[int]:
    """Return how wide the columns would be that hold these cells, and as wide as ``before``."""
    widths = list(before)
    for row in rows:
        widths = [max(width, min(len(cell), most)) for width, cell, most in zip(widths, row, _WIDEST, strict=True)]
    return widths


def columns(wanted: Sequence[int], width: int) -> list[int]:
    """Return the widths of the columns where there is room for so many characters in all; 0 for one left out."""
    widths = list(wanted)
    for name in (None, *_LEFT_OUT):
        if name is not None:
            widths[HEADINGS.index(name)] = 0
        others = sum(one + GAP for number, one in enumerate(widths) if one and number != _TEST)
        if width - others >= min(wanted[_TEST], _TEST_NEEDS):
            break
    widths[_TEST] = max(1, min(wanted[_TEST], width - others))
    return widths


def lines(parts: Iterable[str], width: int) -> list[str]:
    """Return the parts with commas between them, in lines of so many characters, where none is longer by itself."""
    found: list[str] = []
    for part in parts:
        if found and len(found[-1]) + len(part) + 2 < width:
            found[-1] += f", {part}"
        else:
            found[-1:] = [f"{line}," for line in found[-1:]]
            found.append(part)
    return found

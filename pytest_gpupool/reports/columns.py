"""Columns: rows of text, aligned for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def show(rows: Sequence[Sequence[str]], *, right: Sequence[bool]) -> None:
    """Print rows, the first of which is the head; ``right`` says which columns hold numbers."""
    for line in lines(rows, right=right):
        print(line)


def lines(rows: Sequence[Sequence[str]], *, right: Sequence[bool]) -> Iterator[str]:
    """Yield rows as lines with aligned columns, without spaces at their ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            f"{cell:>{width}}" if to_the_right else f"{cell:<{width}}"
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        )
        yield "  ".join(cells).rstrip()

"""The chart of a table: a metric over one parameter, a line for each value of another, as SVG.

Pure: standard library only, no clock, no files. The picture needs no font, script or style from elsewhere, and follows
the reader's choice of dark or light.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ..values.errors import UsageProblem
from ..values.texts import cut, one_line
from .labels import Label
from .table import Cell, Table

WIDTH, HEIGHT = 800, 440

_LEFT, _RIGHT, _TOP, _BOTTOM = 88, 600, 64, 372
_ROOM = 0.06  # of an axis, beyond the outermost values
_MOST_LINES = 12
_APART = 48  # of two labels below the chart, at least
_WIDEST_LABEL = 8  # of these, characters
_LONGEST = 90  # characters of the title
_WIDEST = 24  # of what a line is called
_COLOURS = 6  # then lines are dashed

_STYLE = """
svg { background: #fff; font: 13px system-ui, sans-serif; fill: #1f2328; }
.grid { stroke: #d1d9e0; } .line { fill: none; stroke-width: 2; } .dashed { stroke-dasharray: 5 4; }
.soft { fill: #59636e; } .title { font-size: 16px; font-weight: 600; }
.c0 { stroke: #0969da; } .c1 { stroke: #bc4c00; } .c2 { stroke: #1a7f37; } .c3 { stroke: #8250df; }
.c4 { stroke: #bf3989; } .c5 { stroke: #57606a; } circle { fill: #fff; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; fill: #f0f6fc; } .grid { stroke: #3d444d; } .soft { fill: #9198a1; }
.c0 { stroke: #4493f8; } .c1 { stroke: #f0883e; } .c2 { stroke: #3fb950; } .c3 { stroke: #ab7df8; }
.c4 { stroke: #db61a2; } .c5 { stroke: #9198a1; } circle { fill: #0d1117; }
}
"""

# What XML cannot carry at all, as what stands for something that cannot be shown.
_NO_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where values from ``least`` to ``most`` stand between two places, their logarithms where ``is_log``."""

    least: float
    most: float
    first: float
    last: float
    is_log: bool

    @classmethod
    def of(cls, values: Sequence[float], first: float, last: float, *, is_log: bool) -> _Axis:
        found = [math.log10(value) for value in values] if is_log else list(values)
        low, high = min(found), max(found)
        room = (high - low) * _ROOM or abs(high) * _ROOM or 1.0
        return cls(low - room, high + room, first, last, is_log)

    def place(self, value: float) -> float:
        found = math.log10(value) if self.is_log else value
        return round(self.first + (self.last - self.first) * (found - self.least) / (self.most - self.least), 1)

    def ticks(self) -> list[float]:
        """Return round values within it."""
        if self.is_log and self.most - self.least >= 1:
            every = math.ceil((self.most - self.least) / 6)
            return [10.0**power for power in range(math.ceil(self.least), math.floor(self.most) + 1, every)]
        low, high = (10**self.least, 10**self.most) if self.is_log else (self.least, self.most)
        power = 10.0 ** math.floor(math.log10((high - low) / 5))
        step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) * 6 >= high - low)
        return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def svg(table: Table, *, is_log: bool) -> str:
    """Return the chart of a table whose rows are along the x axis, of which each column has a line.

    ``is_log``: the y axis is logarithmic, and the x axis where it has numbers. A bar shows a standard deviation, where
    a cell has one.

    Raises:
        UsageProblem: there is nothing to be shown, or something that a logarithmic axis has no place for.
    """
    lines = [line for line in _lines(table) if line[1]][:_MOST_LINES]
    if not lines:
        raise UsageProblem(f"there is no value of {table.metric} to plot")
    xs = _places(table, is_log=is_log)
    values = [value for _, points in lines for _, cell in points for value in _reach(cell)]
    if is_log and min(values) <= 0:
        values = [value for _, points in lines for _, cell in points if (value := float(cell.mean)) > 0]
        if len(values) < sum(len(points) for _, points in lines):
            raise UsageProblem(f"--log: {table.metric} has values that are not above 0")
    across = _Axis.of(list(xs.values()), _LEFT, _RIGHT, is_log=is_log and _is_numeric(table, positive=True))
    up = _Axis.of(values, _BOTTOM, _TOP, is_log=is_log)
    title = _xml(cut(table.caption, _LONGEST))
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" aria-labelledby="title">',
        f'<title id="title">{title}</title>',
        f"<style>{_STYLE}</style>",
        f'<text x="24" y="32" class="title">{title}</text>',
        *_grid(up),
        *_below(table, xs, across),
        *(part for number, line in enumerate(lines) for part in _line(number, *line, xs, across, up)),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def _lines(table: Table) -> Iterator[tuple[str, list[tuple[int, Cell]]]]:
    """Yield the lines: what each is called, and its cells by the row; one for each column, and function."""
    tests = dict.fromkeys(label.test for label in table.row_labels)
    for test in tests:
        rows = [place for place, label in enumerate(table.row_labels) if label.test == test]
        for column, label in enumerate(table.col_labels):
            named = [test if len(tests) > 1 else "", "" if table.cols is None else f"{table.cols}={label.text}"]
            cells = ((row, table.cells[row][column]) for row in rows)
            yield " ".join(filter(None, named)), [(row, cell) for row, cell in cells if _is_shown(cell)]  # type: ignore[misc]


def _is_shown(cell: Cell | None) -> bool:
    try:
        return cell is not None and math.isfinite(float(cell.mean))
    except OverflowError:  # an int may be of any size
        return False


def _reach(cell: Cell) -> tuple[float, ...]:
    value, sd = float(cell.mean), cell.sd or 0.0
    return value - sd, value, value + sd


def _is_numeric(table: Table, *, positive: bool = False) -> bool:
    values = [label.value for label in table.row_labels]
    is_number = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    return is_number and (not positive or min(values) > 0)


def _places(table: Table, *, is_log: bool) -> dict[int, float]:
    """Return where each row stands on the x axis: at its number, else one after the other."""
    if _is_numeric(table) and (not is_log or _is_numeric(table, positive=True)):
        return {row: float(label.value) for row, label in enumerate(table.row_labels)}
    known: dict[str, int] = {}
    return {row: float(known.setdefault(label.text, len(known))) for row, label in enumerate(table.row_labels)}


def _grid(up: _Axis) -> Iterator[str]:
    for value in up.ticks():
        y = up.place(value)
        yield f'<path d="M{_LEFT} {y}H{_RIGHT}" class="grid"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end" class="soft">{value:g}</text>'


def _below(table: Table, xs: dict[int, float], across: _Axis) -> Iterator[str]:
    labels: dict[float, Label] = {}
    for row, x in xs.items():
        labels.setdefault(x, table.row_labels[row])
    last = -math.inf
    for place, label in sorted((across.place(x), label.text) for x, label in labels.items()):
        if place - last >= _APART:
            last = place
            text = _xml(cut(label, _WIDEST_LABEL))
            yield f'<text x="{place}" y="{_BOTTOM + 20}" text-anchor="middle">{text}</text>'
    middle = (_LEFT + _RIGHT) / 2
    name = _xml(cut(table.rows or "", _WIDEST))
    yield f'<text x="{middle}" y="{_BOTTOM + 46}" text-anchor="middle" class="soft">{name}</text>'


def _line(
    number: int, name: str, points: Sequence[tuple[int, Cell]], xs: dict[int, float], across: _Axis, up: _Axis
) -> Iterator[str]:
    kind = f"c{number % _COLOURS}{' dashed' if number >= _COLOURS else ''}"
    places = [(across.place(xs[row]), up.place(float(cell.mean)), cell) for row, cell in points]
    yield f'<polyline points="{" ".join(f"{x},{y}" for x, y, _ in places)}" class="line {kind}"/>'
    for x, y, cell in places:
        low, _, high = _reach(cell)
        if cell.sd and (not up.is_log or low > 0):
            yield f'<path d="M{x} {up.place(low)}V{up.place(high)}" class="line {kind}"/>'
        yield f'<circle cx="{x}" cy="{y}" r="4" class="{kind}"><title>{_xml(_said(name, cell))}</title></circle>'
    top = _TOP + 20 * number
    if name:
        yield f'<path d="M{_RIGHT + 16} {top}h20" class="line {kind}"/>'
        yield f'<text x="{_RIGHT + 42}" y="{top + 4}">{_xml(cut(name, _WIDEST))}</text>'


def _said(name: str, cell: Cell) -> str:
    sd = "" if cell.sd is None else f" ± {cell.sd:.2g}"
    return f"{name} {float(cell.mean):.6g}{sd} {cell.unit}".strip()


def _xml(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", one_line(text)))

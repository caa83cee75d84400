"""The chart of a suite's scaling: time and efficiency over the number of workers, as SVG.

Pure: standard library only, no clock, no files. The picture needs no font, script or style from elsewhere, and follows
the reader's choice of dark or light.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from .speedup import CLASSES, Point

WIDTH, HEIGHT = 800, 372

_TOP, _BOTTOM = 84, 312  # of both plots
_LEFT, _RIGHT = (64, 376), (456, 712)  # of the one on time, and of the one on efficiency
_HEADROOM = 1.15  # for the label of the highest point
_LONGEST = 70  # characters of the title
_MOST_LABELS = 8
_UNITS = ((7200, "h", 3600), (300, "min", 60), (0, "s", 1))  # from so many seconds on; seconds in one

_STYLE = """
svg { background: #fff; font: 13px system-ui, sans-serif; fill: #1f2328; }
.grid { stroke: #d1d9e0; } .ideal { stroke: #59636e; stroke-dasharray: 5 4; } .is { stroke: #0969da; }
.grid, .ideal, .is { fill: none; } .is { stroke-width: 2; } .dot { fill: #0969da; }
.soft { fill: #59636e; } .head { font-weight: 600; } .title { font-size: 16px; font-weight: 600; }
.excellent { fill: #1a7f37; } .good { fill: #9a6700; } .poor { fill: #cf222e; } .band { fill-opacity: .13; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; fill: #f0f6fc; }
.grid { stroke: #3d444d; } .ideal { stroke: #9198a1; } .is { stroke: #4493f8; } .dot { fill: #4493f8; }
.soft { fill: #9198a1; } .excellent { fill: #3fb950; } .good { fill: #d29922; } .poor { fill: #f85149; }
.band { fill-opacity: .18; }
}
"""

# What XML cannot carry at all, as what stands for something that cannot be shown.
_NO_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class _Plot:
    """A rectangle in which values from 0 to ``most`` stand over places from left to right."""

    left: float
    right: float
    most: float
    places: int

    def x(self, place: int) -> float:
        step = (self.right - self.left) / self.places
        return round(self.left + step * (place + 0.5), 1)

    def y(self, value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * min(value, self.most) / self.most, 1)


def svg(points: Sequence[Point], *, title: str) -> str:
    """Return the chart of these points, of which there is at least one, with the fewest workers on the left."""
    points = sorted(points, key=lambda point: point.timed.asked)
    title = _xml(title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1]}…")
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" aria-labelledby="title description">',
        f'<title id="title">Scaling: {title}</title>',
        f'<desc id="description">{_xml(_described(points))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<text x="24" y="34" class="title">{title}</text>',
        *_times(points),
        *_efficiencies(points),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def ticks(most: float) -> list[float]:
    """Return round values from 0 to ``most``, which is above 0; six at most."""
    power = 10.0 ** math.floor(math.log10(most / 5))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) * 5 >= most * (1 - 1e-9))
    return [step * number for number in range(math.floor(most / step + 1e-9) + 1)]


def _described(points: Sequence[Point]) -> str:
    told = (
        f"with {point.timed.asked} workers {point.timed.time:.2f} seconds, efficiency {point.efficiency:.0%} "
        f"({point.grade or 'they share cores'})"
        for point in points
    )
    return f"Time of the suite: {'; '.join(told)}."


def _times(points: Sequence[Point]) -> Iterator[str]:
    longest, first = max(point.timed.time for point in points), points[0].timed
    unit, seconds = next((unit, seconds) for least, unit, seconds in _UNITS if longest >= least)
    times = [point.timed.time / seconds for point in points]
    ideal = [first.time / seconds * first.workers / point.timed.asked for point in points]
    plot = _Plot(*_LEFT, longest / seconds * _HEADROOM, len(points))
    yield from _axes(plot, f"Time, {unit}", [(value, f"{value:g}") for value in ticks(plot.most)])
    yield from _bottom(plot, points)
    yield _line("ideal", plot, ideal)
    yield from _curve(plot, times, [_figures(time) for time in times])


def _efficiencies(points: Sequence[Point]) -> Iterator[str]:
    efficiencies = [point.efficiency for point in points]
    plot = _Plot(*_RIGHT, max(1.0, *efficiencies) * _HEADROOM, len(points))
    over = plot.most
    for least, name in CLASSES if any(point.grade for point in points) else ():
        top, bottom = plot.y(over), plot.y(least)
        over = least
        size = f'width="{plot.right - plot.left}" height="{round(bottom - top, 1)}"'
        yield f'<rect x="{plot.left}" y="{top}" {size} class="band {name}"/>'
        yield f'<text x="{plot.right + 8}" y="{(top + bottom) / 2 + 4:.1f}" class="{name}">{name}</text>'
    head = "Efficiency (speedup ÷ workers)"
    if any(point.grade is None for point in points):
        head += ": some share cores"
    yield from _axes(plot, head, [(value, f"{value:.0%}") for value in ticks(plot.most)])
    yield from _bottom(plot, points)
    yield _line("ideal", plot, [1.0] * len(points))
    yield from _curve(plot, efficiencies, [f"{efficiency:.0%}" for efficiency in efficiencies])


def _figures(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _axes(plot: _Plot, head: str, values: Sequence[tuple[float, str]]) -> Iterator[str]:
    yield f'<text x="{plot.left}" y="{_TOP - 16}" class="head">{head}</text>'
    for value, label in values:
        y = plot.y(value)
        yield f'<path d="M{plot.left} {y}H{plot.right}" class="grid"/>'
        yield f'<text x="{plot.left - 8}" y="{y + 4}" text-anchor="end" class="soft">{label}</text>'


def _bottom(plot: _Plot, points: Sequence[Point]) -> Iterator[str]:
    every = math.ceil(len(points) / _MOST_LABELS)
    for place, point in list(enumerate(points))[::every]:
        yield f'<text x="{plot.x(place)}" y="{_BOTTOM + 20}" text-anchor="middle">{point.timed.asked}</text>'
    middle = (plot.left + plot.right) / 2
    yield f'<text x="{middle}" y="{_BOTTOM + 42}" text-anchor="middle" class="soft">workers (-n); dashed: ideal</text>'


def _curve(plot: _Plot, values: Sequence[float], labels: Sequence[str]) -> Iterator[str]:
    yield _line("is", plot, values)
    every = math.ceil(len(values) / _MOST_LABELS)
    for place, (value, label) in enumerate(zip(values, labels, strict=True)):
        x, y = plot.x(place), plot.y(value)
        yield f'<circle cx="{x}" cy="{y}" r="4" class="dot"/>'
        if place % every == 0:
            # The label stands where the curve does not go.
            rises = place + 1 < len(values) and values[place + 1] > value
            where = f'x="{x}" y="{y - 10}" text-anchor="end"' if rises else f'x="{x + 4}" y="{y - 8}"'
            yield f"<text {where}>{label}</text>"


def _line(name: str, plot: _Plot, values: Sequence[float]) -> str:
    places = " ".join(f"{plot.x(place)},{plot.y(value)}" for place, value in enumerate(values))
    return f'<polyline points="{places}" class="{name}"/>'


def _xml(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))

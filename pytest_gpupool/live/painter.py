"""The painter: the live table as lines of text, in colours where the terminal has them. The only importer of rich."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from ..metrics.wording import value_text
from ..reports.words import headline
from ..values.errors import UsageProblem
from ..values.nodeids import name_of
from ..values.texts import cut, cut_middle, duration_text, size_text, visible
from . import layout
from .run_state import Row, longest
from .snapshot import Reading, Snapshot

NOTHING = "–"

_RIGHT = ("ELAPSED", "MEMORY", "UTIL")


def need_rich() -> None:
    """Raise UsageProblem where rich is not installed."""
    try:
        import rich  # noqa: F401
    except ImportError:
        raise UsageProblem("--gpupool-live needs rich for its table: pip install 'pytest-gpupool[live]'") from None


class Painter:
    """Paints with ``colour`` or without."""

    def __init__(self, *, colour: bool) -> None:
        from rich.console import Console

        self._console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system="standard" if colour else None,
            no_color=not colour,
            legacy_windows=False,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._width = 0
        self._wanted: Sequence[int] = ()

    def paint(self, snapshot: Snapshot, *, columns: int, lines: int) -> list[str]:
        """Return the table in rows for a terminal of that size, of which some lines are left to what pytest says."""
        from rich.text import Text

        width = max(1, columns - 1)  # terminals differ in what comes after a character in the last column
        below = [Text(line) for line in layout.lines(totals(snapshot), width)]
        for line in below:
            if snapshot.counts.failed:
                line.highlight_regex(r"\d+ failed", "bold red")
        if snapshot.failure is not None:
            below.append(Text(_failure_text(snapshot.failure, width), style="red"))
        if snapshot.suspects:
            below.append(Text(_suspects_text(snapshot.suspects, width), style="yellow"))
        room = max(0, lines - _FOR_OTHERS - len(below))
        above = self._table(snapshot, width, room) if room > _HEADING and snapshot.rows else []
        with self._console.capture() as captured:
            self._console.print(*above, *below, sep="\n", width=width, no_wrap=True, overflow="crop", soft_wrap=False)
        return captured.get().splitlines()[: max(1, lines - 1)]

    def _table(self, snapshot: Snapshot, width: int, room: int) -> list[object]:
        from rich.table import Table
        from rich.text import Text

        hidden = len(snapshot.rows) - (room - _HEADING)
        shown = snapshot.rows if hidden <= 0 else longest(snapshot.rows, room - _HEADING - 1)
        cells = [_cells(snapshot, row) for row in shown]
        if width != self._width:
            self._width, self._wanted = width, layout.natural([layout.HEADINGS])
        self._wanted = layout.natural(cells, self._wanted)
        widths = layout.columns(self._wanted, width)
        table = Table(box=None, pad_edge=False, padding=(0, layout.GAP, 0, 0), header_style="bold")
        kept = [number for number, one in enumerate(widths) if one]
        for number in kept:
            heading = layout.HEADINGS[number]
            table.add_column(
                heading, width=widths[number], no_wrap=True, justify="right" if heading in _RIGHT else "left"
            )
        for row, texts in zip(shown, cells, strict=True):
            style = "dim" if row.test is None else ""
            table.add_row(*(Text(cut_middle(texts[number], widths[number])) for number in kept), style=style)
        more = [] if hidden <= 0 else [Text(f"… and {len(snapshot.rows) - len(shown)} more", style="dim")]
        return [table, *more]


_HEADING = 1
_FOR_OTHERS = 6  # lines


def totals(snapshot: Snapshot) -> list[str]:
    """Return how far the run has come, in parts."""
    counts = snapshot.counts
    return [
        f"{counts.done} of {counts.total} done",
        f"{counts.failed} failed",
        f"{counts.running} running",
        f"{counts.waiting} left",
        f"end {snapshot.end or NOTHING}",
    ]


def short(nodeid: str) -> str:
    """Return a test's id without its file, as a terminal can show it."""
    return _in_one_line(name_of(nodeid))


def _in_one_line(text: str) -> str:
    # A space takes less of the little room than an escape does.
    return visible(text).translate({ord("\n"): " ", ord("\t"): " "})


def _failure_text(failure: tuple[str, str], width: int) -> str:
    test, message = failure
    text = f"failed last: {cut_middle(short(test), width // 2)}: {_in_one_line(headline(message))}"
    return cut(text, width)


def _suspects_text(suspects: Mapping[str, Sequence[str]], width: int) -> str:
    texts = [f"{name} of {short(test)}" for test, names in suspects.items() for name in names]
    more = f", and {len(texts) - 1} more" if len(texts) > 1 else ""
    return cut(_in_one_line(f"suspect, measured again: {texts[-1]}{more}"), width)


def _cells(snapshot: Snapshot, row: Row) -> list[str]:
    reading = snapshot.readings.get(row.worker, Reading())
    metric = "" if row.metric is None else f"{row.metric['name']} {value_text(row.metric)}"
    return [
        snapshot.labels[row.worker],
        NOTHING if row.test is None else short(row.test),
        NOTHING if row.seconds is None else duration_text(row.seconds),
        NOTHING if reading.memory is None else size_text(reading.memory),
        NOTHING if reading.utilization is None else f"{reading.utilization:.0f}%",
        _in_one_line(metric) or NOTHING,
    ]

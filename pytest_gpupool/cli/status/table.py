"""The table: a status as people read it, a line a device, and below it who is on it; no line is too wide."""

from __future__ import annotations

import socket
import textwrap
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...devices.readings import Levels
from ...leases.host_view import DeviceView, ForeignProcess, State, waited
from ...leases.locking.holders import Holder, printable
from ...leases.occupancy import Hold
from ...leases.queueing.tickets import Waiter
from ...values.texts import duration_text, epoch, size_text
from .document import Status

_COLOURS: dict[State, str] = {"free": "32", "leased": "36", "busy": "33", "quarantined": "31", "failed": "31"}
_BOLD, _DIM, _WARNING = "1", "2", "33"
_STATE_WIDTH = max(map(len, _COLOURS))
_NUMBERS_WIDTH = 36  # of the other columns and what is between them
_LEAST_NAME = 8  # where less is left for a name, the numbers are left out
_UNKNOWN = "-"


class Piece(NamedTuple):
    """A part of a line, and the code of its colour (console_codes(4)), "" for none."""

    text: str
    colour: str = ""


Line = Sequence[Piece]


def lines(status: Status, *, width: int | None, colour: bool) -> list[str]:
    """Return the table's lines, of ``width`` cells of the terminal at most; None for as long as they are."""
    return [_painted(line, width, colour) for line in _lines(status, width)]


def no_device(status: Status) -> str:
    """Return the sentence for a host without any."""
    why = status.survey.problem or ("no GPU answers" if status.survey.broken else "the driver finds none")
    return f"gpupool: there is no GPU on this host: {why}"


def _lines(status: Status, width: int | None) -> Iterator[Line]:
    views = status.view.devices
    yield _head(status)
    labels = max((len(str(view.device.index)) for view in views), default=0)
    # What is left for a name beside the other columns.
    room = 1000 if width is None else width - labels - _STATE_WIDTH - _NUMBERS_WIDTH
    is_wide = room >= _LEAST_NAME
    names = min(room if is_wide else _LEAST_NAME, max((_cells(view.device.name) for view in views), default=0))
    for view in views:
        yield _device(view, status, labels, names, is_wide=is_wide)
        yield from _below(view, status.now)
    if status.view.waiters:
        yield [Piece("waiting, first come first served:", _BOLD)]
        labels_by_id = {view.device.id: _label(view) for view in views}
        for place, waiter in enumerate(status.view.waiters, 1):
            yield _waiter(place, waiter, labels_by_id)
    gone = [f"{id_}, which is not here, is {one.describe(status.now)}" for id_, one in status.view.gone.items()]
    for note in (*status.survey.broken, *status.notes, *gone):
        for line in textwrap.wrap(printable(f"note: {note}"), width or 10**6, subsequent_indent="  "):
            yield [Piece(line, _WARNING)]


def _head(status: Status) -> Line:
    counts = Counter(view.state for view in status.view.devices)
    states = [Piece(f"{counts[state]} {state}", code) for state, code in _COLOURS.items() if counts[state]]
    driver = f"  driver {status.survey.driver}" if status.survey.driver else ""
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.now))
    between = [piece for state in states for piece in (Piece("  "), state)]
    return [Piece(socket.gethostname(), _BOLD), *between, Piece(f"  {moment}{driver}")]


def _device(view: DeviceView, status: Status, labels: int, names: int, *, is_wide: bool) -> Line:
    levels = status.levels.get(view.device.id, Levels())
    heat = _UNKNOWN if levels.temperature is None else f"{levels.temperature:.0f}°C"
    use = _UNKNOWN if levels.utilization is None else f"{levels.utilization:.0f} %"
    total = _UNKNOWN if view.device.memory_total is None else f"{view.device.memory_total / 2**30:.1f}"
    used = _UNKNOWN if levels.memory is None else f"{levels.memory / 2**30:.1f}"
    return [
        Piece(f"{view.device.index:>{labels}}", _BOLD),
        Piece(f"  {_fitted(printable(view.device.name), names)}"),
        Piece(f"  {heat:>4}  {use:>5}  {used:>5} / {total:>5} GiB" if is_wide else ""),
        Piece("  "),
        Piece(view.state, _COLOURS[view.state]),
    ]


def _label(view: DeviceView) -> str:
    """Return how a device is called where it is wanted."""
    device = view.device
    return str(device.index) if device.kind == "gpu" else device.id[:12]


def _below(view: DeviceView, now: float) -> Iterator[Line]:
    if view.device.kind == "mig":  # several have the number of one GPU
        yield [Piece(f"     {view.device.id}", _DIM)]
    for hold in view.holds:
        yield _hold(hold, now)
    for process in view.foreign:
        yield _foreign(process)
    if view.unexplained:
        yield [Piece(f"     {size_text(view.unexplained)} in use by no process that is named", _WARNING)]
    if view.quarantine is not None:
        yield [Piece(f"     {view.quarantine.describe(now)}", _COLOURS["quarantined"])]
    if view.problem is not None:
        yield [Piece(f"     {printable(view.problem)}", _COLOURS["failed"])]


def _hold(hold: Hold, now: float) -> Line:
    holder = hold.holder
    if holder is None:
        return [Piece("     held by a process that does not say who it is")]
    parts = [f"pid {holder.pid}"]
    if holder.since is not None:
        parts.append(f"for {duration_text(now - epoch(holder.since))}")
    if holder.until is not None and (remaining := epoch(holder.until) - now) > 0:  # else it takes longer than expected
        parts.append(f"about {duration_text(remaining)} to go")
    return [Piece("     "), Piece(printable(holder.user), _BOLD), *_rest(parts, holder)]


def _rest(parts: Sequence[str], who: Holder) -> Line:
    doing = (
        [who.worker, who.test] if who.worker or who.test else [who.command or (f"run {who.run}" if who.run else None)]
    )
    words = [*parts, *(printable(word) for word in doing if word)]
    return [Piece("".join(f"  {word}" for word in words))]


def _foreign(process: ForeignProcess) -> Line:
    memory = "" if process.memory is None else f"  {size_text(process.memory)}"
    kind = "not of the pool" if process.use == "compute" else process.use
    who = printable(process.user or "unknown")
    command = printable(process.command or "")
    code = _WARNING if process.use == "compute" else _DIM
    told = Piece(f"  pid {process.pid}{memory}  {kind}", code)
    return [Piece("     "), Piece(who, _BOLD), told, Piece(f"  {command}")]


def _waiter(place: int, waiter: Waiter, labels: dict[str, str]) -> Line:
    wish = waiter.wish
    every = set(labels) <= set(wish.devices)
    of = "" if every else f" of {','.join(labels.get(id_, id_) for id_ in wish.devices)}"
    parts = [f"pid {waiter.who.pid}", f"for {duration_text(waited(waiter))}"]
    parts.append(f"wants {wish.gpus}{of}")
    marked = Piece("  does not respond", _COLOURS["failed"])
    rest = _rest(parts, waiter.who)
    return [
        Piece(f"{place:>3}. "),
        Piece(printable(waiter.who.user), _BOLD),
        *([] if waiter.responds else [marked]),
        *rest,
    ]


def _painted(line: Line, width: int | None, colour: bool) -> str:
    """Return a line with its colours, and with a … where it had to be cut."""
    left, found = 10**9 if width is None else width, []
    if sum(_cells(piece.text) for piece in line) > left:
        left -= 1  # for the …
        cut = "…"
    else:
        cut = ""
    for piece in line:
        text = _cut(piece.text, left)
        left -= _cells(text)
        found.append(f"\033[{piece.colour}m{text}\033[0m" if colour and piece.colour and text else text)
        if text != piece.text:
            break
    return "".join(found).rstrip() + cut


def _fitted(text: str, width: int) -> str:
    """Return a text of exactly so many cells."""
    if _cells(text) > width:
        text = f"{_cut(text, width - 1)}…"
    return text + " " * (width - _cells(text))


def _cut(text: str, width: int) -> str:
    """Return as much of a text's beginning as has room in so many cells."""
    used = 0
    for place, character in enumerate(text):
        used += _cell(character)
        if used > width:
            return text[:place]
    return text


def _cells(text: str) -> int:
    return sum(map(_cell, text))


def _cell(character: str) -> int:
    """Return how many cells of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1

"""The screen: where a status is shown once, or again and again in the same place."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENTER, _LEAVE = "\033[?1049h\033[?25l", "\033[?25h\033[?1049l"  # the other screen, without a cursor; xterm's
_HOME, _TO_END_OF_LINE, _TO_END = "\033[H", "\033[K", "\033[J"

SECONDS = 1.0
"""Between two looks."""


def wants_colour(choice: str) -> bool:
    """Return whether to write colours, where the user chose ``auto``, ``always`` or ``never``; see no-color.org."""
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """Return how wide a line may be; None where nobody says, as in a pipe."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns


def watch(show: Callable[[], list[str]]) -> int:
    """Show again and again, in place on a terminal, else one after the other, until Ctrl-C; return the exit status."""
    try:
        if not sys.stdout.isatty():
            while True:
                print("\n".join(show()), flush=True)
                time.sleep(SECONDS)
        with _other_screen():
            while True:
                _draw(show())
                time.sleep(SECONDS)
    except KeyboardInterrupt:
        return 0


def _draw(lines: list[str]) -> None:
    most = shutil.get_terminal_size().lines - 1
    if len(lines) > most:
        lines = [*lines[: most - 1], f"… and {len(lines) - most + 1} lines more"]
    sys.stdout.write(_HOME + "".join(f"{line}{_TO_END_OF_LINE}\n" for line in lines) + _TO_END)
    sys.stdout.flush()


@contextmanager
def _other_screen() -> Iterator[None]:
    """Leave the user's screen as it was, also where this is stopped or ended meanwhile."""
    handlers = {signal.SIGTSTP: _stop, signal.SIGTERM: _end, signal.SIGHUP: _end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        _write(_ENTER)
        yield
    finally:
        _write(_LEAVE)
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    _write(_LEAVE)
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, _stop)
    _write(_ENTER)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _write(text: str) -> None:
    # Not by the stream: a handler may have interrupted that in the middle.
    os.write(sys.stdout.fileno(), text.encode())

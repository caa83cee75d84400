"""A table below what is written to a terminal, seen on one; and what goes to standard error on its way there."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest
from terminals import Picture

from pytest_gpupool.live.screen import Screen, ScreenFile

ROWS = ("GPU 0  test_one", "GPU 1  test_two")
TABLE = "\n".join(ROWS)


@pytest.fixture
def ends() -> Iterator[tuple[int, TextIO]]:
    """The two ends of a terminal: what comes out of it, and a file that is it."""
    outer, inner = pty.openpty()
    with os.fdopen(inner, "w", buffering=1) as file:
        yield outer, file
    os.close(outer)


@pytest.fixture
def picture(ends: tuple[int, TextIO]) -> Picture:
    """What a terminal of 30 columns and 8 lines shows."""
    return Picture(ends[0], columns=30, lines=8)


@pytest.fixture
def screen(ends: tuple[int, TextIO], picture: Picture) -> Iterator[Screen]:
    """The terminal, with room for a table."""
    made = Screen(ends[1])
    yield made
    made.close()


@pytest.fixture
def file(ends: tuple[int, TextIO], screen: Screen) -> ScreenFile:
    """What pytest writes to."""
    return screen.file_for(ends[1])


def test_the_table_stands_below_the_cursor_and_goes(picture: Picture, screen: Screen, file: ScreenFile) -> None:
    """The cursor stays where the text ends, so that it goes on there."""
    file.write("three dots ...")
    file.flush()
    screen.show(ROWS)
    assert picture.look() == f"three dots ...\n{TABLE}"
    assert picture.cursor == (14, 0)
    file.write("..")
    file.flush()
    assert picture.look() == f"three dots .....\n{TABLE}"
    screen.show(["one row"])
    assert picture.look() == "three dots .....\none row"
    screen.close()
    assert picture.look() == "three dots ....."
    file.write(" and on\n")
    assert picture.look() == "three dots ..... and on"


def test_at_the_bottom_everything_moves_up(picture: Picture, screen: Screen, file: ScreenFile) -> None:
    """Nothing that was written is lost, whether lines come one by one or many at once."""
    screen.show(ROWS)
    for number in range(20):
        file.write(f"line {number}\n")
    file.writelines(f"line {number}\n" for number in range(20, 30))
    file.write("".join(f"line {number}\n" for number in range(30, 40)))
    screen.redraw()
    assert picture.look().endswith(f"line 39\n\n{TABLE}")
    screen.close()
    picture.look()
    assert picture.everything == "\n".join(f"line {number}" for number in range(40))


def test_a_line_longer_than_the_terminal_is_wide_is_whole(picture: Picture, screen: Screen, file: ScreenFile) -> None:
    screen.show(ROWS)
    file.write("x" * 20)
    file.write("y" * 20)
    file.flush()
    screen.redraw()
    assert picture.look() == f"{'x' * 20}{'y' * 10}\n{'y' * 10}\n{TABLE}"


def test_a_line_that_is_written_anew_stays(picture: Picture, screen: Screen, file: ScreenFile) -> None:
    """RunState bars go back to the line's beginning and leave the cursor there."""
    file.write("step 1 of 3\r")
    file.flush()
    screen.show(ROWS)
    assert picture.look() == f"step 1 of 3\n{TABLE}"
    file.write("step 2 of 3\r")
    file.flush()
    screen.show(ROWS)
    assert picture.look() == f"step 2 of 3\n{TABLE}"


def test_what_does_not_go_through_it_is_not_lost(picture: Picture, screen: Screen, ends: tuple[int, TextIO]) -> None:
    """Another process's text is over the table until that is drawn again below."""
    screen.show(ROWS)
    os.write(ends[1].fileno(), b"foreign 1\nforeign 2\n")
    screen.show(ROWS)
    seen = picture.look()
    assert seen.startswith("foreign 1\nforeign 2")
    assert seen.endswith(f"\n{TABLE}")


def test_a_terminal_that_becomes_narrower_loses_no_text(picture: Picture, screen: Screen, file: ScreenFile) -> None:
    file.write("text\n")
    screen.show(ROWS)
    picture.look()
    picture.resize(columns=12, lines=8)
    screen.show(["short row"])
    assert picture.look() == "text\n\nshort row"


def test_while_it_is_paused_there_is_no_table(picture: Picture, screen: Screen) -> None:
    screen.show(ROWS)
    screen.pause()
    screen.show(ROWS)
    assert picture.look() == ""
    screen.resume()
    screen.redraw()
    assert picture.look().endswith(TABLE)


def test_a_fork_draws_nothing(picture: Picture, screen: Screen, file: ScreenFile) -> None:
    """What it writes goes out, even if a thread was drawing as it was made."""
    screen.show(ROWS)
    with screen._lock:  # as by a thread, which the child does not have
        pid = os.fork()
        if pid == 0:
            file.write("the child's\n")
            screen.show(ROWS)
            os._exit(0)
        os.waitpid(pid, 0)
    assert picture.look().startswith("the child's")
    assert picture.raw.count(ROWS[0].encode()) == 1


def test_a_file_that_goes_through_it_is_the_file(picture: Picture, file: ScreenFile, ends: tuple[int, TextIO]) -> None:
    """Programs ask it what they ask any file."""
    assert (file.fileno(), file.isatty(), file.encoding) == (ends[1].fileno(), True, ends[1].encoding)
    print("printed", 1, file=file, flush=True)
    assert picture.look() == "printed 1"


def test_what_is_no_terminal_is_refused() -> None:
    with pytest.raises(OSError, match="no terminal"):
        Screen(io.StringIO())


def test_a_terminal_that_is_gone_ends_the_table_alone() -> None:
    outer, inner = pty.openpty()
    with os.fdopen(inner, "w") as file:
        screen = Screen(file)
        os.close(outer)
        screen.show(ROWS)
        screen.redraw()
        screen.close()

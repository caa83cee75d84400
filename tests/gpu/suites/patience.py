"""What tests of one run say to each other by files, and wait for: bounded, so that a wrong order fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def lines(name: str) -> list[str]:
    """What has been said under that name."""
    path = Path(__file__).with_name(name)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def say(name: str, text: str) -> None:
    """Say it."""
    with Path(__file__).with_name(name).open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it, far longer than it takes."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)

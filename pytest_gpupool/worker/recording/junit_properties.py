"""JUnit properties: the names and values under which pytest's JUnit file has what we know of a test.

The process that runs a test gives them to its item; the controller makes them from its result where no report came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

PREFIX = "gpupool."
"""What the names of our properties begin with."""

Property = tuple[str, object]


def place(devices: Sequence[str], worker: str | None, run: str | None = None) -> list[Property]:
    """Return where a test ran: its devices' ids, its worker, and the earlier run whose result it is."""
    pairs = [("device", ",".join(devices)), ("worker", worker), ("run", run)]
    return [(PREFIX + name, value) for name, value in pairs if value]


def metric(name: str, value: object) -> Property:
    """Return the value of a metric; ``value`` is a text where it is no finite number."""
    return f"{PREFIX}metric.{name}", value


def fact(name: str, text: str) -> Property:
    """Return what a test has said of itself."""
    return f"{PREFIX}fact.{name}", text


def verdict(name: str, value: str | None) -> Property:
    """Return the verdict on a metric that has a baseline."""
    return f"{PREFIX}verdict.{name}", value


def peak_memory(count: int | None) -> list[Property]:
    """Return the most bytes that were in use on the test's devices, nothing where that is not known."""
    return [] if count is None else [(f"{PREFIX}peak_memory_bytes", count)]


def cause(name: str | None) -> list[Property]:
    """Return what a test failed of where that was not its own doing alone, nothing where it was."""
    return [] if name is None else [(f"{PREFIX}cause", name)]


def others(properties: Iterable[Property]) -> list[Property]:
    """Return those that are not ours."""
    return [pair for pair in properties if not pair[0].startswith(PREFIX)]

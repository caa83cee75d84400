"""What the tests of a suite note of themselves (when, on which devices, in which process), and how to read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from support import Host

_HELPERS = """
    import json
    import os
    import pathlib
    import time

    HERE = pathlib.Path(__file__).parent

    def lines(name):
        path = HERE / name
        return path.read_text().splitlines() if path.exists() else []

    def say(name, text="here"):
        # One write to a file opened for appending: lines of several processes do not mix.
        target = os.open(HERE / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(target, f"{text}\\n".encode())
        os.close(target)

    def until(condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.005)

    def together(count, name="together"):
        say(name)
        until(lambda: len(lines(name)) >= count, f"no {count} tests run at once: {lines(name)}")
"""

_NOTING = """
    import json
    import os
    import time
    import pytest
    from helpers import say

    @pytest.fixture(autouse=True)
    def span(request):
        about = {
            "test": request.node.nodeid.split("::", 1)[1],
            "pid": os.getpid(),
            "devices": [name for name in os.environ["GPUPOOL_DEVICES"].split(",") if name],
            "visible": os.environ["CUDA_VISIBLE_DEVICES"],
        }
        say("spans", json.dumps({**about, "event": "begin", "time": time.monotonic()}))
        yield
        say("spans", json.dumps({**about, "event": "end", "time": time.monotonic()}))
"""


KIND = "Stand-in GPU"
"""What the stand-in GPUs are called."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """One attempt at a test, by the host's monotonic clock; ``end`` is None where its process died."""

    test: str
    pid: int
    devices: tuple[str, ...]
    visible: str
    begin: float
    end: float | None

    def meets(self, other: Span) -> bool:
        """Whether the two ran at the same time. One that died had at least begun."""
        mine, others = self.end or self.begin, other.end or other.begin
        return self.begin <= others and other.begin <= mine


def note_spans(host: Host) -> None:
    """Let every test of the project note its span, and give the suite ``helpers`` to wait with."""
    host.write("helpers.py", _HELPERS)
    host.write("conftest.py", _NOTING)


def spans(host: Host) -> list[Span]:
    """What they noted, in the order in which they began."""
    found: list[Span] = []
    lines = [json.loads(line) for line in (host.project / "spans").read_text().splitlines()]
    for number, line in enumerate(lines):
        if line["event"] == "begin":
            ends = (
                later["time"]
                for later in lines[number:]
                if later["event"] == "end" and (later["pid"], later["test"]) == (line["pid"], line["test"])
            )
            about = {key: line[key] for key in ("test", "pid", "visible")}
            found.append(Span(**about, devices=tuple(line["devices"]), begin=line["time"], end=next(ends, None)))
    return sorted(found, key=lambda span: span.begin)


def order(host: Host) -> list[str]:
    """The tests in the order in which they began."""
    return [span.test for span in spans(host)]


def meetings(among: Iterable[Span]) -> list[tuple[str, str]]:
    """Pairs of tests that ran at the same time."""
    return [(one.test, other.test) for one, other in combinations(among, 2) if one.meets(other)]


def sharings(among: Iterable[Span]) -> list[tuple[str, str]]:
    """Pairs of tests that used one device at the same time."""
    pairs = combinations(among, 2)
    return [(a.test, b.test) for a, b in pairs if a.meets(b) and {*a.devices} & {*b.devices}]


def remember(
    host: Host,
    seconds: Mapping[str, float],
    peaks: Mapping[str, int] | None = None,
    kind: str = KIND,
    fixtures: Mapping[str, float] | None = None,
) -> None:
    """Leave what an earlier run would have measured, by nodeid; of wide ``fixtures`` by key, where it did."""
    measured = {
        nodeid: {kind: {"seconds": [value], "peak": [peaks[nodeid]] if peaks else [], "used": "2026-11-20"}}
        for nodeid, value in seconds.items()
    }
    content: dict[str, object] = {"format": "gpupool-durations", "version": 1, "tests": measured}
    if fixtures is not None:
        set_ups = {key: {kind: {"seconds": [took], "peak": [], "used": "2026-11-20"}} for key, took in fixtures.items()}
        content |= {"version": 2, "fixtures": set_ups}
    host.write(".gpupool/durations.json", json.dumps(content))

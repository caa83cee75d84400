"""A run that gives way ends workers after their test while others wait, and has them again when nobody does."""

from __future__ import annotations

import pytest
from support import Host, Running, Watched, wait_for

GATED = """
    import os
    import pathlib
    import time
    import pytest

    @pytest.mark.parametrize("case", range(12))
    def test_case(case, gpu):
        with open("cases", "a") as file:
            file.write(f"{case} {gpu.ids[0]}\\n")
        while not pathlib.Path(f"go-{min(case, 4)}").exists():
            time.sleep(0.01)
"""
"""Tests that go on when they are told; all but the first four together."""

OTHER = """
    import pathlib
    import time

    def test_other(gpu):
        pathlib.Path("other-has").write_text(gpu.ids[0] + "\\n")
        while not pathlib.Path("other-ends").exists():
            time.sleep(0.01)
"""


@pytest.fixture
def both(host: Host) -> tuple[Host, Watched, Running]:
    """A run with all four GPUs, and one that waits for one of them."""
    host.write("test_suite.py", GATED)
    host.write("other/test_other.py", OTHER)
    run = Watched(host, "-n4", "--gpupool-yield", "--gpupool-order=file", "test_suite.py")
    wait_for(host.project / "cases", 4)
    reports = ("--gpupool-dir=other/records", "--gpupool-json=other.json", "--junitxml=other.xml")
    other = Running(host, host.command("other", "-n1", *reports), host.environ())
    return host, run, other


def test_it_gives_a_device_and_has_it_again(both: tuple[Host, Watched, Running]) -> None:
    """No test is cut off, none is lost; the one that waited gets the device before the run's own next test."""
    host, run, other = both
    run.until("gpupool: others wait: this run keeps 3 of its devices, as workers end their tests (--gpupool-yield)")
    (host.project / "go-0").touch()
    (given,) = wait_for(host.project / "other-has")
    devices = dict(line.split() for line in (host.project / "cases").read_text().splitlines())
    assert given == devices["0"]
    assert len(devices) == 4
    run.until("gpupool: nobody waits any more: all devices may be used again")
    for number in range(1, 5):
        (host.project / f"go-{number}").touch()
    (host.project / "other-ends").touch()
    ended, other_ended = run.finish(), other.finish()
    assert (ended.status, other_ended.status) == (0, 0), ended.output + other_ended.output
    assert set(ended.outcomes.values()) == {"passed"}
    assert len(ended.outcomes) == 12


def test_without_the_option_it_keeps_what_it_has(host: Host) -> None:
    """Which is the default."""
    host.write("test_suite.py", GATED)
    host.write("other/test_other.py", OTHER)
    run = Watched(host, "-n4", "--gpupool-order=file", "test_suite.py")
    wait_for(host.project / "cases", 4)
    reports = ("--gpupool-dir=other/records", "--gpupool-json=other.json", "--junitxml=other.xml")
    other = Running(host, host.command("other", "-n1", *reports), host.environ())
    for number in range(5):
        (host.project / f"go-{number}").touch()
    ended = run.finish()
    (host.project / "other-ends").touch()
    assert other.finish().status == 0
    assert ended.status == 0
    assert "others wait" not in ended.output
    assert ended.exits == {f"gw{number}": "finished" for number in range(4)}

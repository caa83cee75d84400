"""A neighbour: a plugin whose own suite runs twice, with pytest-gpupool installed and without it, side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import environments
import recorded_outcomes

LIMIT = 1800.0
"""Seconds after which a suite hangs for sure."""

_RAN = (0, 1)  # pytest's exit statuses where tests have run

Phases = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A plugin: ``needs`` are the distributions that its suite imports, ``few`` selects tests for every run of ours.

    ``differ`` has the tests that may end otherwise with ours, and why that is meant.
    """

    name: str
    needs: tuple[str, ...]
    few: str
    differ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a test has ended: the outcome of each of its phases, and what is told of a failure."""

    phases: Phases
    text: str

    def __str__(self) -> str:
        """Say it."""
        return ", ".join(f"{when} {outcome}" for when, outcome in self.phases)


class Side:
    """One of the two: an environment, and a copy of the sdist in which its pytest runs."""

    def __init__(
        self, place: Path, sdist: Path, neighbour: Neighbour, environ: Mapping[str, str], *, ours: bool
    ) -> None:
        place.mkdir(parents=True)
        self._outcomes, self._log = place / "outcomes.jsonl", place / "log.txt"
        self._python = environments.make(place / "environment", neighbour.needs, ours=ours)
        with tarfile.open(sdist) as archive:
            archive.extractall(place / "sdist", filter="data")
        (self._project,) = (place / "sdist").iterdir()
        (place / "temporary").mkdir()
        places = {recorded_outcomes.VARIABLE: str(self._outcomes), "TMPDIR": str(place / "temporary")}
        self._environ = {**environ, **places}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, args: Sequence[str]) -> None:
        """Start its pytest."""
        self._outcomes.unlink(missing_ok=True)
        command = [str(self._python), "-m", "pytest", "-p", "recorded_outcomes", *args]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._project,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self) -> dict[str, Ending]:
        """Wait for its end, and return how each test has ended."""
        assert self._process is not None
        status = self._process.wait(LIMIT)
        assert status in _RAN, f"exit status {status}:\n{self._log.read_text()}"
        phases: dict[str, list[tuple[str, str]]] = {}
        texts: dict[str, str] = {}
        for line in self._outcomes.read_text(encoding="utf-8").splitlines():
            test, when, outcome, text = json.loads(line)
            phases.setdefault(test, []).append((when, outcome))
            texts[test] = texts.get(test, "") + text
        return {test: Ending(tuple(ended), texts[test]) for test, ended in phases.items()}

    def kill(self) -> None:
        """End it where it still runs, and what it started with it."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Comparison:
    """Both sides."""

    def __init__(self, place: Path, sdist: Path, neighbour: Neighbour, environ: Mapping[str, str]) -> None:
        self._sides = tuple(
            Side(place / name, sdist, neighbour, environ, ours=ours)
            for name, ours in (("without", False), ("with", True))
        )

    def run(self, *args: str) -> list[dict[str, Ending]]:
        """Run both at once; return the endings without ours, and those with it."""
        try:
            for side in self._sides:
                side.start(args)
            return [side.finish() for side in self._sides]
        finally:
            for side in self._sides:
                side.kill()


def differences(endings: Sequence[dict[str, Ending]]) -> dict[str, str]:
    """Return the tests that have ended differently, each with what is to be said of it."""
    without, with_ours = endings
    found = {}
    for test in without.keys() | with_ours.keys():
        one, other = without.get(test), with_ours.get(test)
        if one is None or other is None or one.phases != other.phases:
            found[test] = f"{test}\n  without: {one}\n  with:    {other}\n{'' if other is None else other.text}"
    return found

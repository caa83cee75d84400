"""The node: the program that an engine runs for one worker, on the host where the worker is to be. Written below."""

from __future__ import annotations

import sys
from pathlib import Path


def command() -> list[str]:
    """Return what an engine is to run, where this host's files are there too."""
    root = str(Path(__file__).parents[2])
    source = f"import sys; sys.path.append({root!r}); from pytest_gpupool.engines.node import main; main()"
    return [sys.executable, "-u", "-c", source]


def main() -> None:
    """Run one worker; frames on stdin and stdout."""

"""Suites and plugins that several tests run."""

from __future__ import annotations

PATIENCE = """
    import os
    import pathlib
    import time

    WORKER = os.environ.get("PYTEST_XDIST_WORKER")

    def lines(name):
        path = pathlib.Path(__file__).with_name(name)
        return path.read_text().splitlines() if path.exists() else []

    def say(name, text="here"):
        with open(pathlib.Path(__file__).with_name(name), "a") as file:
            file.write(f"{text}\\n")

    def until(condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.005)
"""
"""What the suites below wait with: bounded, so that a wrong order fails instead of hanging."""

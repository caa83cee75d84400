"""Ending: what a run leaves: its exit status, its reports, pytest's JUnit file, and the facts that these have of it."""

__all__ = ["confirmation", "facts", "hooks", "interrupts", "junit_file", "repeats", "verdicts"]

"""Tracking: a report as runs of an experiment tracker, whichever it is: their names, numbers, texts and files."""

__all__ = ["kept", "tracked"]

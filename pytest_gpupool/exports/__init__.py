"""Exports: a report for other programs: tables, timelines, and the trackers and tools that teams have already."""

__all__ = ["exporters", "hookspecs", "other_reporters", "plugins"]

"""Shapes: what may stand in a record, in a plan, and in what reports have of a test, as tables of data types.

Pure: standard library only, no clock, no files. People and other programs may have edited what is read, and disks
damage it: whatever passes here can be folded, reported, and satisfies the report's schema.
"""

__all__ = [
    "journal",
    "metrics",
    "parts",
    "plans",
    "tests",
]

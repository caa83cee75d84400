"""Ids of tests: ``evals/test_a.py::TestB::test_c[parameters]``, and their parts.

A file's name may have brackets, and a parameter whatever separates parts: the file ends before the first ``::``, the
parameters begin at the first ``[`` after it.
"""

from __future__ import annotations


def file_of(nodeid: str) -> str:
    """Return the file of a test, or of a group of all its tests: ``evals/test_a.py``."""
    file, colons, _ = nodeid.partition("::")
    return file.partition(" (")[0] if not colons and file.endswith(")") else file


def name_of(nodeid: str) -> str:
    """Return a test's id without the file: ``TestB::test_c[parameters]``; an id that is a file as a whole."""
    return nodeid.partition("::")[2] or nodeid


def is_within(nodeid: str, place: str) -> bool:
    """Say whether a test is one of a function, class, file or folder with this id."""
    return function_of(nodeid) == place or nodeid.startswith((f"{place}::", f"{place}/"))


def group_id(place: str, group: str) -> str:
    """Return what a group of a function's, a class's or a file's tests is called: ``evals/test_a.py::test_b (lr=1)``.

    No test is called so: where one group has all of them, ``(all)``.
    """
    return f"{place} ({group or 'all'})"


def place_of(nodeid: str) -> str:
    """Return whose tests a group is of, see :func:`group_id`; an id that is no group's is its own place."""
    return nodeid.partition(" (")[0] if nodeid.endswith(")") else nodeid


def function_of(nodeid: str) -> str:
    """Return a test's id without its parameters: ``evals/test_a.py::TestB::test_c``."""
    file, colons, name = nodeid.partition("::")
    return f"{file}{colons}{name.partition('[')[0]}"

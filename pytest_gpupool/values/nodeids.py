"""Ids of tests: ``evals/test_a.py::TestB::test_c[parameters]``, and their parts.

A file's name may have brackets, and a parameter whatever separates parts: the file ends before the first ``::``, the
parameters begin at the first ``[`` after it.
"""

from __future__ import annotations


def file_of(nodeid: str) -> str:
    """Return the file of a test: ``evals/test_a.py``."""
    return nodeid.partition("::")[0]


def name_of(nodeid: str) -> str:
    """Return a test's id without the file: ``TestB::test_c[parameters]``; an id that is a file as a whole."""
    return nodeid.partition("::")[2] or nodeid


def function_of(nodeid: str) -> str:
    """Return a test's id without its parameters: ``evals/test_a.py::TestB::test_c``."""
    file, colons, name = nodeid.partition("::")
    return f"{file}{colons}{name.partition('[')[0]}"

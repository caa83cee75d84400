"""Ids of tests: ``evals/test_a.py::TestB::test_c[parameters]``, and their parts.

A file's name may have brackets, and a parameter whatever separates parts: the file ends before the first ``::``, the
parameters begin at the first ``[`` after it. And where tests are written, and how that is linked.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any
from urllib.parse import quote, urlsplit

SOURCE_TEMPLATE = (
    "an address with {path}, and {line} and {commit} where it can have them, such as "
    "https://github.com/you/project/blob/{commit}/{path}#L{line}"
)
"""What a template is to be."""

_FIELDS = frozenset({"commit", "path", "line"})
_VIEWS = ("blob/", "tree/", "raw/", "src/commit/", "src/")
"""What forges call the page of a file; that of a commit is called ``commit/``."""


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


def source_template(text: str) -> str:
    """Read how a link is made.

    Raises:
        ValueError: it is no web address, has other fields than these three, or none for the path.
    """
    address = urlsplit(text)
    if address.scheme not in ("http", "https") or not address.netloc or any(char.isspace() for char in text):
        raise ValueError(text)
    try:
        parts = [part for part in Formatter().parse(text) if part[1] is not None]
    except ValueError:  # of a brace that nothing closes
        raise ValueError(text) from None
    fields = {str(name) for _, name, _, _ in parts}
    if any(form or conversion for _, _, form, conversion in parts):
        raise ValueError(text)
    if "path" not in fields or not fields <= _FIELDS:
        raise ValueError(text)
    return text


def source_link(run: Mapping[str, Any], test: Mapping[str, Any]) -> str | None:
    """Return the address of a report's test; None where the run says no way, or it needs a commit that nobody knows."""
    sources, path = run.get("sources"), test.get("path")
    if sources is None or not path:
        return None
    url, git = sources["url"], run.get("git")
    if "{commit}" in url and git is None:
        return None
    if test.get("line") is None:
        url = url.partition("#")[0] if "{line}" in url.partition("#")[2] else url.replace("{line}", "1")
    folder = f"{sources['folder']}/" if sources["folder"] else ""
    commit = "" if git is None else git["commit"]
    return str(url.format(path=quote(folder + path), line=test.get("line"), commit=quote(commit)))


def commit_link(run: Mapping[str, Any]) -> str | None:
    """Return the address of a run's commit, None where that is not known."""
    sources, git = run.get("sources"), run.get("git")
    if sources is None or git is None or "{commit}" not in sources["url"]:
        return None
    before = sources["url"].partition("{commit}")[0]
    view = next((view for view in _VIEWS if before.endswith(f"/{view}")), None)
    if "{" in before or "?" in before:
        return None
    return f"{before if view is None else before.removesuffix(view) + 'commit/'}{quote(git['commit'])}"

"""Clusters: failures that say the same, but for numbers, addresses and ids; the largest first.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...values import outcomes
from ..words import headline

# In this order: what is left of an id after its digits are gone would be taken for a word.
_ALIKE = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "ID"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+\b"), "ADDRESS"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?Z?"), "TIME"),
    (re.compile(r"(?<![A-Za-z0-9_])[-+]?\d[\d_]*(?:[.,]\d+)*(?:[eE][-+]?\d+)?"), "N"),
    (re.compile(r"(?<=[A-Za-z_-])\d+\b"), "N"),
    (re.compile(r"\b(?:nan|inf)\b"), "N"),
)
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Failures of one kind: what the first of them says, and the places of all among the tests."""

    text: str
    tests: list[int] = field(default_factory=list)


def alike(text: str) -> str:
    """Return what a message has in common with others of its kind."""
    for pattern, word in _ALIKE:
        text = pattern.sub(word, text)
    return _SPACES.sub(" ", text).strip()


def clusters(tests: Iterable[Mapping[str, Any]]) -> list[Cluster]:
    """Return the failures of these tests by kind, that of most tests first, else in the order of the tests.

    A test that failed without a word is one of its outcome's.
    """
    found: dict[str, Cluster] = {}
    for place, test in enumerate(tests):
        if test["outcome"] in outcomes.FAILED:
            text = headline(test["message"] or "") or f"{test['outcome']}, without a message"
            found.setdefault(alike(text), Cluster(text)).tests.append(place)
    return sorted(found.values(), key=lambda cluster: -len(cluster.tests))

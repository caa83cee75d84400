"""Annotations: what failed, at the lines of its tests, as GitHub and GitLab show it beside a change.

Pure: it reads a report, and returns text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..reports.words import counted, headline, worst_first
from ..values.nodeids import file_of, name_of
from ..values.outcomes import BAD, FAILED
from ..values.texts import cut, one_line
from ..values.verdicts import BAD as BAD_VERDICTS
from ..verdicts.verdict import sentence

MOST = 10
"""So many errors of one step does GitHub show, and drops the others."""

_LONGEST = 300
_SEVERITY = "major"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One thing that went wrong: ``path`` is from the repository's top, ``line`` None where that is not known."""

    path: str
    line: int | None
    title: str
    text: str


def failures(report: Mapping[str, Any], prefix: str = "") -> Iterator[Annotation]:
    """Yield what failed, the worst first: tests, then metrics that need a look. ``prefix`` is rootdir's, ``evals/``."""
    tests = worst_first(report["tests"])
    for test in tests:
        if test["outcome"] in BAD and (test["outcome"] in FAILED or test.get("message")):
            yield _of_test(test, prefix)
    for test in tests:
        for metric in test["metrics"]:
            if metric["verdict"] in BAD_VERDICTS:
                path, line = test.get("path") or file_of(test["nodeid"]), test.get("line")
                yield _of_metric(test["nodeid"], metric, f"{prefix}{path}", line)
    for metric in report["aggregates"]:
        if metric["verdict"] in BAD_VERDICTS:
            yield _of_metric(metric["test"], metric, f"{prefix}{file_of(metric['test'])}", None)


def _of_test(test: Mapping[str, Any], prefix: str) -> Annotation:
    path = test.get("path") or file_of(test["nodeid"])
    title = f"{one_line(name_of(test['nodeid']))}: {test['outcome']}"
    text = one_line(headline(test.get("message") or "", _LONGEST)) or test["outcome"]
    return Annotation(path=f"{prefix}{path}", line=test.get("line"), title=cut(title, _LONGEST), text=text)


def _of_metric(nodeid: str, metric: Mapping[str, Any], path: str, line: int | None) -> Annotation:
    title = f"{one_line(name_of(nodeid))}: {one_line(metric['name'])} {metric['verdict']}"
    return Annotation(path=path, line=line, title=cut(title, _LONGEST), text=cut(one_line(sentence(metric)), _LONGEST))


def github(found: Sequence[Annotation]) -> Iterator[str]:
    """Yield workflow commands, which make annotations where a step prints them."""
    for one in found[:MOST]:
        place = f"file={_property(one.path)},{'' if one.line is None else f'line={one.line},'}"
        yield f"::error {place}title={_property(one.title)}::{_data(one.text)}"
    if len(found) > MOST:
        more = f"{counted(len(found) - MOST, 'failure')} more: GitHub shows {MOST} of a step; the reports have all"
        yield f"::notice title=gpupool::{_data(more)}"


def gitlab(found: Sequence[Annotation]) -> list[dict[str, Any]]:
    """Return a report as GitLab's artefact ``codequality`` has it."""
    return [
        {
            "description": f"{one.title}: {one.text}",
            "check_name": "gpupool",
            "fingerprint": hashlib.sha256(f"{one.path}\n{one.title}".encode(errors="backslashreplace")).hexdigest(),
            "severity": _SEVERITY,
            "location": {"path": one.path, "lines": {"begin": one.line or 1}},
        }
        for one in found
    ]


def _data(text: str) -> str:
    # Source: actions/toolkit, packages/core/src/command.ts.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

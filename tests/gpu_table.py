"""The table of what was checked on a real GPU: what, expected, seen, verdict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

PROPERTY = "gpu-check"
"""The name under which a test's report has its rows, each a list of four texts."""

HEAD = ("WHAT", "EXPECTED", "SEEN", "VERDICT")
_WIDEST = 60  # of a text in a cell: two such columns and two short ones fit into a wide terminal


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that was checked; ``verdict`` is ``ok``, ``BAD``, ``ERROR`` or ``skipped``."""

    what: str
    expected: str
    seen: str
    verdict: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Its texts, as a report has them."""
        return self.what, self.expected, self.seen, self.verdict


class Checks:
    """What one test checks: each a row, a failed one no reason not to look at the others."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def equal(self, what: str, expected: object, seen: object) -> None:
        """These are to be the same."""
        self.true(what, str(expected), seen, good=expected == seen)

    def near(self, what: str, expected: float, seen: float | None, *, rel: float = 0.0, atol: float = 0.0) -> None:
        """These are to be as near to each other as the larger of the two allows."""
        allowed = max(abs(expected) * rel, atol)
        words = f"{expected:.4g} ± {allowed:.3g}"
        good = seen is not None and abs(seen - expected) <= allowed
        self.true(what, words, "nothing" if seen is None else f"{seen:.4g}", good=good)

    def true(self, what: str, expected: str, seen: object, *, good: bool) -> None:
        """What is expected is told in words."""
        self.rows.append(Row(what=what, expected=expected, seen=str(seen), verdict="ok" if good else "BAD"))

    @property
    def bad(self) -> list[Row]:
        """What is not as it should be."""
        return [row for row in self.rows if row.verdict == "BAD"]


def rows_of(reports: Iterable[Any]) -> list[Row]:
    """The rows of pytest's reports of the checks, in their order; of a test that made none, how it ended.

    A test has up to three reports, and each has all rows that there were by then.
    """
    found: dict[str, list[Row]] = {}
    ends: dict[str, Row] = {}
    for report in reports:
        told = [cells for name, cells in report.user_properties if name == PROPERTY]
        rows = [Row(what=what, expected=expected, seen=seen, verdict=verdict) for what, expected, seen, verdict in told]
        found[report.nodeid] = max(found.get(report.nodeid, []), rows, key=len)
        if report.skipped:
            ends[report.nodeid] = _end(report.nodeid, "", reason_of(report), "skipped")
        elif report.failed and not any(row.verdict == "BAD" for row in rows):
            ends[report.nodeid] = _end(report.nodeid, "to run", _last_words(report), "ERROR")
    return [row for nodeid, rows in found.items() for row in (*rows, *([ends[nodeid]] if nodeid in ends else []))]


def reason_of(report: Any) -> str:
    """Why a test was skipped."""
    where = report.longrepr
    return re.sub(r"^Skipped: ", "", str(where[2] if isinstance(where, tuple) else where))


def lines(rows: Sequence[Row], seconds: float) -> list[str]:
    """The table; one line where nothing was checked for one and the same reason."""
    reasons = {row.seen for row in rows if row.verdict == "skipped"}
    if len(reasons) == 1 and all(row.verdict == "skipped" for row in rows):
        return [f"nothing was checked: {reasons.pop()}"]
    cells = [HEAD, *(tuple(_shortened(text) for text in row.cells) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    table = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    verdicts = [row.verdict for row in rows]
    counts = [f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts)]
    return [*table, "", f"{len(rows)} checks in {seconds:.0f} s: {', '.join(counts)}"]


def _end(nodeid: str, expected: str, seen: str, verdict: str) -> Row:
    name = nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return Row(what=name, expected=expected, seen=seen, verdict=verdict)


def _last_words(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    return text.strip().splitlines()[0] if text.strip() else "no message"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"

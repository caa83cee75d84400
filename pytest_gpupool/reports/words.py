"""The words of reports: what those that people read say in the same way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..values.device import Device
from ..values.outcomes import OUTCOMES
from ..values.texts import duration_text

UNFINE = ("failed", "error", "crashed", "timeout", "not-run")
"""Outcomes that need a look, the worst first."""

WRONG = ("invalid", "regressed")
"""Verdicts that need a look, the worst first."""

VERDICTS_BY_CONCERN = (*WRONG, "contended", "no-baseline", "improved", "ok")

ALL_ELSE = len(UNFINE) + 1
"""The rank of a test that needs no look."""

# What no text file can carry, and what would change how the text around it is shown (the order of writing).
_HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")


def worst_first(tests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the tests in the order in which they need a look, otherwise as they were."""
    return sorted(tests, key=rank)


def counts(report: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return how many tests had each outcome, the worst first, without those that none had."""
    order = [*UNFINE, *(outcome for outcome in OUTCOMES if outcome not in UNFINE)]
    return [(outcome, report["summary"][outcome]) for outcome in order if report["summary"][outcome]]


def completeness(report: Mapping[str, Any]) -> str:
    """Return the sentence that says whether every test has a result."""
    run = report["run"]
    if not run["collected"]:
        return "No tests were collected."
    if run["complete"]:
        return f"Complete: {counted(run['collected'], 'collected test')}, each with a result."
    left = run["collected"] - run["finished"]
    if not left:
        return "INCOMPLETE: something could not be collected."
    return f"INCOMPLETE: {left} of {counted(run['collected'], 'collected test')} without a result."


def exit_text(run: Mapping[str, Any]) -> str:
    """Return the run's exit status, or why there is none."""
    return "unknown (the run was killed, or goes on)" if run["exit_status"] is None else str(run["exit_status"])


def earlier_run(test: Mapping[str, Any], report: Mapping[str, Any]) -> str | None:
    """Return the id of the run that a test's result was kept from, None where it is of this one."""
    run: str | None = test.get("run")
    return run if run and run != report["run"]["id"] else None


def kept_text(report: Mapping[str, Any]) -> str:
    """Return the sentence on results that were kept from earlier runs, nothing where there is none."""
    runs = Counter(run for test in report["tests"] if (run := earlier_run(test, report)) is not None)
    if not runs:
        return ""
    return f"{counted(runs.total(), 'result')} kept from earlier runs: {', '.join(sorted(runs))}."


def labels(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what people call the devices, by id."""
    fields = ("id", "kind", "index", "name")
    return {device["id"]: Device(**{key: device[key] for key in fields}).label for device in report["devices"]}


def placement_texts(report: Mapping[str, Any]) -> list[str]:
    """Return sentences on devices on which metrics differ from those on others."""
    from ..trends import placement  # the terminal has no use for it

    names = labels(report)
    return placement.sentences([placement.from_report(one) for one in report.get("placement", ())], names)


def headline(message: str, most: int = 120) -> str:
    """Return the line of a message that says most: pytest's first with an ``E``, else the first."""
    lines = [line for line in message.splitlines() if line.strip()]
    told = next((line[1:] for line in lines if re.match(r"E\s+\S", line)), lines[0] if lines else "")
    return cut(told.strip(), most)


def visible(text: str) -> str:
    """Return a text with the characters that cannot be seen, or written, as Python's escapes; lines stay."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def seconds_text(seconds: float | None) -> str:
    """Return ``1.50 s``, ``12 min``, or a dash where it is not known."""
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds < 120 else duration_text(seconds)


def use_text(summary: Mapping[str, Any]) -> str:
    """Return the sentence on makespan, speedup and efficiency, nothing where no test ran."""
    if summary["makespan_s"] is None:
        return ""
    text = f"Makespan {seconds_text(summary['makespan_s'])}"
    if summary["speedup"] is not None and summary["efficiency"] is not None:
        text += f", speedup {summary['speedup']:.2f}, efficiency {summary['efficiency']:.0%}"
    return f"{text}."


def rank(test: Mapping[str, Any]) -> int:
    """Return how much a test needs a look, 0 the most."""
    if test["outcome"] in UNFINE:
        return UNFINE.index(test["outcome"])
    return ALL_ELSE - any(metric["verdict"] in WRONG for metric in test["metrics"])


def verdict_rank(metric: Mapping[str, Any]) -> int:
    """Return how much a metric needs a look by its verdict, 0 the most; one without a verdict the least."""
    verdict = metric["verdict"]
    return len(VERDICTS_BY_CONCERN) if verdict is None else VERDICTS_BY_CONCERN.index(verdict)


def cut(text: str, most: int) -> str:
    """Return a text of so many characters at most."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def counted(number: int, what: str) -> str:
    """Return ``1 test``, ``2 tests``."""
    return f"{number} {what}{'' if number == 1 else 's'}"

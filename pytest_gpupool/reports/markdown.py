"""The Markdown summary for a CI job's page, as GitHub takes it; and the words that it shares with other reports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..model import Device, duration_text
from ..outcomes import OUTCOMES
from .terminal import value_text

MOST_BYTES = 2**20 - 1
"""GitHub shows no summary of a step above 1 MiB."""

UNFINE = ("failed", "error", "crashed", "timeout", "not-run")
"""Outcomes that need a look, the worst first."""

WRONG = ("invalid", "regressed")
"""Verdicts that need a look, the worst first."""

_LONGEST_NAME = 200
_LONGEST_MESSAGE = 4_000
_ALL_ELSE = len(UNFINE) + 1  # the rank of a test that needs no look

# What no text file can carry, and what would change how the text around it is shown (the order of writing).
_HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")
# HTML, tables, emphasis, code, formulas, mentions; and what GitHub makes links of.
_SPECIAL = re.compile(r"""[&<>"'|`*_\[\]\\~$@#!]|:(?=//)|(?<=www)\.""", re.IGNORECASE)

_TESTS = "### Tests\n\n| Outcome | Test | Worker | Devices | Duration | |\n| --- | --- | --- | --- | ---: | --- |"
_METRICS = (
    "### Metrics\n\n| Verdict | Test | Metric | Value | Baseline | Change |\n| --- | --- | --- | ---: | ---: | ---: |"
)


class _Row(NamedTuple):
    rank: int  # rows of a lower one are kept rather
    text: str


class _Section(NamedTuple):
    head: str
    rows: list[_Row]
    what: str


def render(report: Mapping[str, Any], most_bytes: int = MOST_BYTES) -> str:
    """Return the summary as GitHub's Markdown, at most ``most_bytes`` of UTF-8.

    Where there is no room for all, the least important rows are left out, and their number is told: first metrics
    that are fine, then tests that are fine, messages, metrics that are not, and tests that failed.
    """
    sections = [_tests(report), _messages(report), _metrics(report)]
    head = _head(report)
    # What is told of rows that are left out is longest where all are.
    least = _composed(head, sections, [0] * len(sections))
    text = _composed(head, sections, _fitting(sections, most_bytes - len(least.encode())))
    return text.encode()[: max(0, most_bytes)].decode("utf-8", "ignore")  # a place too small for a title even


def append(path: Path, text: str) -> None:
    """Append a summary to a file, as ``$GITHUB_STEP_SUMMARY`` wants it; make the file where needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        apart = "\n\n" if text and file.tell() else ""  # whatever was open above is closed by an empty line
        file.write((apart + text).encode("utf-8", "backslashreplace"))


def room(path: Path) -> int:
    """Return how many bytes :func:`append` may still add to a file that GitHub is to show."""
    return MOST_BYTES - path.stat().st_size - 2 if path.exists() else MOST_BYTES


def worst_first(tests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the tests in the order in which they need a look, otherwise as they were."""
    return sorted(tests, key=_rank)


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
        return f"Complete: {_counted(run['collected'], 'collected test')}, each with a result."
    left = run["collected"] - run["finished"]
    return f"INCOMPLETE: {left} of {_counted(run['collected'], 'collected test')} without a result."


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
    return f"{_counted(runs.total(), 'result')} kept from earlier runs: {', '.join(sorted(runs))}."


def labels(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what people call the devices, by id."""
    fields = ("id", "kind", "index", "name")
    return {device["id"]: Device(**{key: device[key] for key in fields}).label for device in report["devices"]}


def headline(message: str, most: int = 120) -> str:
    """Return the line of a message that says most: pytest's first with an ``E``, else the first."""
    lines = [line for line in message.splitlines() if line.strip()]
    told = next((line[1:] for line in lines if re.match(r"E\s+\S", line)), lines[0] if lines else "")
    return _cut(told.strip(), most)


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


def change_text(metric: Mapping[str, Any]) -> str:
    """Return how far a metric is from its baseline, ``-3.5%``, nothing where that is not known."""
    return "" if metric["change"] is None else f"{metric['change']:+.1%}"


def baseline_text(metric: Mapping[str, Any]) -> str:
    """Return a metric's baseline as its value is shown, nothing where there is none."""
    return "" if metric["baseline"] is None else value_text({**metric, "value": metric["baseline"]})


def _head(report: Mapping[str, Any]) -> str:
    run, figures = report["run"], [f"{count} {outcome}" for outcome, count in counts(report)]
    state = "complete" if run["complete"] else "INCOMPLETE" if run["collected"] else "no tests"
    facts = [completeness(report), f"Exit status {exit_text(run)}, {seconds_text(run['duration_s'])}."]
    kept = _escaped(_cut(kept_text(report), _LONGEST_NAME))
    more = [use_text(report["summary"]), kept, f"Run {_code(run['id'])} on {_code(run['host']['name'])}."]
    title = f"## gpupool: {', '.join([*figures, state])}"
    return f"{title}\n\n{' '.join(filter(None, [*facts, *more]))}\n"


def _tests(report: Mapping[str, Any]) -> _Section:
    names = labels(report)
    ranked = ((3 if _rank(test) == _ALL_ELSE else 0, test) for test in worst_first(report["tests"]))
    return _Section(_TESTS, [_Row(rank, _test_row(test, report, names)) for rank, test in ranked], "test")


def _test_row(test: Mapping[str, Any], report: Mapping[str, Any], names: Mapping[str, str]) -> str:
    run = earlier_run(test, report)
    notes = [
        "" if run is None else f"kept from run {_code(run)}",
        f"attempt {test['attempt']}" if test["attempt"] > 1 else "",
        _escaped(headline(test["message"] or "")),
    ]
    devices = ", ".join(names.get(device, device) for device in test["devices"])
    return _line(
        test["outcome"],
        _code(test["nodeid"]),
        _escaped(test["worker"] or ""),
        _escaped(devices),
        seconds_text(test["duration_s"]),
        "; ".join(filter(None, notes)),
    )


def _messages(report: Mapping[str, Any]) -> _Section:
    told = [test for test in worst_first(report["tests"]) if test["outcome"] in UNFINE and test["message"]]
    return _Section("### Messages", [_Row(2, _details(test)) for test in told], "message")


def _details(test: Mapping[str, Any]) -> str:
    message = test["message"]
    if len(message) > _LONGEST_MESSAGE:
        half = _LONGEST_MESSAGE // 2
        message = f"{message[:half]}\n… (the whole is in the JSON report) …\n{message[-half:]}"
    title = f"<summary>{test['outcome']}: {_code(test['nodeid'])}</summary>"
    # The empty lines end what Markdown takes for HTML; <pre> goes on over those of the message.
    return f"\n<details>{title}\n\n<pre>\n{_escaped(message, lines=True)}\n</pre>\n\n</details>"


def _metrics(report: Mapping[str, Any]) -> _Section:
    pairs = [(test, metric) for test in report["tests"] for metric in test["metrics"]]
    ranked = sorted(((_metric_rank(*pair), *pair) for pair in pairs), key=lambda three: three[0])
    rows = [_Row(1 if rank < len(WRONG) else 4, _metric_row(test, metric)) for rank, test, metric in ranked]
    return _Section(_METRICS, rows, "metric")


def _metric_row(test: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    verdict = metric["verdict"] or ""
    return _line(
        f"**{verdict}**" if verdict in WRONG else verdict,
        _code(test["nodeid"]),
        _code(metric["name"]),
        _escaped(value_text(dict(metric))),
        _escaped(baseline_text(metric)),
        change_text(metric),
    )


def _composed(head: str, sections: Sequence[_Section], kept: Sequence[int]) -> str:
    return "\n".join([head, *(_shown(section, number) for section, number in zip(sections, kept, strict=True))])


def _shown(section: _Section, number: int) -> str:
    if not section.rows:
        return ""
    lines = [section.head, *(row.text for row in section.rows[:number])]
    left = len(section.rows) - number
    if left:
        lines.append(f"\n… and {_counted(left, f'more {section.what}')}, for which there is no room here")
    return "\n".join([*lines, ""])


def _fitting(sections: Sequence[_Section], free: int) -> list[int]:
    """How many rows of each section fit into so many bytes; within a section they are in the order of rank."""
    kept = [0] * len(sections)
    ranked = [(row.rank, number, row.text) for number, section in enumerate(sections) for row in section.rows]
    for _, number, text in sorted(ranked, key=lambda row: row[0]):
        free -= len(text.encode()) + 1
        if free < 0:
            break
        kept[number] += 1
    return kept


def _rank(test: Mapping[str, Any]) -> int:
    if test["outcome"] in UNFINE:
        return UNFINE.index(test["outcome"])
    return _ALL_ELSE - any(metric["verdict"] in WRONG for metric in test["metrics"])


def _metric_rank(test: Mapping[str, Any], metric: Mapping[str, Any]) -> int:
    if metric["verdict"] in WRONG:
        return WRONG.index(metric["verdict"])
    return len(WRONG) + (test["outcome"] not in UNFINE)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    # Not between backticks: within them neither a backtick nor a backslash before a pipe can be written.
    return f"<code>{_escaped(_cut(text, _LONGEST_NAME))}</code>"


def _escaped(text: str, *, lines: bool = False) -> str:
    """Text that is nothing but text, as Markdown and as HTML: a character reference is never syntax."""
    text = visible(text)
    if not lines:
        text = text.replace("\n", "\\n").replace("\t", "\\t")
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

"""The Markdown summary for a CI job's page, as GitHub takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..metrics import costs
from ..metrics.wording import (
    baseline_text,
    chance_text,
    change_text,
    cohort_text,
    interval_text,
    n_text,
    shows_text,
    value_text,
)
from ..values import outcomes, verdicts
from ..values.nodeids import commit_link, source_link
from ..values.texts import cut, one_line, visible
from .words import (
    NEEDS_NO_LOOK,
    cause_texts,
    completeness,
    counted,
    counts,
    earlier_run,
    exit_text,
    firsts,
    group_word,
    headline,
    kept_text,
    labels,
    metric_order,
    needs_a_look,
    placement_texts,
    rank,
    seconds_text,
    set_up_texts,
    shard_text,
    use_text,
    verb,
    worst_first,
    worst_groups,
)

MOST_BYTES = 2**20 - 1
"""GitHub shows no summary of a step above 1 MiB."""

_LONGEST_NAME = 200
_FOLD = 100  # bytes of what folds rows, besides their head
_LONGEST_MESSAGE = 4_000

# HTML, tables, emphasis, code, formulas, mentions; and what GitHub makes links of.
_SPECIAL = re.compile(r"""[&<>"'|`*_\[\]\\~$@#!]|:(?=//)|(?<=www)\.""", re.IGNORECASE)

_TESTS = "| Outcome | Test | Worker | Devices | Duration | |\n| --- | --- | --- | --- | ---: | --- |"
_AGGREGATES = (
    "| Verdict | Of | Metric | Value | Baseline | Change | Tests | Evidence |\n"
    "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |"
)
_METRICS = (
    "| Verdict | Test | Metric | Value | Baseline | Change | Evidence |\n| --- | --- | --- | ---: | ---: | ---: | --- |"
)


class _Row(NamedTuple):
    rank: int  # rows of a lower one are kept rather
    text: str


class _Section(NamedTuple):
    title: str
    head: str
    rows: list[_Row]
    what: str
    unfolded: int
    """How many of the rows need a look; all others are folded."""


def render(report: Mapping[str, Any], most_bytes: int = MOST_BYTES) -> str:
    """Return the summary as GitHub's Markdown, at most ``most_bytes`` of UTF-8.

    Where there is no room for all, the least important rows are left out, and their number is told: first metrics
    that are fine, then tests that are fine, messages, metrics that are not, and tests that failed.
    """
    sections = [_aggregates(report), _tests(report), _messages(report), _metrics(report)]
    head = _head(report)
    # What is told of rows that are left out is longest where all are.
    least = _composed(head, sections, [0] * len(sections))
    folds = sum(map(_fold_bytes, sections))
    text = _composed(head, sections, _fitting(sections, most_bytes - len(least.encode()) - folds))
    return text.encode()[: max(0, most_bytes)].decode("utf-8", "ignore")  # a place too small for a title even


def append(path: Path, text: str) -> None:
    """Append a summary to a file, as ``$GITHUB_STEP_SUMMARY`` wants it; make the file where needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        is_more = text and file.seekable() and file.tell()  # a pipe, such as /dev/stdout, has no place to tell
        apart = "\n\n" if is_more else ""  # whatever was open above is closed by an empty line
        file.write((apart + text).encode("utf-8", "backslashreplace"))


def room(path: Path) -> int:
    """Return how many bytes :func:`append` may still add to a file that GitHub is to show."""
    return MOST_BYTES - path.stat().st_size - 2 if path.exists() else MOST_BYTES


def _head(report: Mapping[str, Any]) -> str:
    run, figures = report["run"], [f"{count} {outcome}" for outcome, count in counts(report)]
    state = "complete" if run["complete"] else "INCOMPLETE" if run["collected"] else "no tests"
    facts = [
        shard_text(report),
        completeness(report),
        f"Exit status {exit_text(run)}, {seconds_text(run['duration_s'])}.",
    ]
    kept = escaped(cut(kept_text(report), _LONGEST_NAME))
    more = [
        use_text(report["summary"]),
        *(escaped(f"{text}.") for text in set_up_texts(report.get("fixtures", ()), report["summary"]["busy_s"])),
        *(escaped(f"{cut(text, _LONGEST_NAME)}.") for text in costs.texts(report)),
        kept,
        *(escaped(f"{cut(text, _LONGEST_NAME)}.") for text in cause_texts(report["tests"])),
        *map(escaped, placement_texts(report)),
        f"Run {_code(run['id'])} on {_code(run['host']['name'])}.",
        f"Commit {_linked(_code(run['git']['commit'][:10]), commit)}." if (commit := commit_link(run)) else "",
    ]
    title = f"## gpupool: {', '.join([*figures, state])}"
    shared = [f"**{escaped(text)}.**\n" for text in firsts(report)]
    return "\n".join([title, "", *shared, f"{' '.join(filter(None, [*facts, *more]))}\n"])


def _aggregates(report: Mapping[str, Any]) -> _Section:
    found = worst_groups(report)
    rows = [_Row(1 if needs_a_look(one) else 4, _aggregate(one)) for one in found]
    return _Section("Aggregates", _AGGREGATES, rows, "aggregate", len(rows))


def _aggregate(one: Mapping[str, Any]) -> str:
    word = group_word(one)
    return _line(
        f"**{word}**" if needs_a_look(one) else word,
        _code(one["id"]),
        _code(one["name"]),
        _plain(value_text(one)),
        _plain(baseline_text(one)),
        _plain(_change(one)),
        str(one["tests"]),
        _plain(_evidence({**one, "n": None})),
    )


def _linked(text: str, address: str | None) -> str:
    """Return a text that is a link, where there is an address; nothing in that ends a link, or a cell of a table."""
    return text if address is None else f"[{text}]({address.replace(')', '%29').replace('|', '%7C')})"


def _change(metric: Mapping[str, Any]) -> str:
    return " ".join(filter(None, [change_text(metric), interval_text(metric)]))


def _evidence(metric: Mapping[str, Any]) -> str:
    told = (chance_text(metric), n_text(metric), cohort_text(metric), shows_text(metric), metric.get("note"))
    return "; ".join(filter(None, told))


def _tests(report: Mapping[str, Any]) -> _Section:
    names = labels(report)
    ranked = [(3 if rank(test) == NEEDS_NO_LOOK else 0, test) for test in worst_first(report["tests"])]
    rows = [_Row(rank, _test_row(test, report, names)) for rank, test in ranked]
    return _Section("Tests", _TESTS, rows, "test", sum(rank == 0 for rank, _ in ranked))


def _test_row(test: Mapping[str, Any], report: Mapping[str, Any], names: Mapping[str, str]) -> str:
    run = earlier_run(test, report)
    notes = [
        "" if run is None else f"kept from run {_code(run)}",
        f"attempt {test['attempt']}" if test["attempt"] > 1 else "",
        escaped(headline(test["message"] or "")),
    ]
    devices = ", ".join(names.get(device, device) for device in test["devices"])
    return _line(
        test["outcome"],
        _linked(_code(test["nodeid"]), source_link(report["run"], test)),
        escaped(test["worker"] or ""),
        escaped(devices),
        seconds_text(test["duration_s"]),
        "; ".join(filter(None, notes)),
    )


def _messages(report: Mapping[str, Any]) -> _Section:
    told = [test for test in worst_first(report["tests"]) if test["outcome"] in outcomes.BAD and test["message"]]
    return _Section("Messages", "", [_Row(2, _details(test)) for test in told], "message", len(told))


def _details(test: Mapping[str, Any]) -> str:
    message = test["message"]
    if len(message) > _LONGEST_MESSAGE:
        half = _LONGEST_MESSAGE // 2
        message = f"{message[:half]}\n… (the whole is in the JSON report) …\n{message[-half:]}"
    title = f"<summary>{test['outcome']}: {_code(test['nodeid'])}</summary>"
    # The empty lines end what Markdown takes for HTML; <pre> goes on over those of the message.
    return f"\n<details>{title}\n\n<pre>\n{escaped(message, lines=True)}\n</pre>\n\n</details>"


def _metrics(report: Mapping[str, Any]) -> _Section:
    pairs = [(test, metric) for test in report["tests"] for metric in test["metrics"]]
    ranked = sorted(pairs, key=lambda pair: metric_order(pair[1], pair[0]["outcome"]))
    rows = [_Row(1 if _is_bad(metric) else 4, _metric_row(test, metric)) for test, metric in ranked]
    is_judged = any(metric["verdict"] for _, metric in ranked)
    # Beside those that are judged the others, which come last, need no look.
    notable = sum(verdicts.rank(metric["verdict"]) < verdicts.rank("ok") for _, metric in ranked)
    return _Section("Metrics", _METRICS, rows, "metric", notable if is_judged else len(rows))


def _metric_row(test: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    verdict = metric["verdict"] or ""
    return _line(
        f"**{verdict}**" if _is_bad(metric) else verdict,
        _code(test["nodeid"]),
        _code(metric["name"]),
        _plain(value_text(metric)),
        _plain(baseline_text(metric)),
        _plain(_change(metric)),
        _plain(_evidence(metric)),
    )


def _composed(head: str, sections: Sequence[_Section], kept: Sequence[int]) -> str:
    return "\n".join([head, *(_shown(section, number) for section, number in zip(sections, kept, strict=True))])


def _shown(section: _Section, number: int) -> str:
    if not section.rows:
        return ""
    rows = [row.text for row in section.rows[:number]]
    open_, folded = rows[: section.unfolded], rows[section.unfolded :]
    lines = [f"### {section.title}"]
    if open_ or not folded:
        lines += ["", section.head, *open_] if section.head else open_
    if folded:
        need = verb(len(folded), "that needs", "that need")
        lines += [
            "",
            f"<details><summary>{counted(len(folded), section.what)} {need} no look</summary>",
            "",
            section.head,
        ]
        lines += [*folded, "", "</details>"]
    left = len(section.rows) - number
    if left:
        lines.append(f"\n… and {counted(left, f'more {section.what}')}, for which there is no room here")
    return "\n".join([*lines, ""])


def _fold_bytes(section: _Section) -> int:
    """Return how many bytes it takes at most to fold a section's rows: a second head too, where some are not folded."""
    if section.unfolded >= len(section.rows):
        return 0
    return _FOLD + (len(section.head.encode()) if section.unfolded else 0)


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


def _is_bad(metric: Mapping[str, Any]) -> bool:
    return metric["verdict"] in verdicts.BAD


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    return escaped(cut(text, _LONGEST_NAME))


def _code(text: str) -> str:
    # Not between backticks: within them neither a backtick nor a backslash before a pipe can be written.
    return f"<code>{escaped(cut(text, _LONGEST_NAME))}</code>"


def escaped(text: str, *, lines: bool = False) -> str:
    """Text that is nothing but text, as Markdown and as HTML: a character reference is never syntax."""
    text = visible(text) if lines else one_line(text)
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", text)

"""The table of items for people: of each test some, what broke first."""

from __future__ import annotations

import heapq
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from ...items.flips import BROKE, FIXED, Item, rank
from ...items.source import Source, Test
from ...reports.columns import lines
from ...reports.words import counted
from ...values.texts import cut, one_line

_MOST_TESTS = 20
_MOST_SCORES = 4
_WIDEST = 200
_CELL = 40

Rows = Callable[[Test], Iterator[Item]]


def show_tables(
    source: Source, tests: Sequence[Test], rows: Rows, *, against: str | None, limit: int | None, is_flipped: bool
) -> None:
    """Print a table for each test."""
    run = source.report["run"]["id"]
    print(f"gpupool: items of run {run}{f' beside {against}' if against else ''}")
    shown = tests if limit is None else tests[:_MOST_TESTS]
    total: Counter[str] = Counter()
    for test in shown:
        total += _show_test(test, rows(test), limit, has_other=against is not None, is_flipped=is_flipped)
    if len(tests) > len(shown):
        print(f"… and {counted(len(tests) - len(shown), 'test')} more: name one, or give --limit 0")
    if is_flipped and not total:
        print("No item has flipped.")


def _show_test(
    test: Test, items: Iterator[Item], limit: int | None, *, has_other: bool, is_flipped: bool
) -> Counter[str]:
    counts: Counter[str] = Counter()
    chosen = _first(_counting(items, counts), limit)
    if is_flipped and not chosen:
        return counts
    total = counts.pop("items", 0)
    flips = f", {counts[BROKE]} broke, {counts[FIXED]} fixed" if has_other else ""
    what = f"{total} flipped" if is_flipped else counted(total, "item")
    print(f"\n{one_line(test['nodeid'])}: {what}{flips}")
    if not chosen:
        return counts
    names = list(dict.fromkeys(name for item in chosen for name in item.get("scores", ())))[:_MOST_SCORES]
    head = _head(chosen, names, has_other=has_other)
    rows = [_row(item, head, names) for item in chosen]
    width = min(_WIDEST, shutil.get_terminal_size((120, 24)).columns)
    kept = [index for index, name in enumerate(head) if name in _ALWAYS or any(row[index] for row in rows)]
    table = [[head[index] for index in kept], *([row[index] for index in kept] for row in rows)]
    for line in lines(table, right=[head[index] in names for index in kept]):
        print(f"  {cut(line.rstrip(), width - 2)}")
    if total > len(chosen):
        print(f"  … and {total - len(chosen)} more: --limit 0, or --format csv, jsonl or parquet")
    return counts


_ALWAYS = ("ID",)


def _counting(items: Iterable[Item], counts: Counter[str]) -> Iterator[Item]:
    for item in items:
        counts["items"] += 1
        if item["flip"]:
            counts[item["flip"]] += 1
        yield item


def _first(items: Iterable[Item], limit: int | None) -> list[Item]:
    """Return the worst of many, without keeping all in memory."""
    number = count()
    ranked = ((rank(item), next(number), item) for item in items)
    found = sorted(ranked, key=lambda one: one[:2]) if limit is None else heapq.nsmallest(limit, ranked, key=_place)
    return [item for _, _, item in found]


def _place(one: tuple[int, int, Item]) -> tuple[int, int]:
    return one[:2]


def _head(items: Sequence[Item], names: Sequence[str], *, has_other: bool) -> list[str]:
    repeat = ["REPEAT"] if any("repeat" in item for item in items) else []
    return ["ID", *repeat, *(["FLIP"] if has_other else []), *names, *(["WAS"] if has_other else []), *_TEXTS]


_TEXTS = ("OUTPUT", "BEFORE", "TARGET", "INPUT")


def _row(item: Item, head: Sequence[str], names: Sequence[str]) -> list[str]:
    before, scores = item.get("before", {}), item.get("scores", {})
    was = before.get("scores", {}).get(item["by"])
    known = {
        "ID": _cell(item["id"]),
        "REPEAT": str(item.get("repeat", "")),
        "FLIP": item["flip"] or "",
        "WAS": _number(was),
        "OUTPUT": _cell(item.get("output")),
        "BEFORE": _cell(before.get("output")) if before.get("output") != item.get("output") else "",
        "TARGET": _cell(item.get("target")),
        "INPUT": _cell(item.get("input")),
    }
    return [_number(scores.get(name)) if name in names else known[name] for name in head]


def _number(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.4g}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return cut(one_line(value if isinstance(value, str) else json.dumps(value)), _CELL)

"""The page of two runs side by side: one file that needs nothing else, without its script with the worst rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ....values.texts import visible
from ....verdicts.compare import named
from ....verdicts.comparison import Comparison
from ...comparison import shared, summary
from ...words import counted
from ..data import chunks
from ..data.page import number
from ..data.parameters import Parameters, Places
from ..document import MOST_PLAIN, hash_of, source_of, template
from ..scripts import COMPARING, joined
from . import runs
from .rows import ALONE, KINDS, METRIC, OUTCOME, Row, rows
from .runs import Side

MOST_FACTS = 200
"""Facts that differ that the page lists."""

MOST_NAMED = 3
"""Tests of each of them that it names."""


def render(
    comparison: Comparison, sides: tuple[Side, Side], differing: Sequence[Mapping[str, Any]], *, fails: bool
) -> str:
    """Return the page; ``sides`` are the older and the newer one, ``differing`` their facts that differ.

    Whatever a test is called or says is text in it; what UTF-8 cannot carry is escaped.
    """
    from markupsafe import Markup

    old, new = ({} if side.report is None else dict(named(side.report)) for side in sides)
    found = rows(comparison, old, new)
    style = source_of("report.css") + source_of("comparing/comparison.css")
    script = joined(source_of(f"script/{name}.js") for name in COMPARING)
    return template(source_of("comparing/comparison.html.jinja")).render(
        sides=sides,
        runs=runs.table(*sides),
        state=state(found),
        fine=not fails and not any(row.bad for row in found),
        status=int(fails),
        shared=shared(comparison),
        summary=summary(comparison),
        changes=_changes(found),
        facts=[_fact(one) for one in differing[:MOST_FACTS]],
        more_facts=max(0, len(differing) - MOST_FACTS),
        rows=found[:MOST_PLAIN],
        total=len(found),
        metric=METRIC,
        style=Markup(style),
        script=Markup(script),
        data=Markup(chunks.packed(embedded(found))),
        policy=f"default-src 'none'; style-src {hash_of(style)}; script-src {hash_of(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
    )


def state(found: Sequence[Row]) -> str:
    """Return the sentence that says what has become worse."""
    told = Counter(row.word for row in found if row.bad and row.kind == METRIC)
    worse = sum(row.bad and row.kind == OUTCOME for row in found)
    parts = [f"{counted(count, 'metric')} {word}" for word, count in told.items()]
    parts += [f"{counted(worse, 'test')} no longer good"] if worse else []
    return f"{', '.join(parts)}." if parts else "Nothing has become worse."


def embedded(found: Sequence[Row]) -> dict[str, Any]:
    """Return what the page's script draws from: a list for each thing, texts that repeat by their place in another."""
    tests, names, words, params = Places(), Places(), Places(), Parameters([])
    columns = [
        [
            *(words.of((row.word, row.mark, row.bad)), KINDS.index(row.kind)),
            *(tests.of(visible(row.test)), names.of((visible(row.name), row.kind == METRIC))),
            *map(visible, (row.old, row.old_said, row.new, row.new_said, row.change, row.why)),
            *map(number, row.order),
        ]
        for row in found
    ]
    keys = ("word", "kind", "test", "name", "old", "oldSaid", "new", "newSaid", "change", "why")
    orders = ("oldOrder", "newOrder", "changeOrder")
    return {
        "rows": {key: [row[at] for row in columns] for at, key in enumerate((*keys, *orders))},
        "words": list(words),
        "kinds": KINDS,
        "ids": list(tests),
        "names": list(names),
        "tests": {"params": [params.of({"params": row.params}) for row in found]},
        "params": params.table(),
    }


def _changes(found: Sequence[Row]) -> list[tuple[str, int, bool]]:
    """Return how many tests changed their outcome in which way, and are in one run only; and whether that is bad."""
    changed = Counter((f"{row.old} → {row.new}", row.bad) for row in found if row.kind == OUTCOME)
    alone = Counter((row.word, row.bad) for row in found if row.kind == ALONE)
    return [(word, count, bad) for part in (changed, alone) for (word, bad), count in part.items()]


def _fact(one: Mapping[str, Any]) -> dict[str, Any]:
    tests = one["tests"]
    return {
        "name": one["name"],
        "old": one["old"],
        "new": one["new"],
        "tests": tests[:MOST_NAMED],
        "count": len(tests),
        "more": max(0, len(tests) - MOST_NAMED),
    }

"""The rows of the page of two runs: all that they tell of each other, in one table, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from ....metrics.wording import (
    amount_text,
    chance_text,
    change_text,
    cohort_text,
    interval_text,
    n_text,
    shows_text,
    spread_text,
)
from ....values import outcomes, verdicts
from ....verdicts.compare import half_width
from ....verdicts.comparison import Comparison, Duration, OutcomeChange, Pair
from ...comparison import as_metric, is_noticeable, percent, side_text
from ...words import headline, seconds_text
from ..tables import DASH, joined, mark_kind

METRIC, OUTCOME, DURATION, ALONE = KINDS = ("metric", "outcome", "duration", "only in one run")
"""What a row is about."""

Named = Mapping[str, Mapping[str, Any]]
"""The tests of a run by the names by which they are compared."""

# In which order rows need a look; what is not here comes in between.
_WORSE, _BAD, _ONLY_IN_A, _OPEN, _OTHER, _IMPROVED, _ONLY_IN_B, _SLOWER, _FASTER, _OK, _ALIKE = range(11)
_RANKS: dict[str, int] = {**dict.fromkeys(verdicts.BAD, _BAD), "improved": _IMPROVED, "ok": _OK}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: texts, and what it is sorted by; ``word`` says what became of it, ``mark`` how the page marks it.

    ``old_said`` and ``new_said`` tell how sure the values are. ``order`` are the values and the relative change as
    numbers, None where there is none.
    """

    kind: str
    word: str
    rank: int
    test: str
    name: str
    old: str
    new: str
    mark: str = "odd"
    old_said: str = ""
    new_said: str = ""
    change: str = ""
    why: str = ""
    order: tuple[float | None, float | None, float | None] = (None, None, None)
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bad(self) -> bool:
        """Whether it needs a look."""
        return self.rank <= _BAD


def rows(comparison: Comparison, old: Named, new: Named) -> list[Row]:
    """Return all rows, the worst first; ``old`` has no tests where a baseline is compared with."""
    params = comparison.params
    found = [
        *(_outcome(one, new, params.get(one.test, {})) for one in comparison.outcomes),
        *(_metric(pair, old, new, params.get(pair.test, {})) for pair in comparison.metrics),
        *_alone(comparison, old, new),
        *(_duration(one, params.get(one.test, {})) for one in comparison.durations),
    ]
    return sorted(found, key=attrgetter("rank"))


def _metric(pair: Pair, old: Named, new: Named, params: Mapping[str, Any]) -> Row:
    known = as_metric(pair)
    told = (chance_text(known), cohort_text(known), shows_text(known))
    numbers = (pair.old, pair.new, pair.change)
    return Row(
        kind=METRIC,
        word=pair.verdict,
        rank=_RANKS.get(pair.verdict, _OPEN),
        mark=mark_kind(pair.verdict),
        test=pair.test,
        name=pair.metric,
        old=side_text(pair.old, pair.unit),
        new=side_text(pair.new, pair.unit),
        old_said=_precision(old.get(pair.test), pair.metric),
        new_said=_precision(new.get(pair.test), pair.metric),
        change=" ".join(filter(None, [change_text(known), interval_text(known)])),
        why=joined(pair.note, *told),
        order=(_number(numbers[0]), _number(numbers[1]), _number(numbers[2])),
        params=params,
    )


def _precision(test: Mapping[str, Any] | None, name: str) -> str:
    """Return ``± 0.015, n 1000``: how sure a value is by itself, as far as that is known."""
    for metric in () if test is None else test["metrics"]:
        if metric["name"] == name:
            half = half_width(metric)
            around = "" if half is None else f"± {amount_text(half, metric['unit'], 2)}"
            return joined(around, n_text(metric), spread_text(metric))
    return ""


def _outcome(one: OutcomeChange, new: Named, params: Mapping[str, Any]) -> Row:
    test = new.get(one.test, {})
    better = one.old in outcomes.BAD and one.new not in outcomes.BAD
    return Row(
        kind=OUTCOME,
        word=one.new,
        rank=_WORSE if one.is_worse else _OTHER,
        mark="bad" if one.is_worse else "good" if better else "odd",
        test=one.test,
        name=OUTCOME,
        old=one.old,
        new=one.new,
        why=headline(test.get("message") or "") if one.new in outcomes.BAD else "",
        params=params,
    )


def _duration(one: Duration, params: Mapping[str, Any]) -> Row:
    slower = one.new > one.old
    word, rank = ("slower", _SLOWER) if slower else ("faster", _FASTER)
    if not is_noticeable(one):
        word, rank = "alike", _ALIKE
    return Row(
        kind=DURATION,
        word=word,
        rank=rank,
        mark="ok" if rank == _ALIKE else "odd",
        test=one.test,
        name=DURATION,
        old=seconds_text(one.old),
        new=seconds_text(one.new),
        change=percent(one.change),
        order=(one.old, one.new, one.change),
        params=params,
    )


def _alone(comparison: Comparison, old: Named, new: Named) -> Iterator[Row]:
    sides = ((comparison.gone, "A", old, _ONLY_IN_A), (comparison.new, "B", new, _ONLY_IN_B))
    for names, side, tests, rank in sides:
        for name in names:
            outcome = str(tests[name]["outcome"]) if name in tests else "there"
            was, now = (outcome, DASH) if side == "A" else (DASH, outcome)
            params = comparison.params.get(name) or tests.get(name, {}).get("params") or {}
            word = f"only in {side}"
            yield Row(kind=ALONE, word=word, rank=rank, test=name, name=OUTCOME, old=was, new=now, params=params)


def _number(value: Any) -> float | None:
    return None if isinstance(value, str) else value

"""Selection: which tests run, by what they need and by their parameters, for ``--gpupool-select``."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import pytest

from ...options import collection
from ...values.errors import MarkerProblem, UsageProblem
from ..items.markers import requirement_of
from ..items.params import params_of

_CONDITION = re.compile(r"\s*([^\s=<>!,]+)\s*(==|=|!=|<=|>=|<|>)\s*(.*?)\s*", re.DOTALL)
_NEEDS = ("gpus", "priority", "serial", "stage")

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(NamedTuple):
    """That a parameter, or what a test needs, has a value, or is above or below one."""

    name: str
    sign: str
    text: str

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Say whether it does; what a test does not have is neither this nor that."""
        if self.name not in values:
            return False
        value, wanted = values[self.name], _value(self.text)
        if self.sign in _COMPARE:
            return _is_number(value) and _is_number(wanted) and _COMPARE[self.sign](value, wanted)
        is_same = str(value) == self.text or (value == wanted and isinstance(value, bool) is isinstance(wanted, bool))
        return is_same is not (self.sign == "!=")


def conditions(expression: str) -> list[Condition]:
    """Return the conditions of an expression such as ``lr=0.001,gpus<=1``, all of which are to hold.

    Raises:
        ValueError: it is none.
    """
    found = []
    for part in expression.split(","):
        match = _CONDITION.fullmatch(part)
        if match is None or not match[3]:
            raise ValueError(part)
        found.append(Condition(*match.groups()))
    return found


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests for which one of the expressions holds that the user has given.

    Raises:
        pytest.UsageError: no test has what is named, or an expression is none.
    """
    try:
        expressions = collection.selected(config, conditions)
    except UsageProblem as problem:
        raise pytest.UsageError(f"gpupool: {problem}") from None
    known = {id(item): _values(item) for item in items}
    _check(expressions, {name for values in known.values() for name in values})
    kept: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        values = known[id(item)]
        is_wanted = any(all(one.holds(values) for one in expression) for expression in expressions)
        (kept if is_wanted else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = kept


def _check(expressions: Sequence[Sequence[Condition]], known: set[str]) -> None:
    for condition in (one for expression in expressions for one in expression):
        if known and condition.name not in known:
            like = get_close_matches(condition.name, known, n=1)
            meant = f"; did you mean {like[0]}?" if like else f"; there are {', '.join(sorted(known))}"
            raise pytest.UsageError(
                f"gpupool: --gpupool-select: no test has a parameter {condition.name!r}, nor is it a need{meant}"
            )


def _values(item: pytest.Item) -> dict[str, Any]:
    try:
        requirement = requirement_of(item)
    except MarkerProblem:
        return params_of(item)
    return {name: getattr(requirement, name) for name in _NEEDS} | params_of(item)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return float(text)  # such as 1e-3 and .5
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

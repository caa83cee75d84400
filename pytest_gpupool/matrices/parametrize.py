"""Matrices: pytest's parameters for the product of a test's axes, as :func:`pytest_gpupool.matrix` gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from ..values.errors import UsageProblem
from .axes import combinations, listed, text_of, with_names


def parametrized(
    axes: Mapping[str, object], *, exclude: Iterable[Mapping[str, object]], sample: int | None, seed: int
) -> pytest.MarkDecorator:
    """Return the decorator, see :func:`pytest_gpupool.matrix`. Raises UsageProblem."""
    sets = {name: [_as_set(name, value) for value in listed(name, values)] for name, values in axes.items()}
    texts = {name: with_names(name, [_text(name, *one) for one in enumerate(sets[name])]) for name in sets}
    values = {name: [one.values[0] for one in sets[name]] for name in sets}
    params = []
    for places in combinations(values, exclude=exclude, sample=sample, seed=seed):
        chosen = dict(zip(sets, places, strict=True))
        marks = [mark for name, place in chosen.items() for mark in sets[name][place].marks]
        named = "-".join(filter(None, (texts[name][place] for name, place in chosen.items())))
        own = [values[name][place] for name, place in chosen.items()]
        params.append(pytest.param(*own, marks=marks, id=named or pytest.HIDDEN_PARAM))
    return pytest.mark.parametrize(tuple(axes), params)


def _as_set(name: str, value: object) -> Any:
    """Return a value of an axis as ``pytest.param`` makes it."""
    if not isinstance(value, type(pytest.param(None))):  # before pytest 9.2 that type has no public name
        return pytest.param(value)
    if len(value.values) != 1:
        raise UsageProblem(f"matrix: {name} has a pytest.param of {len(value.values)} values; each is of one")
    return value


def _text(name: str, place: int, one: Any) -> str | None:
    """Return what ids call a value, None where it hides itself."""
    if one.id is None:
        return text_of(name, place, one.values[0])
    return None if one.id is pytest.HIDDEN_PARAM else str(one.id)

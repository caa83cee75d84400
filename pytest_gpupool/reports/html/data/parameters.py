"""The parameters and facts of a page's tests: each value once, named by its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ....values.texts import visible


class Places(dict[Any, int]):
    """Things by their place in a list that grows as they come."""

    def of(self, thing: Any) -> int:
        """Return its place."""
        return self.setdefault(thing, len(self))


def parameter_text(value: Any) -> str:
    """Return a parameter's value as people read it: a text as it is, anything else as JSON has it."""
    return visible(value if isinstance(value, str) else _encoded(value))


_encoded = json.JSONEncoder(ensure_ascii=False).encode  # made once: it would be for each value otherwise


class Parameters:
    """The parameters and facts of all tests: each one's values, in the order in which tests were collected."""

    def __init__(self, tests: Iterable[Mapping[str, Any]]) -> None:
        self._names = Places()
        self._values: list[dict[str, tuple[int, bool]]] = []
        for test in tests:
            self.of(test)

    def of(self, test: Mapping[str, Any]) -> list[int]:
        """Return a test's parameters and facts, each as its place and that of its value."""
        told = [((name, False), value) for name, value in test["params"].items()]
        told += [((name, True), value) for name, value in (test.get("facts") or {}).items()]
        return [place for name, value in told for place in self._places(name, value)]

    def table(self) -> list[dict[str, Any]]:
        """Return the names with all their values, and whether all are numbers."""
        return [
            {
                "name": visible(name),
                "fact": is_fact,
                "values": list(values),
                "numeric": all(numeric for _, numeric in values.values()),
            }
            for (name, is_fact), values in zip(self._names, self._values, strict=True)
        ]

    def _places(self, name: tuple[str, bool], value: Any) -> tuple[int, int]:
        place = self._names.of(name)
        if place == len(self._values):
            self._values.append({})
        values = self._values[place]
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return place, values.setdefault(parameter_text(value), (len(values), numeric))[0]

"""Aggregates of tests: what markers and the ini file say of them, told to the run as its tests are collected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from ...foreign.pytest_names import parameters_of
from ...options import collection
from ...values.errors import UsageProblem
from ...values.nodeids import file_of, function_of, is_within
from ...values.repeats import test_of
from .params import params_of

if TYPE_CHECKING:
    from ...metrics.aggregate import Aggregate
    from ..recording.writer import RecordWriter

MARKER = "gpupool_aggregate"
"""The name of the marker that ``pytest_gpupool.aggregate`` makes."""

_Key = tuple[str, str]  # whose tests it is of, and its name


def marked(name: object, **given: object) -> pytest.MarkDecorator:
    """Return the decorator, see :func:`pytest_gpupool.aggregate`. Raises UsageProblem."""
    from ...metrics.aggregate import make

    mark: pytest.MarkDecorator = getattr(pytest.mark, MARKER)
    return mark.with_args(make(name, **given))


class Aggregates:
    """The plugin."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer
        self._found: dict[_Key, Aggregate] = {}
        self._tests: dict[_Key, list[pytest.Item]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Find them, before tests are deselected: who leaves out a part of a group does not have the whole."""
        lines = collection.aggregates(config)
        having = [item for item in items if MARKER in item.keywords]
        if not lines and not having:
            return
        try:
            by_mark = self._of_markers(having)
            by_line = dict(_of_lines(lines, items))
            if twice := by_mark.keys() & by_line.keys():
                raise _twice(*min(twice))
            for key, aggregate in (by_mark | by_line).items():
                own = [item for item in items if is_within(item.nodeid, key[0])]
                _check_parameters(key[0], aggregate, own)
                self._found[key], self._tests[key] = aggregate, own
        except UsageProblem as problem:
            raise pytest.UsageError(f"gpupool: {problem}") from None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell of them, and which of their tests are not to run."""
        if not self._found:
            return
        from ..choosing.resume import whole_collection_key  # most suites have no aggregates
        from ..choosing.shard import part_key

        # What another shard runs is not left out.
        part = session.config.stash.get(part_key, None)
        whole = part or session.config.stash.get(whole_collection_key, None)
        nodeids = (item.nodeid for item in session.items) if whole is None else whole.tests
        chosen = {test_of(nodeid) or nodeid for nodeid in nodeids}
        for key, aggregate in self._found.items():
            told: dict[str, Any] = {"aggregate": aggregate.to_record()}
            told["left_out"] = list(_left_out(aggregate, self._tests[key], chosen))
            told["narrowed"] = collection.narrowed(session.config, key[0])
            if part is not None:
                told["shard"] = f"{part.index}/{part.count}"
            self._writer.write("aggregate", test=key[0], **told)
        self._writer.flush()  # where all results are kept no report comes

    def _of_markers(self, items: Sequence[pytest.Item]) -> dict[_Key, Aggregate]:
        found: dict[_Key, Aggregate] = {}
        for item in items:
            own: set[_Key] = set()
            for node, mark in item.iter_markers_with_node(MARKER):
                test = function_of(node.nodeid) if node is item else node.nodeid
                aggregate = _read(mark)
                key = test, aggregate.name
                if key in own or found.setdefault(key, aggregate) != aggregate:
                    raise _twice(*key)
                own.add(key)
        return found


def _read(mark: pytest.Mark) -> Aggregate:
    from ...metrics.aggregate import Aggregate, make

    if len(mark.args) == 1 and isinstance(mark.args[0], Aggregate):
        return mark.args[0]
    if len(mark.args) != 1:
        raise UsageProblem(f"pytest.mark.{MARKER}: give one name, or use pytest_gpupool.aggregate")
    return make(mark.args[0], **mark.kwargs)


def _of_lines(lines: Iterable[str], items: Sequence[pytest.Item]) -> Iterator[tuple[_Key, Aggregate]]:
    """Yield what the ini file says of tests that were collected."""
    from ...metrics.aggregate import parse

    known: set[_Key] = set()
    for line in lines:
        test, aggregate = parse(line)
        if (test, aggregate.name) in known:
            raise _twice(test, aggregate.name)
        known.add((test, aggregate.name))
        if any(is_within(item.nodeid, test) for item in items):
            yield (test, aggregate.name), aggregate
        elif test != file_of(test) and any(file_of(item.nodeid) == file_of(test) for item in items):
            there = dict.fromkeys(function_of(one.nodeid) for one in items if file_of(one.nodeid) == file_of(test))
            raise UsageProblem(f"gpupool_aggregates = {line}: there is no such test; there are {_few(there)}")


def _left_out(aggregate: Aggregate, items: Iterable[pytest.Item], chosen: set[str]) -> Iterator[dict[str, Any]]:
    """Yield, for each group of which tests were deselected, its parameters and how many these are."""
    groups: dict[str, tuple[dict[str, Any], int]] = {}
    for item in items:
        if (test_of(item.nodeid) or item.nodeid) not in chosen:
            params = params_of(item)
            group = {name: params[name] for name in aggregate.by if name in params}
            key = json.dumps(group, sort_keys=True)
            groups[key] = group, groups.get(key, (group, 0))[1] + 1
    for group, tests in groups.values():
        yield {"group": group, "tests": tests}


def _twice(test: str, name: str) -> UsageProblem:
    return UsageProblem(f"{test} has two aggregates called {name!r}: give each a name of its own")


def _check_parameters(test: str, aggregate: Aggregate, items: Sequence[pytest.Item]) -> None:
    """See that there are groups: of one function each test has the parameters, else some tests are of other functions.

    Raises:
        UsageProblem: naming the parameters that there are.
    """
    known: dict[str, Any] = {}
    having = 0
    for item in items:
        own = parameters_of(item)
        known.update(own)
        having += all(name in own for name in aggregate.by)
    is_of_one = len({function_of(item.nodeid) for item in items}) == 1
    if having == len(items) or (having and not is_of_one):
        return
    wrong = next((name for name in aggregate.by if name not in known), aggregate.by[0])
    there = f"there are {_few(known)}" if known else "its tests have none"
    raise UsageProblem(f"aggregate {aggregate.name!r} of {test}: by={wrong!r} is no parameter of its tests; {there}")


def _few(names: Iterable[str], most: int = 10) -> str:
    known = list(names)
    return ", ".join(known[:most]) + (f", … ({len(known)} in all)" if len(known) > most else "")

"""The budget, where one process runs the tests in their order: one that would not end in time does not start."""

from __future__ import annotations

import pytest

from ...foreign import pytest_names
from ...planning.problem import Problem
from ...planning.tests import Test
from ...planning.workers import set_up_after
from ...processes.own import clock
from ...values.wide_fixture import WideFixture
from ..controller import Controller


class Budget:
    """The plugin that leaves such tests out; they have no result then."""

    def __init__(self, controller: Controller, deadline: float) -> None:
        self._controller = controller
        self._deadline = deadline
        self._tests: dict[str, Test] = {}
        self._problem: Problem | None = None
        self._set_up: frozenset[WideFixture] = frozenset()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run it as ever, where it ends in time."""
        test = self._test(item)
        left = self._deadline - clock.monotonic()
        if left > 0 and self._expected(test) <= left:
            self._set_up = self._set_up if test is None else set_up_after(self._set_up, test)
            return None
        self._controller.out_of_budget += 1
        self._tear_down(item.session, nextitem)
        return True

    def _test(self, item: pytest.Item) -> Test | None:
        problem = self._controller.problem
        if problem is not self._problem and problem is not None:
            self._problem = problem
            ids = (one.nodeid for one in item.session.items)
            self._tests = dict(zip(ids, problem.tests, strict=True))
        return self._tests.get(item.nodeid)

    def _expected(self, test: Test | None) -> float:
        """Return the seconds that a test may take with what has to be set up for it, as far as that is known."""
        if test is None or self._problem is None:
            return 0.0
        missing = [fixture.key for fixture in test.set_ups if fixture not in self._set_up]
        return (test.seconds or 0.0) + sum(self._problem.costs.get(key) or 0.0 for key in missing)

    def _tear_down(self, session: pytest.Session, following: pytest.Item | None) -> None:
        """Tear down what the next test does not need, as the one before this could not know that."""
        try:
            pytest_names.tear_down(session, following.listchain() if following is not None else [])
        except Exception as error:  # of a suite's fixture: it is no test's
            self._controller.broken = True
            self._controller.console.warn(f"a tear-down failed: {type(error).__name__}: {error}")

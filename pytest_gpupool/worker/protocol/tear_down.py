"""Tear-down in two steps: what is a test's alone at once, what it shares with others when the next test is known.

So that no worker that waits for its next test tears down what that one needs, and none lets others wait for a long
tear-down that need not come first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from ...foreign.pytest_names import is_set_up_beyond, tear_down
from .late_item import LateItem


def in_two_steps(item: pytest.Item, following: LateItem) -> Generator[None, Any, Any]:
    """Be the innermost wrapper of pytest's tear-down. What either step raises is the test's, as with pytest alone."""
    if following.is_ready():
        return (yield)  # it is known already
    raised: list[BaseException] = []
    if not item.session.shouldfail and not item.session.shouldstop:  # else it is given no next test
        try:
            tear_down(item.session, item.listchain()[:-1])
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            raised.append(error)
    following.resolve()
    try:
        result = yield
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
        raised.append(error)
    if len(raised) > 1:
        raise BaseExceptionGroup("errors during test teardown", raised[::-1])
    if raised:
        raise raised[0]
    return result


def rest(item: pytest.Item, following: pytest.Item | None, *, begins: Callable[[], None]) -> None:
    """Tear down what the last test has left set up and the next one does not need. An error in it is the last one's.

    ``begins()`` is called where there is something to do.
    """
    session = item.session
    needed = [] if following is None else following.listchain()
    if not is_set_up_beyond(session, needed):
        return
    begins()
    call = pytest.CallInfo.from_call(lambda: tear_down(session, needed), when="teardown")
    if call.excinfo is not None:
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        item.ihook.pytest_runtest_logreport(report=report)

"""A CUDA error after which a process can use its GPU no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_gpupool.worker.recording.sticky_error import StickyError

ASSERT = "RuntimeError: CUDA error: device-side assert triggered"


def report(text: str, outcome: Any = "failed") -> pytest.TestReport:
    """The report of a phase that ended so."""
    return pytest.TestReport("test_a.py::test_a", ("", None, ""), {}, outcome, text, "call")


def session() -> Any:
    """A session that goes on."""
    return SimpleNamespace(shouldfail=False)


def test_the_first_such_error_is_the_reason() -> None:
    error = StickyError()
    error.look_at(report("AssertionError: assert 1 == 2"))
    error.look_at(report(ASSERT, "passed"))
    assert error.why is None
    error.look_at(report(ASSERT))
    first = error.why
    assert first is not None
    error.look_at(report("RuntimeError: CUDA error: an illegal memory access was encountered"))
    assert error.why == first


def test_a_healthy_process_has_nothing_to_say() -> None:
    here = session()
    assert StickyError().last_words(here, "main") == ""
    assert not here.shouldfail


@pytest.mark.parametrize("worker", ["gw0", "main"])
def test_it_is_told_once_and_ends_the_run_where_no_worker_is_replaced(worker: str) -> None:
    error, here = StickyError(), session()
    error.look_at(report(ASSERT))
    words = error.last_words(here, worker)
    assert words.startswith("gpupool: after an error of this kind (")
    assert words.endswith("; gw0 ran no more tests") is (worker == "gw0")
    assert bool(here.shouldfail) is (worker == "main")
    assert error.last_words(session(), worker) == ""

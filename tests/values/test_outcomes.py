"""What follows from an outcome; how one comes about is in ``tests/records/test_results.py``."""

from __future__ import annotations

from pytest_gpupool.values import outcomes


def test_every_outcome_has_a_place_among_those_that_need_a_look() -> None:
    """The bad ones are the first."""
    assert sorted(outcomes.WORST_FIRST) == sorted(outcomes.OUTCOMES)
    assert outcomes.WORST_FIRST[: len(outcomes.BAD)] == outcomes.BAD
    assert not set(outcomes.BAD) & outcomes.GOOD


def test_what_is_bad_failed_by_itself_or_had_an_error() -> None:
    """A test that did not run had one too."""
    assert {"failed", *outcomes.ERRORS} == set(outcomes.BAD)
    assert set(outcomes.BAD) - set(outcomes.FAILED) == {"not-run"}


def test_a_call_that_ran_whole_was_neither_skipped_nor_cut_off() -> None:
    assert frozenset({"passed", "failed", "xfailed", "xpassed"}) == outcomes.WHOLE

"""What follows from a verdict."""

from __future__ import annotations

from pytest_gpupool.values import verdicts


def test_verdicts_are_ordered_by_how_much_they_need_a_look() -> None:
    assert verdicts.WORST_FIRST == ("invalid", "gone", "regressed", "contended", "no-baseline", "improved", "ok")
    assert sorted([None, *verdicts.VERDICTS], key=verdicts.rank) == [*verdicts.WORST_FIRST, None]


def test_what_may_fail_a_test_is_all_but_the_good_ones() -> None:
    """Those that are bad do it where nobody says otherwise."""
    assert verdicts.FAILING == ("regressed", "gone", "no-baseline", "contended", "invalid")
    assert verdicts.BAD == ("invalid", "gone", "regressed")


def test_a_verdict_rests_on_the_baseline_or_on_something_else() -> None:
    """What was disturbed was not compared."""
    assert frozenset({"ok", "improved", "regressed"}) == verdicts.COMPARED
    assert frozenset({"contended", "invalid"}) == verdicts.DISTURBED


def test_a_device_that_was_throttled_or_used_by_others_disturbs() -> None:
    """What is not known does not."""
    assert verdicts.is_disturbed({"throttled": True, "foreign_pids": None})
    assert verdicts.is_disturbed({"throttled": None, "foreign_pids": [815]})
    assert not verdicts.is_disturbed({"throttled": False, "foreign_pids": []})
    assert not verdicts.is_disturbed({})


def test_a_metric_is_lost_with_its_device_not_by_its_value() -> None:
    assert verdicts.is_lost({"verdict": "invalid", "value": 0.5})
    assert not verdicts.is_lost({"verdict": "invalid", "value": None, "non_finite": "nan"})
    assert not verdicts.is_lost({"verdict": "regressed", "value": 0.5})

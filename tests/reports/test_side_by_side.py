"""Two runs side by side as a page: its rows, what is told of the two runs, and what its script is given."""

from __future__ import annotations

import copy
import json

import pytest
from made_pages import data, parsed
from made_reports import Report, a_metric, a_report, a_test

from pytest_gpupool.reports.html.comparing import page
from pytest_gpupool.reports.html.comparing.rows import Row, rows
from pytest_gpupool.reports.html.comparing.runs import Side, table
from pytest_gpupool.trends import facts
from pytest_gpupool.verdicts.compare import compare, named
from pytest_gpupool.verdicts.decide import Policy

HOSTILE = "t.py::test[</script><img src=x onerror=alert(1)>\u202e\ud800]"
POLICY = Policy(error=0.01, rtol=0.01)


def accuracy(value: float, n: int = 1000) -> Report:
    return a_metric("accuracy", value, kind="proportion", n=n, higher_is_better=True)


def a_pair() -> tuple[Report, Report]:
    """Two runs that differ in each way that there is."""
    old = a_report(
        a_test("t.py::worse", metrics=[accuracy(0.9), a_metric("gone", 1.0)], params={"lr": 0.1}),
        a_test("t.py::fails", duration_s=1.0),
        a_test("t.py::fixed", "failed"),
        a_test("t.py::same", metrics=[a_metric("loss", 2.0)], duration_s=1.0),
        a_test("t.py::left"),
    )
    new = a_report(
        a_test("t.py::worse", metrics=[accuracy(0.8)], params={"lr": 0.1}),
        a_test("t.py::fails", "failed", message="def f():\nE   AssertionError: no", duration_s=9.0),
        a_test("t.py::fixed"),
        a_test("t.py::same", metrics=[a_metric("loss", 2.0)], duration_s=5.0),
        a_test(HOSTILE, message="<b>"),
        id="run-3",
    )
    new["run"]["software"] = {**new["run"]["software"], "torch": "2.13.0"}
    for test in (*old["tests"][:2], *new["tests"][:2]):
        test["facts"] = {"checkpoint": "step-1" if test in old["tests"] else "<i>step-2"}
    return old, new


def rows_of(old: Report, new: Report) -> list[Row]:
    return rows(compare(old, new, POLICY), dict(named(old)), dict(named(new)))


def rendered(old: Report, new: Report, *, fails: bool = True) -> str:
    sides = Side(title=f"run {old['run']['id']}", report=old), Side(title=f"run {new['run']['id']}", report=new)
    return page.render(compare(old, new, POLICY), sides, facts.changed(old, new), fails=fails)


def test_the_worst_comes_first() -> None:
    """Tests that fail, then bad metrics, what is missing, what changed otherwise, and last what is as it was."""
    found = rows_of(*a_pair())
    assert [(row.word, row.test.partition("::")[2], row.name, row.old, row.new) for row in found] == [
        ("failed", "fails", "outcome", "passed", "failed"),
        ("gone", "worse", "gone", "1", "–"),
        ("regressed", "worse", "accuracy", "0.9", "0.8"),
        ("only in A", "left", "outcome", "passed", "–"),
        ("passed", "fixed", "outcome", "failed", "passed"),
        ("only in B", HOSTILE.partition("::")[2], "outcome", "–", "passed"),
        ("slower", "fails", "duration", "1.00 s", "9.00 s"),
        ("slower", "same", "duration", "1.00 s", "5.00 s"),
        ("ok", "same", "loss", "2", "2"),
        ("alike", "worse", "duration", "1.50 s", "1.50 s"),
        ("alike", "fixed", "duration", "1.50 s", "1.50 s"),
    ]  # fmt: skip
    assert [row.bad for row in found] == [True] * 3 + [False] * 8
    assert page.state(found) == "1 metric gone, 1 metric regressed, 1 test no longer good."
    assert page.state([]) == "Nothing has become worse."


def test_values_come_with_how_sure_they_are() -> None:
    """Half of the interval, and n; behind the difference its interval; a failure with what it says."""
    failed, _, regressed, *_ = rows_of(*a_pair())
    assert failed.why == "AssertionError: no"
    assert (regressed.old_said, regressed.new_said) == ("± 0.019, n 1000", "± 0.025, n 1000")
    assert regressed.change == "-10 points (-13 to -6.9 points)"
    assert regressed.why.startswith("p ")
    assert regressed.order == pytest.approx((0.9, 0.8, -1 / 9))
    assert regressed.params == {"lr": 0.1}


def test_the_two_runs() -> None:
    """Who they are, and what differs between them that should not; a baseline has little to tell."""
    old, new = a_pair()
    told = {name: rest for name, *rest in table(Side(title="", report=old), Side(title="", report=new))}
    assert told["Run"] == ["run-2", "run-3", False]
    assert told["Tests"] == ["5 tests, 1 failed, 4 passed", "5 tests, 1 failed, 4 passed", False]
    assert told["Commit"] == ["0123abcd with changes (dirty), main"] * 2 + [False]
    assert told["Devices"] == ["2 × NVIDIA H200"] * 2 + [False]
    assert told["torch"] == ["1.2", "2.13.0", True]
    assert "python" not in told
    beside = table(Side(title="the baseline b.json", report=None), Side(title="", report=new))
    assert beside[0] == ("Run", "the baseline b.json", "run-3", False)
    assert not any(differs for *_, differs in beside)


def test_the_page_says_it_all_without_its_script() -> None:
    """Names and values are text in it; the script has the same rows, and numbers to sort by."""
    root = parsed(rendered(*a_pair()))
    table = root.find(".//table[@class='tests beside']")
    assert table is not None
    shown = [["".join(cell.itertext()).strip() for cell in row] for row in table.findall("tbody/tr")]
    assert [cells[0] for cells in shown][:3] == ["failed", "gone", "regressed"]
    assert shown[2][3:5] == ["0.9 ± 0.019, n 1000", "0.8 ± 0.025, n 1000"]
    assert shown[5][1] == "t.py::test[</script><img src=x onerror=alert(1)>\\u202e\\ud800]"
    assert not root.findall(".//img")
    facts_table = root.find(".//section[@aria-labelledby='facts']//tbody/tr")
    assert facts_table is not None
    assert ["".join(cell.itertext()).strip() for cell in facts_table][:4] == ["checkpoint", "step-1", "<i>step-2", "2"]
    given = data(root)
    assert [given["words"][place][0] for place in given["rows"]["word"]] == [cells[0] for cells in shown]
    assert [given["ids"][place] for place in given["rows"]["test"]] == [cells[1] for cells in shown]
    assert given["rows"]["oldOrder"][:4] == [None, 1.0, 0.9, None]
    assert given["params"] == [{"name": "lr", "fact": False, "values": ["0.1"], "numeric": True}]


def test_odd_reports() -> None:
    """Nothing to compare, the same twice, and numbers that no float holds."""
    nothing = a_report()
    assert "There is nothing that both have." in rendered(nothing, nothing, fails=False)
    huge = a_report(a_test(metrics=[a_metric("h", 10**400), a_metric("z", 0), a_metric("x", None)]))
    larger = copy.deepcopy(huge)
    larger["tests"][0]["metrics"][0]["value"] = 10**401
    given = data(parsed(rendered(huge, larger)))
    assert json.dumps(given, allow_nan=False)
    assert given["rows"]["newOrder"].count(None) >= 2

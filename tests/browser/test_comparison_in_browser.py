"""Two runs side by side as a page, in a real Chromium: what a reader can do with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from chromium import Page, started
from made_reports import Report
from sample_report import INJECTED, a_run

from pytest_gpupool.reports.html.comparing.page import render
from pytest_gpupool.reports.html.comparing.runs import Side
from pytest_gpupool.trends import facts
from pytest_gpupool.values.texts import visible
from pytest_gpupool.verdicts.compare import compare
from pytest_gpupool.verdicts.decide import Policy

ROW = "table.beside > tbody:not(.gap)"
POLICY = Policy(error=0.01, rtol=0.01)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The browser of all tests here."""
    with started(tmp_path_factory.mktemp("chromium")) as driver:
        yield Page(driver)


def two_runs(size: int) -> tuple[Report, Report]:
    """A run, and one in which every 17th test is worse, some fail, and a few are others."""
    old = a_run(size)
    new = copy.deepcopy(old)
    new["run"]["id"] = "run-3"
    for number, test in enumerate(new["tests"]):
        test["facts"] = {"checkpoint": "<b>step-2"}
        for metric in test["metrics"]:
            if number % 17 == 3 and metric["name"] == "accuracy":
                metric["value"] *= 0.8
        if number % 31 == 7 and test["outcome"] == "passed":
            test |= {"outcome": "failed", "message": "E   AssertionError: <img src=x>"}
    new["tests"][20]["nodeid"] += "-new"
    return old, new


def written(folder: Path, old: Report, new: Report) -> Path:
    sides = Side(title="run-2", report=old), Side(title="run-3", report=new)
    path = folder / "page.html"
    text = render(compare(old, new, POLICY), sides, facts.changed(old, new), fails=True)
    path.write_text(text, encoding="utf-8")
    return path


def words(page: Page) -> list[str]:
    """What became of each row that is drawn, in order."""
    return page.texts(f"{ROW} td:first-child .mark")


def test_what_a_reader_does(chromium: Page, tmp_path: Path) -> None:
    """The worst is on top; words, verdicts and parameters filter, heads sort; nothing is asked of anybody."""
    old, new = two_runs(130)
    page = chromium
    page.open(written(tmp_path, old, new))
    worst = sum(test["outcome"] == "failed" for test in new["tests"]) - sum(
        test["outcome"] == "failed" for test in old["tests"]
    )
    assert page.one(".state").text.endswith(f"{worst} tests no longer good. Exit status 1.")
    assert words(page)[: worst + 1] == ["failed"] * worst + ["invalid"]
    assert page.texts(f"{ROW}:first-of-type td:last-child") == ["AssertionError: <img src=x>"]
    assert not page.all("img")
    assert page.driver.title.startswith("gpupool: 1 metric invalid, ")
    assert page.texts("#facts ~ .scroll code")[:2] == ["checkpoint", "<b>step-2"]

    page.click(page.one(".chips label:has([value=regressed])"))
    regressed = page.all(ROW)
    assert len(regressed) > 3
    assert set(words(page)) == {"regressed"}
    page.click(page.all("table.beside thead button")[5])  # by the difference
    changes = [float(text.partition("%")[0]) for text in page.texts(f"{ROW} td:nth-child(6)")]
    assert changes == sorted(changes)
    page.choose("differences", "model", "gemma-9b")
    assert 0 < len(page.all(ROW)) < len(regressed)
    assert all("gemma-9b" in text for text in page.texts(f"{ROW} th"))
    page.click(page.one("label:has([data-column='1'])"))
    assert page.one("table.beside thead th:last-child").text.startswith("shots")
    page.choose("differences", "model", "any")
    page.click(page.one(".chips label:has([value=regressed])"))
    page.press("/")
    page.press("document.title")
    assert set(page.texts(f"{ROW} th")) == {visible(INJECTED)}
    page.press(" no-such-word")
    assert page.one(".shown").text == "0 of 400 shown"
    assert page.complaints() == []


def test_on_a_phone(chromium: Page, tmp_path: Path) -> None:
    """The worst is on the first screen, each row with what matters; nothing is wider than the screen."""
    page = chromium
    page.tell("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    try:
        page.open(written(tmp_path, *two_runs(60)))
        assert page.run("return document.documentElement.scrollWidth") == 400
        assert not page.one("input[type=search]").is_displayed()
        assert page.run(f"return document.querySelector('{ROW} .mark').getBoundingClientRect().bottom") < 800
        shown = [cell.text for cell in page.all(f"{ROW}:first-of-type > tr > *") if cell.is_displayed()]
        assert (shown[0], shown[2:]) == ("failed", ["outcome", "passed", "failed", "AssertionError: <img src=x>"])
        page.click(page.one(".filtering > summary"))
        page.press("/")
        page.press("no-such-word")
        assert page.all(ROW) == []
    finally:
        page.tell("Emulation.clearDeviceMetricsOverride")
    assert page.complaints() == []


def test_of_many_rows(chromium: Page, tmp_path: Path) -> None:
    """Those in sight are drawn, all are found and sorted; without the script the worst are there."""
    page, path = chromium, written(tmp_path, *two_runs(1500))
    page.open(path)
    total = int(page.one(".shown").text.split()[0])
    assert total > 4000
    assert len(page.all(ROW)) < 1000
    page.click(page.all("table.beside thead button")[0])
    page.click(page.all("table.beside thead button")[0])
    page.run("scrollTo(0, 0)")
    assert words(page)[:20] == ["alike"] * 20
    assert page.complaints() == []
    page.tell("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(path, drawn=False)
        assert f"all but the worst 200 of {total} rows" in page.one("#no-script").text
        assert len(page.all(ROW)) == 200
        assert words(page)[0] == "failed"
    finally:
        page.tell("Emulation.setScriptExecutionDisabled", value=False)
    assert page.complaints() == []

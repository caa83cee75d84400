"""Items in the HTML report of a real run, in a real Chromium: from the red run to the item that broke."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from chromium import Page, started
from program import gpupool
from support import Host

SUITE = """
import os
import pytest

WORSE = os.environ.get("WORSE")
QUESTIONS = [f"What is {n} plus {n}?" for n in range(600)]

@pytest.mark.parametrize("model", ["a", "b"])
def test_answers(model, record_sample, record_metric):
    right = {f"q{n}": n % 5 > 0 for n in range(600)}
    if WORSE and model == "b":
        right |= {f"q{n}": False for n in range(500, 600)} | {"q5": True}
    for n, (name, is_right) in enumerate(right.items()):
        output = f"It is {2 * n} of course" if is_right else f"It is {2 * n + 1} of <b>course</b>"
        record_sample(name, input=QUESTIONS[n], output=output, target=f"It is {2 * n} of course", score=is_right)
    record_metric("accuracy", sum(right.values()) / 600, higher_is_better=True, samples=right)
"""


def test_three_clicks_from_the_red_run_to_the_item_that_broke(cpu_host: Host, tmp_path: Path) -> None:
    """To the test, to its items, to the one: what was said before beside what is said now, with the difference marked.

    And among the items, what is looked for is found, beyond the first chunk too; the same from the run on record.
    Where the run is gone of which the baseline is, the page and the program say so.
    """
    cpu_host.write("test_suite.py", SUITE)
    first = cpu_host.pytest("--gpupool-baseline=b.json", "--gpupool-update-baseline")
    assert first.status == 0
    accepted = first.report["run"]["id"]
    red = cpu_host.pytest("-n2", "--gpupool-baseline=b.json", "--gpupool-html=r.html", environ={"WORSE": "1"})
    assert red.status == 1
    known = gpupool(cpu_host, "items", "latest", "--flipped", "--format", "jsonl")[1].splitlines()
    before = [json.loads(line)["before"]["output"] for line in known[:2]]
    assert before == ["It is 11 of <b>course</b>", "It is 1002 of course"]
    (cpu_host.project / ".gpupool" / "runs" / accepted).rename(tmp_path / "gone")
    assert gpupool(cpu_host, "report", "latest", "--html", "again.html")[0] == 0
    untold = f"What was said before is not shown: the baseline is of run {accepted}, which is not on record here."
    assert gpupool(cpu_host, "items", "latest", "--flipped")[2] == f"gpupool: {untold}\n"
    with started(tmp_path / "chromium") as driver:
        page = Page(driver)
        open_first_item(page, cpu_host.project / "again.html")
        assert page.texts(".item h4") == ["input", "target", "output"]
        assert page.texts(".item .sides ~ p") == ["Before: accuracy 1.", untold]
        open_first_item(page, cpu_host.project / "r.html")
        assert page.texts(".item h4") == ["input", "output before", "output", "target"]
        assert page.texts(".item pre") == [
            "What is 501 plus 501?", "It is 1002 of course", "It is 1003 of <b>course</b>", "It is 1002 of course",
        ]  # fmt: skip
        assert page.texts(".item del") == ["1002"]
        assert page.texts(".item ins") == ["1003", "<b>", "</b>"]
        check_filters(page)
        assert page.complaints() == []


def open_first_item(page: Page, file: Path) -> None:
    """By three presses: the metric that is wrong, the items of its test, the first of them."""
    page.open(file)
    page.click(page.one("[aria-labelledby=wrong] tbody a"))
    page.wait("document.querySelector('table.tests details[open] .items button')")
    button = page.one("table.tests details[open] .items button")
    assert button.text == "600 items: 80 broke, 1 fixed, 199 wrong"
    page.click(button)
    page.wait("document.querySelector('.item-list summary')")
    assert [text.split()[1] for text in page.texts(".item-list summary")[:2]] == ["broke", "broke"]
    page.click(page.one(".item-list summary"))
    page.wait("document.querySelector('.item[open] h4')")  # it is drawn once the browser says that it is open


def check_filters(page: Page) -> None:
    """By words, by what became of them, and by score, in fields that look alike; one marker before each item."""
    search = page.one(".items input[type=search]")
    search.send_keys("q599")
    page.wait("document.querySelectorAll('.item-list li').length === 1")
    assert page.texts(".item-list code") == ["q599"]
    search.clear()
    search.send_keys(" ")
    page.choose("tests", "Which", "fixed")
    page.wait("document.querySelectorAll('.item-list li').length === 1")
    assert page.texts(".item-list summary")[0].startswith("q5 fixed")
    page.choose("tests", "Which", "right")
    page.wait("document.querySelector('.items [role=status]').textContent.startsWith('50 of 401 ')")
    page.one(".items input[type=number]").send_keys("2")
    page.wait("document.querySelector('.items [role=status]').textContent.startsWith('0 of 0 ')")
    page.one(".items input[type=number]").send_keys("\b")
    page.wait("document.querySelector('.item-list li')")
    style = (
        "return ['search', 'number'].map(kind => getComputedStyle(document.querySelector(`.items input[type=${kind}]`))"
    )
    one, other = page.run(f"{style}.backgroundColor)"), page.run(f"{style}.borderRadius)")
    assert (one[0], other[0]) == (one[1], other[1])
    page.click(page.one(".item-list summary"))
    marker = "getComputedStyle(document.querySelector('.item-list [open] > summary'), '::before').content"
    assert page.run(f"return {marker}") == "none"

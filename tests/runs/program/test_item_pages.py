"""Items in the HTML report of a real run, in a real Chromium: from the red run to the item that broke."""

from __future__ import annotations

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
    """To the test, to its items, to the one: what it should have been beside what it is, with the difference marked.

    And among the items, what is looked for is found, beyond the first chunk too; the same from the run on record.
    """
    cpu_host.write("test_suite.py", SUITE)
    assert cpu_host.pytest("--gpupool-baseline=b.json", "--gpupool-update-baseline").status == 0
    red = cpu_host.pytest("-n2", "--gpupool-baseline=b.json", "--gpupool-html=r.html", environ={"WORSE": "1"})
    assert red.status == 1
    assert gpupool(cpu_host, "report", "latest", "--html", "again.html")[0] == 0
    with started(tmp_path / "chromium") as driver:
        page = Page(driver)
        page.open(cpu_host.project / "again.html")
        assert page.texts("table.tests .items button")[0] == "600 items: 80 broke, 1 fixed, 199 wrong"
        page.open(cpu_host.project / "r.html")
        page.click(page.one("[aria-labelledby=wrong] tbody a"))
        page.wait("document.querySelector('table.tests details[open] .items button')")
        button = page.one("table.tests details[open] .items button")
        assert button.text == "600 items: 80 broke, 1 fixed, 199 wrong"
        page.click(button)
        page.wait("document.querySelector('.item-list summary')")
        assert [text.split()[1] for text in page.texts(".item-list summary")[:2]] == ["broke", "broke"]
        page.click(page.one(".item-list summary"))
        assert page.texts(".item h4") == ["input", "target", "output"]
        assert page.texts(".item pre") == [
            "What is 501 plus 501?", "It is 1002 of course", "It is 1003 of <b>course</b>",
        ]  # fmt: skip
        assert page.texts(".item del") == ["1002"]
        assert page.texts(".item ins") == ["1003", "<b>", "</b>"]
        page.one(".items input[type=search]").send_keys("q599")
        page.wait("document.querySelectorAll('.item-list li').length === 1")
        assert page.texts(".item-list code") == ["q599"]
        page.one(".items input[type=search]").clear()
        page.one(".items input[type=search]").send_keys(" ")
        page.choose("tests", "Which", "fixed")
        page.wait("document.querySelectorAll('.item-list li').length === 1")
        assert page.texts(".item-list summary")[0].startswith("q5 fixed")
        page.choose("tests", "Which", "right")
        page.wait("document.querySelector('.items [role=status]').textContent.startsWith('50 of 401 ')")
        assert page.complaints() == []

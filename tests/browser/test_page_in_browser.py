"""The HTML report in a real Chromium: it opens quietly, and what it offers to readers works."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from chromium import Page, started
from made_reports import UUIDS, Report, a_metric, a_report, a_test
from sample_report import INJECTED, MESSAGE, a_past, a_run
from selenium.webdriver.common.keys import Keys

from pytest_gpupool.reports.html.document import render
from pytest_gpupool.reports.words import worst_first
from pytest_gpupool.values.texts import visible

SHOWN = "table.tests > tbody:not([hidden]) > tr:first-child > th > code"
CHART = "section[aria-labelledby=timeline] .chart"

SAMPLE = a_run()
PAST = a_past(SAMPLE)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The browser of all tests here."""
    with started(tmp_path_factory.mktemp("chromium")) as driver:
        yield Page(driver)


@pytest.fixture
def opened(chromium: Page, tmp_path: Path) -> Iterator[Open]:
    """Opens reports; fails where the browser had a word to say about them, or was made to ask anybody for anything."""

    def show(
        report: Report = SAMPLE, past: list[dict[str, Any]] = PAST, place: str = "", *, drawn: bool = True
    ) -> Page:
        path = tmp_path / "report.html"
        path.write_text(render(report, past), encoding="utf-8")
        chromium.open(path, place, drawn=drawn)
        return chromium

    yield show
    assert chromium.complaints() == []


def ids(report: Report = SAMPLE) -> list[str]:
    """In the order of the table, as they are shown."""
    return [visible(test["nodeid"]) for test in worst_first(report["tests"])]


def values(metric: str, **params: object) -> list[float]:
    """Of the sample's tests of mmlu with such parameters."""
    return [
        each["value"]
        for test in SAMPLE["tests"]
        if test["nodeid"].startswith("evals/test_mmlu") and params.items() <= test["params"].items()
        for each in test["metrics"]
        if each["name"] == metric
    ]


class TestOpening:
    """Every report, in every surrounding."""

    def test_all_parts_are_there(self, opened: Open) -> None:
        """Each with a link to it; nothing is said on the console, and nobody is asked for anything."""
        page = opened()
        links = page.all("nav a")
        assert [link.text for link in links] == [
            "Summary", "Timeline", "Metrics", "Overview", "History", "Use of devices", "Devices", "Tests",
        ]  # fmt: skip
        assert all(section.is_displayed() for section in page.all("main > section"))
        assert not page.all("#no-script")

    def test_what_tests_are_called_stays_text(self, opened: Open) -> None:
        """A tag in an id or a message is neither run nor drawn."""
        page = opened()
        assert page.driver.title.startswith("gpupool: 2 failed, ")
        assert len(page.all("script")) == 5
        assert not page.all("img")
        assert page.texts(SHOWN)[0] == INJECTED
        assert page.texts(f"{CHART} .bar title")[0].startswith(f"{INJECTED}: failed, ")

    @pytest.mark.parametrize(
        ("report", "links"),
        [
            (a_report(exit_status=5), ["Summary", "Devices", "Tests"]),
            (a_report(a_test("a", "not-run")), ["Summary", "Devices", "Tests"]),
            (a_report(a_test(devices=[], worker=None)), ["Summary", "Timeline", "Devices", "Tests"]),
            (
                a_report(a_test(metrics=[a_metric("m", None), a_metric("h", 10**400), a_metric("z", 0, baseline=0)])),
                ["Summary", "Timeline", "Metrics", "History", "Devices", "Tests"],
            ),
        ],
        ids=["no tests", "nothing ran", "no device", "odd metrics"],
    )
    def test_small_reports(self, opened: Open, report: Report, links: list[str]) -> None:
        """They have the parts that there is something for."""
        page = opened(report, [])
        assert [link.text for link in page.all("nav li:not([hidden])")] == links

    def test_without_script(self, opened: Open, chromium: Page) -> None:
        """Every test is there and can be unfolded; nothing that would need the script is."""
        chromium.tell("Emulation.setScriptExecutionDisabled", value=True)
        try:
            page = opened(drawn=False)
            assert page.one("#no-script").is_displayed()
            assert not page.one("section[aria-labelledby=timeline]").is_displayed()
            page.one("table.tests > tbody:nth-of-type(2) summary").send_keys(Keys.ENTER)
            assert page.one("table.tests > tbody:nth-of-type(2) pre").text == MESSAGE
        finally:
            chromium.tell("Emulation.setScriptExecutionDisabled", value=False)

    def test_in_the_dark(self, opened: Open) -> None:
        """Light text on a dark ground, charts included."""
        page = opened()
        page.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        script = "return getComputedStyle(arguments[0])[arguments[1]].match(/\\d+/g).map(Number)"
        assert max(page.run(script, page.one("body"), "backgroundColor")) < 60
        assert min(page.run(script, page.one("body"), "color")) > 200
        assert min(page.run(script, page.one(f"{CHART} .label"), "fill")) > 200
        page.tell("Emulation.setEmulatedMedia", features=[])

    def test_on_a_phone(self, opened: Open) -> None:
        """Nothing is wider than the screen but what scrolls by itself."""
        page = opened()
        page.tell("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
        page.wait(f"document.querySelector('{CHART} svg').clientWidth < 400")
        assert page.run("return document.documentElement.scrollWidth") == 400
        # What needs a look, its verdict first, and the cells of the heat map that do.
        script = """
            const boxes = [...document.querySelectorAll(arguments[0])].map((each) => each.getBoundingClientRect());
            return boxes.length > 3 && boxes.every((box) => box.width > 0 && box.left >= 0 && box.right <= 400);
        """
        for selector in ("[aria-labelledby=wrong] td, [aria-labelledby=wrong] .mark", "[aria-labelledby=failures] a"):
            assert page.run(script, selector)
        assert page.run(script, "section[aria-labelledby=metrics] .worst, .worst button")
        page.tell("Emulation.clearDeviceMetricsOverride")

    def test_on_paper(self, opened: Open) -> None:
        """What failed is printed whole, what passed in its row only, and nothing that can only be pressed."""
        page = opened()
        page.tell("Emulation.setEmulatedMedia", media="print")
        visible = "return [...document.querySelectorAll(arguments[0])].map(each => each.getClientRects().length > 0)"
        assert all(page.run(visible, "table.tests .bad pre"))
        assert not any(page.run(visible, "table.tests tbody:not(.bad) dl"))
        assert not any(page.run(visible, "nav, .tools, summary, .numbers"))
        assert page.run("return getComputedStyle(document.querySelector('table.tests thead')).display") == (
            "table-header-group"
        )
        page.tell("Emulation.setEmulatedMedia", media="")


class TestTable:
    """The table of tests."""

    @pytest.mark.parametrize(
        ("column", "key"),
        [
            (
                "Test",
                lambda test: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", test["nodeid"])],
            ),
            ("Duration", lambda test: test["duration_s"]),
            ("Memory", lambda test: test["resources"]["peak_memory_bytes"]),
        ],
    )
    def test_it_can_be_sorted(self, opened: Open, column: str, key: Callable[[Mapping[str, Any]], Any]) -> None:
        """By a column, up and down, by key; what has no value comes last, whichever way."""
        simple = [test for test in SAMPLE["tests"] if "test_odd" not in test["nodeid"]]
        report = SAMPLE | {"tests": simple}
        page = opened(report)
        known = [test for test in worst_first(simple) if key(test) is not None]
        unknown = [test["nodeid"] for test in worst_first(simple) if key(test) is None]
        (button,) = (each for each in page.all("table.tests thead button") if each.text.startswith(column))
        for order, down in (("ascending", False), ("descending", True)):
            button.send_keys(Keys.ENTER)
            expected = [test["nodeid"] for test in sorted(known, key=key, reverse=down)]
            assert page.texts(SHOWN) == expected + unknown
            (marked,) = page.all("table.tests th[aria-sort]:not([aria-sort=none])")
            assert (marked.text.split()[0], marked.get_attribute("aria-sort")) == (column, order)

    def test_sorted_by_metric(self, opened: Open) -> None:
        """By the value of the one that is chosen, or by verdict."""
        page = opened()
        page.choose("tests", "Sort metrics by", "accuracy")
        found = {
            visible(test["nodeid"]): each["value"]
            for test in SAMPLE["tests"]
            for each in test["metrics"]
            if each["name"] == "accuracy"
        }
        assert page.texts(SHOWN)[: len(found)] == sorted(found, key=lambda name: found[name])
        page.choose("tests", "Sort metrics by", "verdict")
        assert all("invalid" in text for text in page.texts("table.tests > tbody:nth-of-type(1) td:last-child")[:1])

    def test_it_can_be_filtered_by_words(self, opened: Open) -> None:
        """All of them, in names, messages, workers and devices; / goes there, Escape clears it."""
        page = opened()
        page.press("/")
        for words, wanted in (
            ("MMLU llama-8b", [name for name in ids() if "mmlu" in name and "llama-8b" in name]),
            ("out of memory", [name for name in ids() if "[llama-8b-5-2]" in name and "mmlu" in name]),
            ("no such test", []),
        ):
            page.press(words)
            assert page.texts(SHOWN) == wanted
            assert page.one(".shown").text == f"{len(wanted)} of 130 shown"
            page.press(Keys.ESCAPE)
        assert page.one(".shown").text == "130 of 130 shown"
        page.press("gw5 gpu 5")
        assert len(page.texts(SHOWN)) == sum(test["worker"] == "gw5" for test in SAMPLE["tests"])

    def test_it_can_be_filtered_by_outcome_and_verdict(self, opened: Open) -> None:
        """Any of those that are chosen; each says how many it has."""
        page = opened()

        def press(name: str) -> str:
            (chip,) = (each for each in page.all(".chips label") if each.text.split("\n")[0].startswith(name))
            page.click(chip)
            return chip.text.removeprefix(name).strip()

        assert press("crashed") == press("timeout") == "1"
        assert page.texts("tbody:not([hidden]) > tr:first-child > td:first-child") == ["crashed", "timeout"]
        press("crashed")
        press("timeout")
        assert press("regressed") == "7"
        assert page.one(".shown").text == "7 of 130 shown"

    def test_links_unfold_tests(self, opened: Open) -> None:
        """From outside, and from the summary, also to tests that a filter hides."""
        anchor = re.search(r'<tbody id="(test-\w+)"', render(SAMPLE))
        assert anchor is not None
        page = opened(place=f"#{anchor[1]}")
        assert page.one(f"#{anchor[1]} details").get_attribute("open")
        page.press("/")
        page.press("no such test")
        link = page.one("section[aria-labelledby=summary] tbody a")
        place = str(link.get_attribute("href")).split("#")[1]
        link.send_keys(Keys.ENTER)
        page.wait(f"document.querySelector('#{place} details')?.open")
        assert page.one(f"#{place} dl").is_displayed()
        assert page.one(".shown").text == "130 of 130 shown"
        assert page.run("return document.activeElement.tagName") == "SUMMARY"

    def test_a_row_unfolds_where_it_is_pressed(self, opened: Open) -> None:
        """And folds again; what its metrics were before is one step further."""
        page = opened()
        row = page.one("table.tests > tbody:nth-of-type(2)")
        page.click(row.find_element("css selector", "td:nth-child(3)"))
        assert row.find_element("css selector", "pre").text == MESSAGE
        page.wait("document.querySelector('table.tests > tbody:nth-of-type(2) button.past')")
        page.click(row.find_element("css selector", "button.past"))
        assert page.one("section[aria-labelledby=history] caption").get_attribute("textContent") == (
            "accuracy of evals/test_mmlu.py::test_mmlu[llama-8b-1-0]"
        )
        page.click(row.find_element("css selector", "td:nth-child(3)"))
        assert not row.find_element("css selector", "pre").is_displayed()

    def test_parameters_are_columns(self, opened: Open) -> None:
        """Those that differ can be filtered by, shown, and sorted by."""
        tests = [
            a_test(f"a.py::t[{model}-{n}]", params={"model": model, "n": n}) for model in ("b", "a") for n in (10, 9)
        ]
        page = opened(a_report(*tests), [])
        page.choose("tests", "model", "a")
        assert page.texts(SHOWN) == ["a.py::t[a-10]", "a.py::t[a-9]"]
        page.choose("tests", "n", "9")
        assert page.texts(SHOWN) == ["a.py::t[a-9]"]
        page.choose("tests", "n", "any")
        page.choose("tests", "model", "any")
        for chip in page.all(".chips label"):
            if chip.text.split("\n")[0] in ("model", "n"):
                page.click(chip)
        assert page.texts("table.tests thead th")[-2:] == ["model", "n"]
        page.click(page.all("table.tests thead button")[-1])
        assert page.texts("table.tests > tbody td:nth-child(9)") == ["9", "9", "10", "10"]
        assert page.texts("table.tests > tbody td:nth-child(8)") == ["b", "a", "b", "a"]

    def test_failures_of_a_kind(self, opened: Open) -> None:
        """Are told once, with a button that leaves only them; a test that needed another attempt is found, too."""
        tests = [a_test(f"a.py::t{n}", "failed", message=f"E  OSError: port {n} is taken") for n in range(5)]
        page = opened(a_report(*tests, a_test("a.py::other", "failed", message="E  no"), a_test(attempt=3)), [])
        assert [row[0] for row in page.table("[aria-labelledby=failures] table")[1:]] == [
            "OSError: port 0 is taken", "no",
        ]  # fmt: skip
        (button,) = page.all("[aria-labelledby=failures] button")
        page.click(button)
        assert page.texts(SHOWN) == [f"a.py::t{n}" for n in range(5)]
        page.run(
            "location.hash = document.querySelectorAll('[aria-labelledby=failures] tr')[2].querySelector('a').hash"
        )
        page.wait("document.querySelector('table.tests details[open]')")
        assert len(page.texts(SHOWN)) == 7
        (chip,) = (each for each in page.all(".chips label") if each.text.startswith("more than one"))
        page.click(chip)
        assert page.texts(SHOWN) == ["tests/test_a.py::test_a"]


class TestTimeline:
    """Who ran what when."""

    def test_a_bar_for_each_test(self, opened: Open) -> None:
        """On each of its devices; with waits, and symbols for what went wrong, whatever their colour."""
        page = opened()
        page.choose("metrics", "Show", "value")  # anything: the page has been drawn
        names = page.texts(f"{CHART} .label")
        assert [name.split("…")[0] for name in names][:2] == ["GPU 0", "GPU 1"]
        assert names[-1] == "no device"
        told = page.texts(f"{CHART} .bar title")
        assert len(told) == sum(max(1, len(test["devices"])) for test in SAMPLE["tests"] if test["started"])
        assert any(text.startswith("evals/test_parallel.py::test_two_gpus[2]: passed, 1.50 s, from ") for text in told)
        assert page.texts(f"{CHART} .wait title") == [
            "gw2 waited 3.50 s for its lease",
            "gw5 waited 6.00 s for its lease",
        ]
        # Failed, error, crashed, timeout, and the device that was quarantined.
        assert len(page.all(f"{CHART} .symbol")) == 6
        assert "quarantined: it fell off the bus (Xid 79)" in page.texts(f"{CHART} g > title")[-4]
        assert "timeout" in page.texts("section[aria-labelledby=timeline] .legend li")

    def test_by_key(self, opened: Open) -> None:
        """It is zoomed and moved; a test is chosen, told, and gone to."""
        page = opened()
        page.run("arguments[0].focus()", page.one(CHART))
        whole = page.texts(f"{CHART} svg > g:nth-of-type(1) text")
        page.press("+", "+")
        near = page.texts(f"{CHART} svg > g:nth-of-type(1) text")
        assert near != whole
        page.press(Keys.ARROW_RIGHT)
        assert page.texts(f"{CHART} svg > g:nth-of-type(1) text") != near
        page.press("0")
        assert page.texts(f"{CHART} svg > g:nth-of-type(1) text") == whole
        page.press("n", "n", "n")
        told = page.one("section[aria-labelledby=timeline] .readout").text
        assert page.all(f"{CHART} .chosen")
        page.press("p", "n", Keys.ENTER)
        page.wait("document.querySelector('table.tests details[open]')")
        assert told.startswith(f"{page.one('table.tests tbody:has([open]) code').text}: passed, ")

    def test_by_pointer(self, opened: Open) -> None:
        """A button zooms, and a bar leads to its test."""
        page = opened()
        bars = len(page.all(f"{CHART} .bar"))
        page.click(page.one("section[aria-labelledby=timeline] button[aria-label='Zoom in']"))
        assert 0 < len(page.all(f"{CHART} .bar")) < bars
        page.click(page.one("section[aria-labelledby=timeline] button[aria-label='Show the whole run']"))
        assert len(page.all(f"{CHART} .bar")) == bars
        widest = max(page.all(f"{CHART} .bar"), key=lambda bar: float(str(bar.get_attribute("width"))))
        name = widest.find_element("css selector", "title").get_attribute("textContent").split(": ")[0]  # type: ignore[union-attr]
        page.click(widest)
        page.wait("document.querySelector('table.tests details[open]')")
        assert page.one("table.tests tbody:has([open]) code").text == name

    def test_before_any_test(self, opened: Open) -> None:
        """Where there are only waits, no key finds a test."""
        report = a_report(a_test("a", "not-run"))
        worker = {"id": "gw0", "host": None, "pid": 1, "devices": UUIDS[:1], "lease_wait_s": 5.0, "exit": None}
        report["workers"] = [worker | {"started": "2026-11-21T11:46:59.000000Z", "ended": None}]
        page = opened(report, [])
        page.run("arguments[0].focus()", page.one(CHART))
        page.press("n", "p")
        assert page.one("section[aria-labelledby=timeline] .readout").text.startswith("Each bar is a test.")

    def test_workers_that_share_a_device(self, opened: Open) -> None:
        """They have rows of their own; a test that was kept from an earlier run has no bar."""
        tests = [
            a_test("a", worker="gw0"),
            a_test("b", worker="gw1", started="2026-11-21T11:46:53.500000Z"),
            a_test("c", worker="gw2", started="2026-11-21T11:46:56.500000Z", devices=[UUIDS[0]]),
            a_test("d", worker="gw3", run="run-1"),
        ]
        page = opened(a_report(*tests), [])
        rows = page.run(f"return [...document.querySelectorAll('{CHART} .bar')].map(bar => bar.getAttribute('y'))")
        assert [len(rows), len(set(rows))] == [3, 2]


class TestCharts:
    """Metrics, their history, and the use of devices."""

    HEAT = "section[aria-labelledby=metrics] table"

    def test_the_heat_map(self, opened: Open) -> None:
        """A metric over two parameters, of one test, with means that say of how many."""
        page = opened()
        table = page.table(self.HEAT)
        assert table[0] == ["model \\ shots", "0", "1", "5"]
        found = values("accuracy", model="llama-70b", shots=1)
        assert table[2][2] == f"{float(f'{fmean(found):.4g}'):g} mean of {len(found)}"
        assert page.texts(f"{self.HEAT} caption") == ["accuracy, value; higher is better"]
        page.choose("metrics", "Metric", "latency (ms)")
        assert page.texts(f"{self.HEAT} caption") == ["latency (ms), value; lower is better"]
        assert page.all(f"{self.HEAT} .best")[0].text.split()[0] == f"{min_mean('latency'):g}"

    def test_its_axes_can_be_chosen(self, opened: Open) -> None:
        """Any two; the others are means, or one value."""
        page = opened()
        page.choose("metrics", "Rows", "seed")
        page.choose("metrics", "Columns", "model")
        page.choose("metrics", "shots", "5")
        table = page.table(self.HEAT)
        assert [row[0] for row in table] == ["seed \\ model", "0", "1", "2"]
        assert table[0][1:] == ["llama-8b", "llama-70b", "qwen-14b", "mixtral-8x7b", "gemma-9b"]
        (value,) = values("accuracy", seed=1, model="gemma-9b", shots=5)
        assert table[2][5].split()[0] == f"{value:.4g}"
        page.choose("metrics", "Rows", "model")  # which was the columns' one: they change places
        assert page.table(self.HEAT)[0][0] == "model \\ seed"
        page.choose("metrics", "Columns", "–")
        assert len(page.table(self.HEAT)[0]) == 2
        page.choose("metrics", "Rows", "test")
        assert [row[0] for row in page.table(self.HEAT)[1:]] == ["test_mmlu", "test_gsm8k", "test_arc"]

    def test_changes_to_the_baseline(self, opened: Open) -> None:
        """With a sign, and the verdicts in words."""
        page = opened()
        page.choose("metrics", "Show", "change to the baseline")
        text = " ".join(cell for row in page.table(self.HEAT)[1:] for cell in row)
        assert re.search(r"[+]\d+\.\d% mean of", text)
        assert "regressed" in text
        assert "blue is better, orange is worse" in page.one("section[aria-labelledby=metrics] .legend").text

    def test_metrics_without_parameters(self, opened: Open) -> None:
        """A row for each test; one that is no number says so, and a parameter may be called as it likes."""
        tests = [
            a_test("a.py::one", metrics=[a_metric("m", 1)]),
            a_test("a.py::two", metrics=[a_metric("m", None)]),
            a_test("a.py::three[x]", metrics=[a_metric("k", 1)], params={"device": "x", "test": "y", "": "z"}),
            a_test("a.py::three[y]", metrics=[a_metric("k", 2)], params={"device": "y", "test": "y"}),
        ]
        page = opened(a_report(*tests), [])
        assert page.table(self.HEAT) == [["test", "value"], ["one", "1"], ["two", "invalid"]]
        page.choose("metrics", "Metric", "k")
        assert page.table(self.HEAT) == [["device", "value"], ["x", "1"], ["y", "2"]]

    def test_the_history(self, opened: Open) -> None:
        """Of any metric of any test: a point for each run, with a table for those who cannot see it."""
        page = opened()
        page.choose("history", "Metric", "latency (ms)")
        field = page.one("section[aria-labelledby=history] input")
        field.send_keys("gsm8k[qwen-14b-5", Keys.ENTER)
        page.choose("history", "Test", "evals/test_gsm8k.py::test_gsm8k[qwen-14b-5-1]")
        name = "evals/test_gsm8k.py::test_gsm8k[qwen-14b-5-1]"
        past = [run["values"][name]["latency"] for run in PAST if name in run["values"]]
        assert len(page.all("section[aria-labelledby=history] .point title")) == len(past) + 1
        rows = page.table("section[aria-labelledby=history] table")[1:]
        assert [row[3] for row in rows[:-1]] == [f"{each['value']:.4g} ms" for each in past]
        assert {row[5] for row in rows[:2]} == {"NVIDIA A100"}
        assert page.texts("section[aria-labelledby=history] .base title")[0].startswith("baseline ")

    def test_the_history_of_one_of_many_tests(self, opened: Open) -> None:
        """The test is named, also where the list has no room for all of them."""
        tests = [a_test(f"a.py::t[{n}]", metrics=[a_metric("m", n)]) for n in range(320)]
        page = opened(a_report(*tests), [])
        page.wait("document.querySelectorAll('table.tests button.past').length === 320")
        page.run("document.querySelectorAll('table.tests > tbody')[310].querySelector('button.past').click()")
        chosen = "section[aria-labelledby=history] label:last-of-type select option:checked"
        assert page.one(chosen).get_attribute("textContent") == "a.py::t[310]"
        assert "m of a.py::t[310]" in page.texts("section[aria-labelledby=history] caption")

    def test_the_use_of_devices(self, opened: Open) -> None:
        """Speedup and efficiency of this run, and over the numbers of workers of those before."""
        page = opened()
        speedup, efficiency = SAMPLE["summary"]["speedup"], SAMPLE["summary"]["efficiency"]
        section = "section[aria-labelledby=usage]"
        assert page.texts(f"{section} > p") == [
            f"Speedup {speedup:.2f} on 8 devices: efficiency {efficiency:.1%}. That is excellent."
        ]
        page.wait(f"document.querySelectorAll('{section} svg').length === 3")
        told = page.texts(f"{section} figure:nth-of-type(2) .point title")
        assert len(told) == len(PAST) + 1
        assert told[-1].startswith(f"this run, 8 workers: speedup {speedup:.4g}, efficiency {efficiency:.1%}, ")
        rows = page.table(f"{section} figure:nth-of-type(2) table")
        assert [row[1] for row in rows[1:4]] == ["1", "2", "4"]
        assert {row[5] for row in rows[1:]} == {"excellent", "good"}
        assert page.texts(f"{section} figure:nth-of-type(3) text")[-3:] == ["excellent", "good", "poor"]


def min_mean(metric: str) -> float:
    """Of the cells of model by shots."""
    models = {test["params"]["model"] for test in SAMPLE["tests"] if "model" in test["params"]}
    means = [
        fmean(found) for model in models for shots in (0, 1, 5) if (found := values(metric, model=model, shots=shots))
    ]
    return float(f"{min(means):.4g}")


class TestOverview:
    """Every metric over the runs on record, at a glance."""

    def test_small_charts_lead_to_the_history(self, opened: Open) -> None:
        """The worst first, some at a time, with a band for the margin; a press shows the whole chart."""
        page = opened()
        cards = page.all(".cards-grid .card")
        assert len(cards) == 48
        assert [text.split()[-1] for text in page.texts(".card-head")[:2]] == ["invalid", "regressed"]
        assert page.all(".card .band")
        page.choose("overview", "Metric", "latency (ms)")
        assert {text.split()[0] for text in page.texts(".card-head")} == {"latency"}
        page.one("section[aria-labelledby=overview] input").send_keys("gsm8k[qwen-14b-5-1]")
        (card,) = page.all(".cards-grid .card")
        page.click(card)
        assert page.texts("section[aria-labelledby=history] caption") == [
            "latency (ms) of evals/test_gsm8k.py::test_gsm8k[qwen-14b-5-1]"
        ]

    def test_the_band_is_the_rule_of_the_verdict(self, opened: Open) -> None:
        """As high as the margin on both sides of the baseline; the interval of this run's change stands beside it."""
        judged = {"baseline": 0.8, "change": -0.1, "allowed": 0.02, "interval": [-0.15, -0.05], "n": 500}
        page = opened(a_report(a_test("a.py::a", metrics=[a_metric("m", 0.72, verdict="regressed", **judged)])), [])
        section = "section[aria-labelledby=history]"
        assert page.texts(f"{section} .chart title")[:3] == [
            "within ± 0.02 of the baseline: ok", "baseline 0.8", "0.68 to 0.76",
        ]  # fmt: skip
        script = """
            const [band, line, whisker] = [...document.querySelectorAll(arguments[0])].map((each) => each.getBBox());
            return [band.height / whisker.height, (line.y - band.y) / band.height];
        """
        shapes = ", ".join(f"{section} .chart {name}" for name in (".band", ".base", ".whisker"))
        of_whisker, middle = page.run(script, shapes)
        assert of_whisker == pytest.approx(0.5)  # 0.04 of 0.08
        assert middle == pytest.approx(0.5)
        assert page.table(f"{section} table")[1][-2:] == ["0.68 to 0.76", "500"]


@pytest.fixture(scope="module")
def large() -> Report:
    """The report of a run of 5,000 tests."""
    return a_run(5000)


class TestManyTests:
    """More than are drawn at once."""

    def test_bars_words_and_order(self, opened: Open, large: Report) -> None:
        """Thin bars are drawn together, and what fails is still seen among them; words and columns are for all."""
        page = opened(large, a_past(large, 3))
        assert page.one(".shown").text == "5000 of 5000 shown"
        assert len(page.all(f"{CHART} .bar")) < 4000
        assert any(re.match(r"\d+ tests \(", text) for text in page.texts(f"{CHART} .many title"))
        assert page.all(f"{CHART} .fill-crashed, {CHART} .fill-timeout")
        page.press("/")
        page.press("hellaswag gemma 5-7")
        wanted = [name for name in ids(large) if "hellaswag" in name and "gemma" in name and "5-7" in name]
        assert page.texts(SHOWN) == wanted
        page.press(Keys.ESCAPE)
        page.click(page.all("table.tests thead button")[2])
        durations = {test["nodeid"]: test["duration_s"] for test in large["tests"]}
        known = sorted(duration for duration in durations.values() if duration is not None)
        shown = [durations[name] for name in page.texts(SHOWN)]
        assert shown == known[: len(shown)]
        assert 50 <= len(shown) < 1000

    def test_rows_are_drawn_as_they_are_scrolled_to(self, opened: Open, large: Report) -> None:
        """To the last, which a reader of screens knows the number of; those far away are dropped; links find theirs."""
        page, names = opened(large, []), ids(large)
        assert page.one("table.tests").get_attribute("aria-rowcount") == "5001"
        page.run("document.querySelector('table.tests').scrollIntoView()")
        page.wait(f"document.querySelector('{SHOWN}')")
        assert page.texts(SHOWN)[:50] == names[:50]
        page.run("document.querySelector('table.tests').scrollIntoView({block: 'end'})")
        last = "document.querySelector('table.tests > tbody:last-of-type > tr')"
        page.wait(f"{last}?.getAttribute('aria-rowindex') === '5001'")
        page.wait(f"{last}.getBoundingClientRect().top < innerHeight + 100")
        assert page.texts(SHOWN)[-1] == names[-1]
        assert names[0] not in page.texts(SHOWN)
        middle = names[2500]
        anchor = page.run("return document.querySelector('table.tests > tbody:last-of-type').id")
        page.run("scrollTo(0, 0)")
        page.wait(f"!document.getElementById('{anchor}')")
        page.run(f"location.hash = '#{anchor}'")
        page.wait(f"document.getElementById('{anchor}')?.querySelector('dl')")
        assert page.one(f"[id='{anchor}'] code").text == names[-1]
        page.press("/")
        page.press(middle)
        assert page.texts(SHOWN) == [middle]

    def test_without_a_script_the_worst_are_there(self, opened: Open, chromium: Page, large: Report) -> None:
        """Some of them, and a sentence that says so."""
        chromium.tell("Emulation.setScriptExecutionDisabled", value=True)
        try:
            page = opened(large, [], drawn=False)
            assert page.one("#no-script").text == (
                "The charts need JavaScript; so do all but the worst 200 of 5000 tests, which are below."
            )
            assert page.texts(SHOWN) == ids(large)[:200]
        finally:
            chromium.tell("Emulation.setScriptExecutionDisabled", value=False)

    def test_a_browser_that_cannot_decompress(self, opened: Open, chromium: Page, large: Report) -> None:
        """The page does it by itself."""
        source = "delete window.DecompressionStream"
        made = chromium.tell("Page.addScriptToEvaluateOnNewDocument", source=source)
        try:
            page = opened(large, [])
            assert page.run("return typeof DecompressionStream") == "undefined"
            page.run("document.querySelector('table.tests').scrollIntoView()")
            page.wait(f"document.querySelector('{SHOWN}')")
            assert page.texts(SHOWN)[:50] == ids(large)[:50]
            page.click(page.one("table.tests > tbody[id] td:nth-child(3)"))
            page.wait("document.querySelector('table.tests details[open] pre')")
        finally:
            chromium.tell("Page.removeScriptToEvaluateOnNewDocument", identifier=made["identifier"])

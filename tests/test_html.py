"""The HTML report: one file that shows a run to people, in any browser, with nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree.ElementTree import Element, SubElement

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_junit import UUIDS, Report, a_metric, a_report, a_test, any_text

from pytest_gpupool.outcomes import OUTCOMES
from pytest_gpupool.reports.html import render
from pytest_gpupool.reports.words import visible

VOID = ("meta", "link", "br")


class Parser(HTMLParser):
    """Makes a tree of a page; fails where a tag closes what is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("page")
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        element = self._open[-1]
        if len(element):
            element[-1].tail = (element[-1].tail or "") + data
        else:
            element.text = (element.text or "") + data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def page(*tests: Report, **run: object) -> Element:
    return parsed(render(a_report(*tests, **run)))


def parsed(text: str) -> Element:
    return Parser(text).root


def said(element: Element | None) -> str:
    """Its text, as a browser shows it."""
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def rows(root: Element, section: str) -> list[list[str]]:
    return [[said(cell) for cell in row] for row in root.findall(f".//section[@aria-labelledby='{section}']//tbody/tr")]


def facts(root: Element) -> dict[str, str]:
    (holder,) = root.iter("dl")
    return dict(zip(map(said, holder.findall("dt")), map(said, holder.findall("dd")), strict=True))


class TestSummary:
    """What is seen first."""

    def test_a_run_that_went_well(self) -> None:
        """It is said to be complete, in the colours of what is well."""
        state = page(a_test(), a_test(outcome="skipped"), exit_status=0).find(".//p[@class='state fine']")
        assert said(state) == "Complete: 2 collected tests, each with a result. Exit status 0."

    @pytest.mark.parametrize(
        ("status", "words"), [(2, "Exit status 2."), (None, "Exit status unknown (the run was killed, or goes on).")]
    )
    def test_a_run_that_did_not_end_well(self, status: int | None, words: str) -> None:
        """It is not well, although every test passed."""
        report = a_report(a_test())
        report["run"]["exit_status"] = status
        assert said(parsed(render(report)).find(".//p[@class='state']")).endswith(f"a result. {words}")

    def test_tests_that_failed(self) -> None:
        """They are counted beside it, the worst first."""
        root = page(a_test(), a_test(outcome="crashed"), a_test(outcome="failed"), a_test(outcome="failed"))
        assert said(root.find(".//p[@class='state']")) == (
            "Complete: 4 collected tests, each with a result. 2 failed. 1 crashed. Exit status 1."
        )
        assert [said(each) for each in root.findall(".//ul[@class='counts']/li")] == [
            "2 failed",
            "1 crashed",
            "1 passed",
        ]
        assert said(root.find(".//title")) == "gpupool: 2 failed, 1 crashed, 1 passed, run run-2"

    def test_an_incomplete_run(self) -> None:
        """It says so in capitals before all else."""
        root = page(a_test(), a_test(outcome="not-run"))
        assert said(root.find(".//p[@class='state']")) == (
            "INCOMPLETE: 1 of 2 collected tests without a result. Exit status 1."
        )

    def test_a_run_without_tests(self) -> None:
        """It is not well, and has no table of tests."""
        root = page(exit_status=5)
        assert said(root.find(".//p[@class='state']")) == "No tests were collected. Exit status 5."
        assert rows(root, "tests") == []

    def test_facts(self) -> None:
        """When, where and how it ran; what is not known is left out."""
        report = a_report(a_test(), git=None)
        report["run"]["software"] |= {"torch": None, "python": "3.11.7"}
        told = facts(parsed(render(report)))
        assert told == {
            "Started": "2026-11-21 11:46:52 UTC",
            "Command": "pytest -n 2 evals/",
            "Duration": "12.25 s",
            "Host": "node1, Linux-6.1, 64 CPU cores",
            "Directory": "/home/alice/evals",
            "Software": "python 3.11.7, pytest 1.2, pytest_xdist 1.2, pytest_gpupool 1.2, driver 1.2",
        }
        report["summary"] |= {"makespan_s": 600.0, "speedup": 1.5, "efficiency": 0.75}
        report["run"] |= {"exit_status": None, "resumed_from": "run-1", "seed": 7, "engine": "slurm"}
        report["run"]["git"] = {"commit": "0123abcd", "branch": "main", "dirty": True}
        assert dict(facts(parsed(render(report))).items() - told.items()) == {
            "Makespan": "10 min",
            "Speedup": "1.50",
            "Efficiency": "75%",
            "Sources": "0123abcd, branch main, changed",
            "Seed": "7",
            "Engine": "slurm",
            "Goes on with run": "run-1",
        }

    def test_results_of_earlier_runs(self) -> None:
        """They are counted at the top, and each is marked."""
        root = page(a_test("a.py::a", run="run-1"), a_test("b.py::b"))
        assert "1 result kept from earlier runs: run-1." in said(root.find(".//header"))
        assert [row[1] for row in rows(root, "tests")] == ["a.py::a earlier kept from run run-1", "b.py::b"]
        assert "earlier" not in said(page(a_test()))


class TestTables:
    """Devices and tests."""

    def test_devices(self) -> None:
        """The whole pool; what could not be measured is a dash, and why one left the pool is told."""
        report = a_report(a_test())
        report["devices"][0] |= {"tests": 1, "busy_s": 1.5, "utilization_mean": 93.4, "energy_j": 1234.5}
        report["devices"][1]["quarantined"] = "fell off the bus"
        assert rows(parsed(render(report)), "devices") == [
            [f"GPU 0 {UUIDS[0]}", "NVIDIA H200", "128.0 GiB", "1", "1.50 s", "93%", "1234 J"],
            [f"GPU 1 {UUIDS[1]} quarantined it fell off the bus", "NVIDIA H200", "128.0 GiB", "0", "0.00 s", "–", "–"],
        ]

    def test_cpu_slots(self) -> None:
        """They have no memory of their own, and one name; a run may have none."""
        report = a_report(a_test())
        slot = {"id": "cpu:0", "kind": "cpu", "name": "CPU", "memory_total_bytes": None}
        report["devices"] = [report["devices"][0] | slot]
        assert rows(parsed(render(report)), "devices")[0][:3] == ["cpu:0", "CPU", "–"]
        assert "The pool has no device." in said(parsed(render(report | {"devices": []})))

    def test_the_worst_tests_come_first(self) -> None:
        """By outcome, then those with metrics that are wrong, otherwise as they were collected."""
        outcomes = ("passed", "not-run", "timeout", "skipped", "crashed", "error", "failed")
        tests = [a_test(f"a.py::{n}", outcome) for n, outcome in enumerate(outcomes)]
        tests.append(a_test("a.py::7", metrics=[a_metric(baseline=0.75, change=-0.25, verdict="regressed")]))
        root = page(*tests)
        assert [row[:2] for row in rows(root, "tests")] == [
            ["failed", "a.py::6"], ["error", "a.py::5"], ["crashed", "a.py::4"], ["timeout", "a.py::2"],
            ["not-run", "a.py::1"], ["passed", "a.py::7"], ["passed", "a.py::0"], ["skipped", "a.py::3"],
        ]  # fmt: skip
        marked = [row.get("class") for row in root.findall(".//section[@aria-labelledby='tests']//tbody/tr")]
        assert marked == ["bad"] * 5 + [None] * 3

    def test_a_row_of_a_test(self) -> None:
        """Outcome, id, worker, devices as people call them, duration, attempt, metrics, message."""
        metrics = [
            a_metric("accuracy", 0.881, baseline=0.913, change=-0.035, verdict="regressed"),
            a_metric("speed", 1000, unit="tokens/s", baseline=900, change=0.111, verdict="improved"),
            a_metric("loss", None),
            a_metric("steps", 7),
        ]
        tests = [a_test("a.py::a", devices=[*UUIDS, "GPU-of-old"], attempt=2, metrics=metrics), a_test("b", "not-run")]
        assert rows(page(*tests), "tests") == [
            ["not-run", "b", "–", "–", "–", "1", "", ""],
            [
                *("passed", "a.py::a", "gw0", "GPU 0, GPU 1, GPU-of-old", "1.50 s", "2"),
                "accuracy 0.881 (baseline 0.913, -3.5%) regressed speed 1000 tokens/s (baseline 900 tokens/s, +11.1%) "
                "improved loss nan invalid steps 7",
                "",
            ],
        ]

    def test_a_message_can_be_unfolded(self) -> None:
        """Under the line that says most; it is whole, with its spaces and empty lines, also at its beginning."""
        message = "\n\ndef f():\n>       x\nE       ValueError: no\n\n"
        (details,) = page(a_test(outcome="failed", message=message)).iter("details")
        assert [each.tag for each in details] == ["summary", "pre"]
        assert said(details[0]) == "ValueError: no"
        assert details[1].text == f"\n{message}"  # a browser leaves the first newline of <pre> out
        assert "open" not in details.attrib
        assert not list(page(a_test()).iter("details"))


def contrast(one: str, other: str) -> float:
    """Of two colours, by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
        linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


class TestPage:
    """One file, for any browser."""

    PAGE = page(a_test(outcome="failed", message="m", metrics=[a_metric()], run="run-1"), a_test())
    STYLE = said(PAGE.find(".//style"))

    def test_it_needs_nothing_else(self) -> None:
        """No script, nothing from elsewhere, and a policy that allows neither."""
        tags = {each.tag for each in self.PAGE.iter()}
        assert not tags & {"script", "img", "iframe", "object", "embed", "base", "form", "svg"}
        assert {each.get("href", "")[:1] for each in self.PAGE.iter("a")} == {"#"}
        assert [each.attrib for each in self.PAGE.iter("link")] == [{"rel": "icon", "href": "data:,"}]
        assert not re.search(r"url\(|@import|http", self.STYLE)
        assert not [name for each in self.PAGE.iter() for name in each.attrib if name.startswith("on") or name == "src"]
        (policy,) = self.PAGE.findall(".//meta[@http-equiv='Content-Security-Policy']")
        assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

    def test_its_parts_have_names(self) -> None:
        """Every section, table and column can be told by its name; what scrolls can be reached by key."""
        ids = [each.get("id") for each in self.PAGE.iter() if each.get("id")]
        assert len(ids) == len(set(ids))
        assert {each.get("href", "").removeprefix("#") for each in self.PAGE.iter("a")} <= set(ids)
        assert {each.get("aria-labelledby") for each in self.PAGE.iter() if each.get("aria-labelledby")} <= set(ids)
        assert self.PAGE.find("html[@lang='en']/body/main") is not None
        assert len(list(self.PAGE.iter("caption"))) == len(list(self.PAGE.iter("table"))) == 2
        assert {each.get("scope") for each in self.PAGE.iter("th")} == {"col", "row"}
        for table in self.PAGE.iter("table"):
            width = len(table.findall("thead/tr/th"))
            assert {len(row) for row in table.findall("tbody/tr")} == {width}
        assert {each.get("tabindex") for each in self.PAGE.findall(".//div[@class='scroll']")} == {"0"}
        assert [each.tag for each in self.PAGE.iter() if each.tag in ("h1", "h2")] == ["h1", "h2", "h2", "h2"]

    @pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
    def test_colours(self, scheme: int) -> None:
        """Text can be read on each ground, in light and in dark."""
        found = [dict(re.findall(r"--([a-z-]+): (#\w{6});", block)) for block in self.STYLE.split(":root {")[1:]]
        pairs = {(name, "back") for name in ("text", "muted", "link", "good", "bad")}
        pairs |= {(name, "raised") for name in ("text", "bad")} | {
            (name, f"{name}-back") for name in ("good", "bad", "odd")
        }
        assert not {pair for pair in pairs if contrast(*(found[scheme][name] for name in pair)) < 4.5}

    def test_print(self) -> None:
        """On paper every message is unfolded, and the heads of tables are on every page."""
        rules = self.STYLE.partition("@media print")[2]
        assert "::details-content" in rules
        assert "table-header-group" in rules

    def test_jinja_is_loaded_when_it_is_needed(self) -> None:
        """Most runs write no HTML."""
        code = "import sys, pytest_gpupool.reports.html\nprint('jinja2' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


class TestEscapes:
    """No text is anything but text."""

    @pytest.mark.parametrize(
        "text",
        [
            "<script>alert(1)</script>",
            "</pre></td>",
            "<!-- a",
            "&lt;b&gt;",
            "{{ run }}",
            "{% raw %}",
            '" onclick="a',
            "]]>",
        ],
    )
    def test_text_stays_text(self, text: str) -> None:
        """In ids, messages, metrics, and in what is told of the run."""
        test = a_test(
            f"a.py::{text}", "failed", message=text, worker=text, run=text, metrics=[a_metric(text, unit=text)]
        )
        root = page(test, command=text, rootdir=text)
        (row,) = rows(root, "tests")
        assert row == [
            *("failed", f"a.py::{text} earlier kept from run {text}", text, "GPU 0", "1.50 s", "1"),
            *(f"{text} 0.5 {text}", f"{text} {text}"),
        ]
        assert facts(root)["Command"] == facts(root)["Directory"] == text
        assert "script" not in {each.tag for each in root.iter()}

    @given(ids=st.lists(any_text, max_size=9), text=any_text)
    @example(ids=["\ud800", "\x00\x1b[1m"], text="\ud800</pre>\u202e")
    def test_any_text(self, ids: list[str], text: str) -> None:
        """The page has the same tags as one with plain words, all text is in it, and it is UTF-8."""

        def made(words: str, ids: list[str]) -> Element:
            tests = [
                a_test(
                    f"a.py::{each}",
                    OUTCOMES[n % 9],
                    message=f"m{words}",
                    worker=f"w{words}",
                    metrics=[a_metric(f"m{each}")],
                )
                for n, each in enumerate(ids)
            ]
            written = render(a_report(*tests))
            written.encode()
            return parsed(written)

        root, plain = made(text, ids), made("word", ["word"] * len(ids))
        assert [(each.tag, each.attrib) for each in root.iter()] == [(each.tag, each.attrib) for each in plain.iter()]
        shown = {each.text for each in root.iter("code")}
        assert {visible(f"a.py::{each}") for each in ids} <= shown
        assert {each.text for each in root.iter("pre")} <= {"\n" + visible(f"m{text}")}

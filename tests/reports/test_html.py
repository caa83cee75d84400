"""The HTML report without its script: one file that shows a run to people, with nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from itertools import pairwise
from xml.etree.ElementTree import Element

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_pages import data, page, parsed
from made_reports import UUIDS, a_metric, a_report, a_test, any_text

from pytest_gpupool.reports.html.document import render
from pytest_gpupool.values.outcomes import OUTCOMES
from pytest_gpupool.values.texts import visible


def said(element: Element | None) -> str:
    """Its text, as a browser shows it."""
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def section(root: Element, name: str) -> Element:
    found = root.find(f".//section[@aria-labelledby='{name}']")
    assert found is not None
    return found


def rows(root: Element, name: str, table: int = 0) -> list[list[str]]:
    """The cells of a section's table, but of the one of tests."""
    tables = section(root, name).findall(".//table")[table:]
    return [[said(cell) for cell in row] for row in tables[0].findall("tbody/tr")] if tables else []


def groups(root: Element) -> list[Element]:
    """The tests, each with two rows: what is seen at once, and what can be unfolded."""
    return section(root, "tests").findall(".//table/tbody")


def cells(root: Element) -> list[list[str]]:
    """The first row of each test."""
    return [[said(cell) for cell in test[0]] for test in groups(root)]


def unfolded(test: Element) -> dict[str, str]:
    """What stands in the details of a test, by name, without its link."""
    (holder,) = test[1].iter("dl")
    told = dict(zip(map(said, holder.findall("dt")), map(said, holder.findall("dd")), strict=True))
    assert told.pop("Link") == f"#{test.get('id')}"
    return told


def facts(root: Element) -> dict[str, str]:
    holder = root.find(".//dl[@class='facts']")
    assert holder is not None
    return dict(zip(map(said, holder.findall("dt")), map(said, holder.findall("dd")), strict=True))


def figures(root: Element) -> list[str]:
    return [said(each) for each in root.findall(".//ul[@class='figures']/li")]


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
            "Command": "pytest -n 2 evals/",
            "Duration": "12.25 s",
            "Host": "node1, Linux-6.1, 64 CPU cores",
            "Directory": "/home/alice/evals",
            "Software": "python 3.11.7, pytest 1.2, pytest_xdist 1.2, pytest_gpupool 1.2, driver 1.2",
        }
        report["run"] |= {"exit_status": None, "resumed_from": "run-1", "seed": 7, "engine": "slurm"}
        report["run"]["git"] = {"commit": "0123abcd", "branch": "main", "dirty": True}
        root = parsed(render(report))
        assert dict(facts(root).items() - told.items()) == {
            "Sources": "0123abcd, branch main, changed",
            "Seed": "7",
            "Engine": "slurm",
            "Goes on with run": "run-1",
        }
        assert said(root.find(".//p[@class='when']")) == "2026-11-21 11:46:52 UTC on node1"

    def test_figures(self) -> None:
        """How many tests and metrics, how long, how well; those that are not known are left out."""
        report = a_report(a_test(metrics=[a_metric(), a_metric("loss", None)]), a_test(outcome="not-run"))
        assert figures(parsed(render(report))) == ["2 tests 1 with a result", "2 metrics"]
        report["summary"] |= {"makespan_s": 600.0, "busy_s": 900.0, "speedup": 1.5, "efficiency": 0.75}
        report["summary"]["metrics"] |= {"regressed": 1, "invalid": 1}
        report["devices"][0]["tests"] = report["devices"][1]["tests"] = 1
        assert figures(parsed(render(report)))[1:] == [
            "2 metrics 1 invalid, 1 regressed",
            "10 min makespan first start to last end",
            "1.50 speedup 15 min of device time",
            "75% efficiency of 2 devices used",
        ]

    def test_workers_that_share_cores_are_not_praised(self) -> None:
        """Neither in the figures nor where the use of devices is drawn: the more there are, the longer tests take."""
        report = a_report(a_test())
        report["summary"] |= {"makespan_s": 600.0, "busy_s": 1200.0, "speedup": 2.0, "efficiency": 1.0}
        report["devices"] = [device | {"kind": "cpu", "tests": 1} for device in report["devices"][:2]]
        report["run"]["host"]["cpu_count"] = 2
        assert figures(parsed(render(report)))[2:] == [
            "2.00 speedup 20 min of device time",
            "100% efficiency of 2 devices used",
        ]
        assert data(parsed(render(report)))["runs"][-1]["speedup"] == 2.0
        report["run"]["host"]["cpu_count"] = 1
        assert figures(parsed(render(report)))[2:] == ["2 CPU slots share 1 core: no speedup can be told"]
        assert data(parsed(render(report)))["runs"][-1]["speedup"] is None

    def test_results_of_earlier_runs(self) -> None:
        """They are counted at the top, and each is marked; they have no place on the timeline."""
        root = page(a_test("a.py::a", run="run-1"), a_test("b.py::b"))
        assert "1 result kept from earlier runs: run-1." in said(root.find(".//header"))
        assert [row[1] for row in cells(root)] == ["a.py::a earlier kept from run run-1", "b.py::b"]
        assert data(root)["tests"]["start"] == [None, 1.0]
        assert "earlier" not in said(page(a_test()).find(".//main"))

    def test_metrics_that_need_a_look(self) -> None:
        """The worst verdict first, then the largest change, each with a link to its test; the first hundred."""
        judged = [
            a_metric("speed", 90, unit="t/s", baseline=100, change=-0.1, verdict="regressed", allowed=1.5),
            a_metric("accuracy", 0.7, baseline=0.9, change=-0.222, verdict="regressed"),
            a_metric("zero", 1, baseline=0, verdict="regressed", allowed=0.0),
            a_metric("loss", None),
            a_metric("fine", 1, baseline=1, change=0.0, verdict="ok"),
        ]
        root = page(a_test("a.py::a", metrics=judged), a_test("b.py::b"))
        assert rows(root, "summary") == [
            ["a.py::a", "loss", "nan", "–", "–", "–", "invalid"],
            ["a.py::a", "zero", "1", "0", "–", "± 0", "regressed"],
            ["a.py::a", "accuracy", "0.7", "0.9", "-22.2%", "–", "regressed"],
            ["a.py::a", "speed", "90 t/s", "100 t/s", "-10.0%", "± 1.5 t/s", "regressed"],
        ]
        assert {each.get("href") for each in section(root, "summary").iter("a")} == {f"#{groups(root)[0].get('id')}"}
        many = page(a_test(metrics=[a_metric(f"m{n}", None) for n in range(103)]))
        assert len(rows(many, "summary")) == 100
        assert "; 3 more are in the table of tests." in said(section(many, "summary").find(".//caption"))
        assert rows(page(a_test(metrics=[a_metric()])), "summary") == []

    def test_numbers_can_be_told_apart_and_are_short(self) -> None:
        """In as many digits as that takes, whatever a metric's size."""
        judged = [
            a_metric("huge", 1.0, baseline=1e-300, change=1e300, verdict="regressed", allowed=1e-302),
            a_metric("near", 0.9137, baseline=0.91370001, change=-1.09e-8, verdict="regressed", allowed=0.0),
            a_metric("zero", 10**400, baseline=1, verdict="invalid", note="one", n=10**400, detectable=10**400),
        ]
        root, seen = page(a_test("a.py::a", metrics=judged)), "80% sure to see a change of 1e+402%"
        assert rows(root, "summary") == [
            ["a.py::a", "zero", "1e+400", "1", "+1e+400", "–", f"invalid n 1e+400, {seen}, one"],
            ["a.py::a", "huge", "1", "1e-300", "+1e+300×", "± 1e-302", "regressed"],
            ["a.py::a", "near", "0.9137", "0.91370001", "-1.1e-06%", "± 0", "regressed"],
        ]
        assert unfolded(groups(root)[0])["zero"] == (
            "1e+400 (baseline 1, +1e+400, n 1e+400, 80% sure to see a change of 1e+402%, one) invalid"
        )

    def test_a_bad_card(self) -> None:
        """Where a metric differs by device, the report says so."""
        report = a_report(a_test())
        where = {"test": "a.py::speed", "metric": "rate", "unit": "t/s", "device": UUIDS[1]}
        measured = {"value": 80.0, "others": 100.0, "spread": 1.0, "runs": 6}
        report["placement"] = [where | measured | {"device_name": "NVIDIA H200"}]
        note = said(parsed(render(report)).find(".//div[@class='note']"))
        assert note.startswith("A bad card? ")
        assert "speed rate on GPU 1" in note
        assert "80 t/s, on the others 100 t/s (spread 1 t/s over 6 runs)" in note
        assert parsed(render(report | {"placement": []})).find(".//div[@class='note']") is None

    def test_advice(self) -> None:
        """A line for each item, as text; no heading where there is none."""
        report = a_report(a_test())
        assert report["advice"] == []
        assert parsed(render(report)).find(".//h3[@id='advice']") is None
        texts = ['memory="15GiB" would do for <b>test</b>', "GPUs were held without a test for 20 s in all"]
        report["advice"] = [{"kind": "memory", "text": text, "saves": 0.5, "of": "memory"} for text in texts]
        root = parsed(render(report))
        assert said(root.find(".//h3[@id='advice']")) == "Advice"
        assert {*texts} <= {said(item) for item in root.iter("li")}


class TestTables:
    """Devices, workers and tests."""

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

    def test_workers(self) -> None:
        """What each held, how long it waited, how it ended; also one that never got a device."""
        moments = {"started": "2026-11-21T11:46:53Z", "ended": "2026-11-21T11:47:53Z"}
        worker = {"id": "gw0", "host": "node1", "pid": 7, "devices": [UUIDS[0]], "lease_wait_s": 2.5, "exit": "crashed"}
        waiting = dict.fromkeys(("host", "pid", "started", "ended", "exit")) | {"id": "gw1", "devices": []}
        report = a_report(a_test()) | {"workers": [worker | moments, waiting | {"lease_wait_s": None}]}
        assert rows(parsed(render(report)), "devices", 1) == [
            ["gw0", "node1, pid 7", "GPU 0", "2.50 s", "crashed"],
            ["gw1", "–", "–", "–", "unknown"],
        ]

    def test_the_worst_tests_come_first(self) -> None:
        """By outcome, then those with metrics that are wrong, otherwise as they were collected."""
        outcomes = ("passed", "not-run", "timeout", "skipped", "crashed", "error", "failed")
        tests = [a_test(f"a.py::{n}", outcome) for n, outcome in enumerate(outcomes)]
        tests.append(a_test("a.py::7", metrics=[a_metric(baseline=0.75, change=-0.25, verdict="regressed")]))
        root = page(*tests)
        assert [row[:2] for row in cells(root)] == [
            ["failed", "a.py::6"], ["error", "a.py::5"], ["crashed", "a.py::4"], ["timeout", "a.py::2"],
            ["not-run", "a.py::1"], ["passed", "a.py::7"], ["passed", "a.py::0"], ["skipped", "a.py::3"],
        ]  # fmt: skip
        assert [test.get("class") for test in groups(root)] == ["bad"] * 5 + [None] * 3

    def test_a_row_of_a_test(self) -> None:
        """Outcome, id, duration, worker, devices as people call them, memory, and the three worst metrics."""
        metrics = [
            a_metric("steps", 7),
            a_metric("speed", 1000, unit="tokens/s", baseline=900, change=0.111, verdict="improved"),
            a_metric("accuracy", 0.881, baseline=0.913, change=-0.035, verdict="regressed"),
            a_metric("loss", None),
        ]
        used = a_test()["resources"] | {"peak_memory_bytes": 3 * 2**30}
        told = {"devices": [*UUIDS, "GPU-of-old"], "attempt": 2, "metrics": metrics, "resources": used}
        root = page(a_test("a.py::a", **told), a_test("b", "not-run"))
        assert cells(root) == [
            ["not-run", "b", "–", "–", "–", "–", ""],
            [
                *("passed", "a.py::a attempt 2", "1.50 s", "gw0", "GPU 0, GPU 1, GPU-of-old", "3.0 GiB"),
                "loss nan invalid accuracy 0.881 -3.5% regressed speed 1000 tokens/s +11.1% improved and 1 more",
            ],
        ]
        assert section(root, "tests").find("table").get("class") == "tests"  # type: ignore[union-attr]
        assert section(page(a_test()), "tests").find("table").get("class") == "tests no-memory"  # type: ignore[union-attr]

    def test_what_can_be_unfolded(self) -> None:
        """All metrics with what their verdicts rest on, parameters, phases, and what the test used."""
        judged = {"higher_is_better": True, "n": 1000, "baseline": 0.913, "change": -0.035, "verdict": "regressed"}
        metrics = [
            a_metric("accuracy", 0.881, allowed=0.01, detectable=0.023, **judged),
            *(a_metric(f"m{n}", n, unit="s", higher_is_better=False) for n in range(4)),
        ]
        used = {
            "peak_memory_bytes": 3 * 2**30, "torch_peak_memory_bytes": 2**30, "utilization_mean": 93.4,
            "utilization_max": 99.9, "energy_j": 56_000.0, "temperature_max_c": 71.0, "throttled": True,
            "foreign_pids": [815, 816], "cpu_percent": 130.0, "rss_peak_bytes": 2**29,
            "cpu_pressure_percent": 34.5,
        }  # fmt: skip
        phases = {"setup_s": 0.5, "call_s": 150.0, "teardown_s": None}
        (test,) = groups(
            page(a_test(params={"model": "a b", "shots": 5, "x": None}, phases=phases, resources=used, metrics=metrics))
        )
        assert unfolded(test) == {
            "accuracy": "0.881 (baseline 0.913, -3.5%, allowed ± 0.01, n 1000, 80% sure to see a drop of 2.5%, "
            "higher is better) regressed",
            **{f"m{n}": f"{n} s (lower is better)" for n in range(4)},
            "Parameters": "model = a b, shots = 5, x = null",
            "Started": "2026-11-21 11:46:53 UTC",
            "Phases": "set-up 0.50 s, call 2 min",
            "Device": "peak memory 3.0 GiB, torch's peak 1.0 GiB, utilisation 93% (at most 100%), 56 kJ, up to 71 °C, "
            "THROTTLED, other processes on it: 815, 816",
            "Process": "CPU 130%, programs waited for a processor 34% of the time, peak memory 512 MiB",
        }
        assert unfolded(groups(page(a_test("a", "not-run")))[0]) == {}

    def test_messages_and_output_can_be_unfolded(self) -> None:
        """Whole, with their spaces and empty lines, also at the beginning; the line that says most is seen at once."""
        message = "\n\ndef f():\n>       x\nE       ValueError: no\n\n"
        output = {"stdout": "\n a\n", "stderr": "b", "log": ""}
        (test,) = groups(page(a_test("a", "failed", message=message, output=output)))
        assert said(test[0][1]) == "a ValueError: no"
        assert [each.text for each in test.iter("pre")] == [f"\n{message}", "\n\n a\n", "\nb"]  # <pre> eats the first
        assert [said(each) for each in test.iter("h4")] == ["stdout", "stderr"]
        assert all("open" not in each.attrib for each in test.iter("details"))

    def test_links_to_tests(self) -> None:
        """A test has the same one in every run; two of one name have two."""
        first, again = page(a_test("a"), a_test("b")), page(a_test("b"), a_test("b"), a_test("a"))
        places = [test.get("id") for test in groups(first)]
        assert [test.get("id") for test in groups(again)] == [places[1], f"{places[1]}-", places[0]]
        assert all(re.fullmatch("test-[0-9a-f]{10}", str(place)) for place in places)


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

    PAGE = page(
        a_test("a", "failed", message="m", metrics=[a_metric(verdict="regressed", baseline=1)], run="run-1"),
        a_test(),
    )
    STYLE = said(PAGE.find(".//style"))

    def test_it_needs_nothing_else(self) -> None:
        """Nothing from elsewhere, and a policy that allows just its own style and script."""
        tags = {each.tag for each in self.PAGE.iter()}
        assert not tags & {"img", "iframe", "object", "embed", "base", "form"}
        assert {each.get("href", "")[:1] for each in self.PAGE.iter("a")} == {"#"}
        assert [each.attrib for each in self.PAGE.iter("link")] == [{"rel": "icon", "href": "data:,"}]
        assert not re.search(r"url\((?!#)|@import|http", self.STYLE)
        names = {name for each in self.PAGE.iter() for name in each.attrib}
        assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "action")]
        (policy,) = self.PAGE.findall(".//meta[@http-equiv='Content-Security-Policy']")
        style, script = (self.PAGE.find(place) for place in (".//style", ".//body/script[5]"))
        allowed = [
            base64.b64encode(hashlib.sha256((each.text or "").encode()).digest()).decode()  # type: ignore[union-attr]
            for each in (style, script)
        ]
        assert policy.get("content") == (
            f"default-src 'none'; style-src 'sha256-{allowed[0]}'; script-src 'sha256-{allowed[1]}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )

    def test_the_script_makes_no_html_of_text(self) -> None:
        """It neither parses nor runs a text, and asks nobody for anything."""
        script = self.PAGE.find(".//body/script[5]")
        assert script is not None
        words = (
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|fetch|XMLHttp|import|Storage|</|<!--"
        )
        assert not re.search(words, script.text or "")

    def test_without_script_nothing_is_dead(self) -> None:
        """Sections that a script draws are hidden, and their links; the others have all that there is to know."""
        hidden = [each.get("aria-labelledby") for each in self.PAGE.iter("section") if "hidden" in each.attrib]
        assert hidden == ["timeline", "metrics", "overview", "history", "usage"]
        links = [each[0].get("href") for each in self.PAGE.findall(".//nav/ul/li") if "hidden" in each.attrib]
        assert links == [f"#{name}" for name in hidden]
        assert not {"button", "select", "input"} & {each.tag for each in self.PAGE.iter()}
        assert "need JavaScript" in said(self.PAGE.find(".//p[@id='no-script']"))

    def test_its_parts_have_names(self) -> None:
        """Every section, table and column can be told by its name; what scrolls can be reached by key."""
        ids = [each.get("id") for each in self.PAGE.iter() if each.get("id")]
        assert len(ids) == len(set(ids))
        assert {each.get("href", "").removeprefix("#") for each in self.PAGE.iter("a")} <= set(ids)
        assert {each.get("aria-labelledby") for each in self.PAGE.iter() if each.get("aria-labelledby")} <= set(ids)
        assert self.PAGE.find("html[@lang='en']/body/main") is not None
        assert len(list(self.PAGE.iter("caption"))) == len(list(self.PAGE.iter("table"))) == 4
        assert {each.get("scope") for each in self.PAGE.iter("th")} == {"col", "row"}
        for table in self.PAGE.iter("table"):
            width = len(table.findall("thead/tr/th"))
            spans = {sum(int(cell.get("colspan", 1)) for cell in row) for row in table.findall("tbody/tr")}
            assert spans == {width}
        assert {each.get("tabindex") for each in self.PAGE.findall(".//div[@class='scroll']")} == {"0"}
        levels = [int(each.tag[1]) for each in self.PAGE.iter() if re.fullmatch("h[1-6]", each.tag)]
        assert levels[0] == 1
        assert all(later - former <= 1 for former, later in pairwise(levels))

    @pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
    def test_colours(self, scheme: int) -> None:
        """Text can be read on each ground, and marks told from it, in light and in dark."""
        found = [dict(re.findall(r"--([a-z-]+): (#\w{6});", block)) for block in self.STYLE.split(":root {")[1:]]
        pairs = {(name, "back") for name in ("text", "muted", "link", "good", "bad")}
        pairs |= {(name, "raised") for name in ("text", "muted", "bad")} | {
            (name, f"{name}-back") for name in ("good", "bad", "odd")
        }
        pairs |= {("text", ground) for ground in ("more", "less", "odd-back")}  # cells of the heat map, notes
        assert not {pair for pair in pairs if contrast(*(found[scheme][name] for name in pair)) < 4.5}
        marks = ("passed", "failed", "error", "crashed", "timeout", "xfailed", "xpassed")
        assert not [name for name in marks if contrast(found[scheme][name], found[scheme]["back"]) < 3]

    def test_print(self) -> None:
        """On paper the messages of what failed are unfolded, and the heads of tables are on every page."""
        rules = self.STYLE.partition("@media print")[2]
        assert "::details-content" in rules
        assert "table-header-group" in rules

    def test_jinja_is_loaded_when_it_is_needed(self) -> None:
        """Most runs write no HTML."""
        code = "import sys, pytest_gpupool.reports.html.document\nprint('jinja2' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"

    def test_reports_of_old_versions(self) -> None:
        """They lack output, placement, advice, samples, and what metrics were allowed."""
        report = json.loads(json.dumps(a_report(a_test(metrics=[a_metric()]))))
        report.pop("placement", None)
        report.pop("advice")
        report["spec_version"] = "1.0.0"
        for test in report["tests"]:
            test.pop("run")
        assert [row[1] for row in cells(parsed(render(report)))] == ["tests/test_a.py::test_a"]


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
        """In ids, messages, output, parameters, metrics, and in what is told of the run."""
        odd = {"worker": text, "run": text, "params": {text: text}, "output": {"stdout": text}}
        root = page(
            a_test(f"a.py::{text}", "failed", message=text, metrics=[a_metric(text, unit=text)], **odd),
            command=text,
            rootdir=text,
        )
        name = f"a.py::{text} earlier kept from run {text} {text}"
        assert cells(root) == [["failed", name, "1.50 s", text, "GPU 0", "–", f"{text} 0.5 {text}"]]
        told = unfolded(groups(root)[0])
        assert told[text] == f"0.5 {text}"
        assert told["Parameters"] == f"{text} = {text}"
        assert [each.text for each in root.iter("pre")] == [f"\n{text}", f"\n{text}"]
        assert facts(root)["Command"] == facts(root)["Directory"] == text
        assert len(list(root.iter("script"))) == 5
        found = data(root)
        assert found["tests"]["id"] == [f"a.py::{text}"]
        (metric,), (param,) = found["metrics"], found["params"]
        assert (metric["name"], metric["unit"], param["name"], param["values"]) == (text, text, text, [text])

    @settings(max_examples=40)
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
                    params={f"p{words}": words},
                    metrics=[a_metric(f"m{each}")],
                )
                for n, each in enumerate(ids)
            ]
            written = render(a_report(*tests))
            written.encode()
            return parsed(written)

        def tags(root: Element) -> list[tuple[str, dict[str, str]]]:
            # But for links to tests, which are made of their ids.
            changing = {"tbody": {"id"}, "a": {"href"}}
            return [
                (each.tag, {key: each.attrib[key] for key in each.attrib.keys() - changing.get(each.tag, set())})
                for each in root.iter()
            ]

        root, plain = made(text, ids), made("word", ["word"] * len(ids))
        assert tags(root) == tags(plain)
        shown = {each.text for each in root.iter("code")}
        assert {visible(f"a.py::{each}") for each in ids} <= shown
        assert {each.text for each in root.iter("pre")} <= {"\n" + visible(f"m{text}")}
        assert data(root)["tests"]["id"] == [test[0][1][0].text for test in groups(root)]

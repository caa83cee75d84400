"""The JUnit report: as pytest's own ``--junitxml`` writes it, within what GitLab and Jenkins read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, parse

from ..records.store import write_whole
from ..values.outcomes import ERRORS
from ..values.texts import one_line
from .junit_limits import MOST_BYTES, MOST_OBJECTS, OF_OURS, VERDICTS, Limits, cut_texts, legal, shrink, xml
from .words import earlier_run, headline

MOST_MESSAGE = 8_000
"""Characters of one message."""
_NOT_RUN = "it has no result"

_TAGS = {
    "failed": "failure",
    **dict.fromkeys(ERRORS, "error"),
    **dict.fromkeys(("skipped", "xfailed"), "skipped"),
}
_TYPES = {"skipped": "pytest.skip", "xfailed": "pytest.xfail"}
_BEFORE = {"skipped": "Skipped: ", "xfailed": "reason: "}  # pytest's words, which its JUnit file leaves out


def render(
    report: Mapping[str, Any],
    *,
    most_message: int = MOST_MESSAGE,
    most_objects: int = MOST_OBJECTS,
    most_bytes: int = MOST_BYTES,
    folder: Path | None = None,
) -> str:
    """Return the JUnit report. Every test of the JSON report is a testcase of it.

    Files that tests have kept are named where it is given in which ``folder`` they are, the run's.

    What is too large for the limits loses metrics of passed tests first, then the middle of messages, then all
    metrics, then all properties; the suite's property ``gpupool.dropped`` says so. In the end there are names and
    outcomes alone, three objects for each test that passed: more than some 83,000 tests are above GitLab's limit.
    """
    pointer = legal(f"the JSON report, or the record of run {report['run']['id']}")
    root = Element("testsuites", name="pytest tests")
    aggregates = [_as_test(one) for one in report.get("aggregates", ())]
    suite = SubElement(root, "testsuite", _suite(report, [*report["tests"], *aggregates]))
    suite.extend(_testcase(test, earlier_run(test, report), folder) for test in report["tests"])
    suite.extend(_testcase(one, None, None) for one in aggregates)
    cut_texts(root, pointer, tags=VERDICTS, most=most_message)
    shrink(root, OF_OURS, Limits(most_objects, most_bytes), pointer)
    return xml(root)


def _as_test(aggregate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "nodeid": f"{aggregate['id']} {aggregate['name']}",
        "outcome": "skipped" if aggregate["outcome"] == "incomplete" else aggregate["outcome"],
        "message": aggregate["message"],
        "duration_s": 0.0,
        "devices": [],
        "worker": None,
        "resources": {"peak_memory_bytes": None},
        "metrics": [] if aggregate["value"] is None and "non_finite" not in aggregate else [aggregate],
    }


def _suite(report: Mapping[str, Any], tests: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    run, tags = report["run"], Counter(_TAGS.get(test["outcome"]) for test in tests)
    return {
        "name": "pytest",
        "errors": str(tags["error"]),
        "failures": str(tags["failure"]),
        "skipped": str(tags["skipped"]),
        "tests": str(len(tests)),
        "time": f"{run['duration_s']:.3f}",
        "timestamp": run["started"].replace("Z", "+00:00"),
        "hostname": legal(run["host"]["name"]),
    }


def attach(path: Path, attached: Mapping[str, Sequence[str]]) -> None:
    """Name the files of tests, by their ids, in a file that pytest has written, as Jenkins and GitLab want it.

    A file that is not there, or is none, is left alone. Raises OSError where it cannot be written.
    """
    try:
        root = parse(path).getroot()
    except (OSError, ParseError, ValueError, LookupError):
        return
    known: dict[str, list[tuple[str, Sequence[str]]]] = {}
    for nodeid, files in attached.items():
        classname, name = address(nodeid)
        known.setdefault(legal(name), []).append((legal(classname), files))
    for case in root.iter("testcase"):
        for classname, files in known.get(case.get("name", ""), ()):
            if (case.get("classname") or "").endswith(classname):  # before which --junit-prefix may stand
                name_files(case, files)
    write_whole(path, xml(root))


def name_files(case: Element, files: Sequence[str]) -> None:
    """Have a testcase name these files, in its output."""
    out = case.find("system-out")
    if out is None:
        out = SubElement(case, "system-out")
    before = f"{out.text}\n" if out.text else ""
    out.text = before + "\n".join(legal(f"[[ATTACHMENT|{one_line(file)}]]") for file in files)


def _testcase(test: Mapping[str, Any], run: str | None, folder: Path | None) -> Element:
    classname, name = address(test["nodeid"])
    case = Element("testcase", classname=legal(classname), name=legal(name), time=f"{test['duration_s'] or 0:.3f}")
    pairs = list(_properties(test, run))
    if pairs:
        properties = SubElement(case, "properties")
        properties.extend(Element("property", name=legal(key), value=legal(value)) for key, value in pairs)
    if test["outcome"] in _TAGS:
        case.append(_verdict(test["outcome"], test["message"] or ""))
    if folder is not None and (
        kept := [str(folder / one["path"]) for one in test.get("attachments", ()) if "path" in one]
    ):
        name_files(case, kept)
    return case


def address(nodeid: str) -> tuple[str, str]:
    """Return classname and name as pytest's junitxml makes them: parameters may hold what separates names."""
    path, within, rest = nodeid.partition("::")
    address, bracket, params = rest.partition("[") if rest.endswith("]") else (rest, "", "")
    names = [path.replace("/", ".").removesuffix(".py"), *(address.split("::") if within else ())]
    return ".".join(names[:-1]), names[-1] + (f"[{params.removesuffix(']')}]" if bracket else "")


def _properties(test: Mapping[str, Any], run: str | None) -> Iterator[tuple[str, str]]:
    peak = test["resources"]["peak_memory_bytes"]
    known = {"device": ",".join(test["devices"]), "worker": test["worker"], "run": run, "peak_memory_bytes": peak}
    known["cause"] = test.get("cause")
    yield from ((f"gpupool.{name}", str(value)) for name, value in known.items() if value not in (None, ""))
    yield from ((f"gpupool.fact.{name}", text) for name, text in test.get("facts", {}).items())
    for metric in test["metrics"]:
        value = metric.get("non_finite") if metric["value"] is None else metric["value"]
        if value is not None:
            yield f"gpupool.metric.{metric['name']}", str(value)
        if metric["baseline"] is not None:
            yield f"gpupool.verdict.{metric['name']}", str(metric["verdict"])


def _verdict(outcome: str, message: str) -> Element:
    told = headline(message.removeprefix(_BEFORE.get(outcome, "")), 500)
    if _TAGS[outcome] == "error":
        told = f"not run: {told or _NOT_RUN}" if outcome == "not-run" else f"{outcome}: {told}".removesuffix(": ")
    element = Element(_TAGS[outcome], message=legal(told or outcome))
    if outcome in _TYPES:
        element.set("type", _TYPES[outcome])
    element.text = legal(message) or None
    return element

"""The HTML report: one file that needs nothing else; without its script it still shows the worst tests."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from ...values import outcomes, verdicts
from ...values.nodeids import commit_link
from ...values.texts import visible
from ..words import (
    completeness,
    counts,
    exit_text,
    firsts,
    kept_text,
    labels,
    placement_texts,
    shard_text,
    worst_first,
)
from . import rows, tables
from .data import attachments, chunks, items, page
from .scripts import PARTS, SERVED, joined

if TYPE_CHECKING:
    import jinja2

MOST_PLAIN = 200
"""Tests in the table without the script, the worst first: a page of all of many would take long to open."""

DETAILS = 100
"""Tests of which what can be unfolded is one chunk; ``rows.js`` counts on the same."""


def render(
    report: Mapping[str, Any],
    past: Sequence[Mapping[str, Any]] = (),
    found: items.Items | None = None,
    files: attachments.Files | None = None,
    live: str | None = None,
    missing: str | None = None,
) -> str:
    """Return the page. Whatever a test is called or says is text in it; what UTF-8 cannot carry is escaped.

    ``past`` are the runs on record before this one, the oldest first: ``run``, ``started``, ``commit``, ``values``
    (a test's metrics by its id and their names: ``value``, ``verdict``, ``device``), and what is known of
    ``workers``, ``makespan_s``, ``speedup``, ``efficiency``. ``found`` has the items of tests, ``files``
    says where what tests have kept lies, and how the page links it. A server that has more to show later gives
    ``live``, which its answers have as ``ETag``: the page asks for that, and is loaded again when it is another one.
    It is empty where nothing more will come, and None where the page is a file. ``missing`` says why runs before this
    one are not in it.
    """
    from markupsafe import Markup

    tests, names = worst_first(report["tests"]), labels(report)
    shelf = attachments.Shelf(files)
    places = rows.anchors(tests)
    lost = _nothing if found is None else found.lost
    # Before the rows: what of their files is damaged shows when they are read.
    told, lines = items.packed(tests, None if found is None else found.of)
    shown = [rows.row(test, report, names, shelf.of(test), lost(test)) for test in tests]
    style, script = source_of("report.css"), joined(map(_part, PARTS if live is None else SERVED))
    return template(source_of("report.html.jinja")).render(
        **_shown(report, tests, places, shown),
        style=Markup(style),
        script=Markup(script),
        data=Markup(chunks.packed({**page.embedded(report, tests, places, shown, past), "items": told})),
        items=Markup(chunks.joined(lines)),
        attachments=Markup(chunks.joined(shelf.lines)),
        details=Markup(chunks.joined(chunks.lines(map(rows.unfolded, shown), DETAILS))),
        live=live,
        missing=missing,
        policy=_policy(style, script, asks=bool(live)),
    )


def _policy(style: str, script: str, *, asks: bool) -> str:
    own = f"default-src 'none'; style-src {hash_of(style)}; script-src {hash_of(script)}; img-src data:; "
    return own + ("connect-src 'self'; " if asks else "") + "base-uri 'none'; form-action 'none'"


def _nothing(test: Mapping[str, Any]) -> None:
    return None


def _part(name: str) -> str:
    return source_of(f"script/{name}.js")


def template(source: str) -> jinja2.Template:
    """Return a page's template: whatever it is given is text in the page, and something missing is an error."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        finalize=_carried,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(source)


def _carried(value: object) -> object:
    # What has __html__ is a part of the template that has been through here, or one of our own files.
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _shown(
    report: Mapping[str, Any],
    tests: Sequence[Mapping[str, Any]],
    places: Sequence[str],
    shown: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    run, told = report["run"], counts(report)
    placed = list(zip(places, tests, strict=True))
    wrong = tables.wrong_metrics(placed)
    return {
        "run": run,
        "commit": commit_link(run),
        "started": f"{run['started'][:19].replace('T', ' ')} UTC",
        "counts": told,
        "bars": _bars(told),
        "unfine": outcomes.BAD,
        "fine": run["complete"] and run["exit_status"] == 0 and not any(outcome in outcomes.BAD for outcome, _ in told),
        "exit": exit_text(run),
        "completeness": completeness(report),
        "kept": kept_text(report),
        "shard": shard_text(report),
        "shared": firsts(report),
        "figures": list(tables.figures(report)),
        "verdicts": [(name, count) for name in verdicts.WORST_FIRST if (count := report["summary"]["metrics"][name])],
        "aggregates": tables.aggregates(report),
        "wrong_verdicts": verdicts.BAD,
        "wrong": wrong[: tables.MOST_WRONG],
        "left": max(0, len(wrong) - tables.MOST_WRONG),
        "placement": placement_texts(report),
        "advice": [item["text"] for item in report.get("advice", ())],
        "facts": [(name, value) for name, value in tables.facts(report) if value],
        "devices": tables.devices(report),
        "workers": tables.workers(report),
        "measured": any(test["resources"].get("peak_memory_bytes") is not None for test in tests),
        "tests": list(zip(places, shown, strict=True))[:MOST_PLAIN],
        "total": len(tests),
        "clusters": tables.clusters(placed),
        "retried": sum(row["attempt"] > 1 for row in shown),
    }


def _bars(told: Sequence[tuple[str, int]]) -> list[tuple[str, float, float]]:
    """Return outcome, beginning and width of the parts of a bar that is 100 long."""
    total, begin, bars = sum(count for _, count in told), 0.0, []
    for outcome, count in told:
        bars.append((outcome, round(begin, 3), round(100 * count / total, 3)))
        begin += 100 * count / total
    return bars


def source_of(name: str) -> str:
    """Return one of the files that pages are made of."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def hash_of(text: str) -> str:
    """Return how a content security policy allows just this text (W3C, Content Security Policy 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

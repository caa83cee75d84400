"""Pages: the list of the runs on record, and the report page of each."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

from ....records import archive
from ....records.archive import Recorded
from ....records.beside.attachments import opened
from ....records.store import HISTORY, RUN_ID
from ....values.texts import duration_text, epoch, visible
from ...commands.runs import outcomes_text
from ...sources import decide, report_of_run
from .attached import Attached

RUNS = "/runs/"
LIVE, QUIET = 5, 30
"""Seconds after which a browser asks for the list of runs again: while one goes on, and else, as one may begin."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is sent; ``policy`` is its content security policy, ``mark`` is another one when there is more to see."""

    text: str
    policy: str
    mark: str | None = None
    refresh: int | None = None
    """Seconds after which a browser is to ask for it again: a page with a mark does so itself, where that changes."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the list has of a run, as long as its ``mark`` is this one; ``state`` is empty while it goes on."""

    mark: str
    id: str
    started: str
    collected: int
    outcomes: str
    state: str

    @property
    def is_live(self) -> bool:
        return not self.state


class Pages:
    """The pages of the runs in a folder of records. A run is read once, as long as it has not changed."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._made: dict[str, Page] = {}
        self._listed: dict[str, _Listed] = {}  # by the name of its folder
        self._lock = threading.Lock()  # of two that ask at once the second gets what the first had made
        self._listing = threading.Lock()

    def of(self, place: str) -> Page | None:
        """Return the page of a place, ``/`` or ``/runs/RUN``; None for any other."""
        if place == "/":
            with self._listing:  # not the other one, which is held while a large page is made
                return self._list()
        run = self._run(place.removeprefix(RUNS)) if place.startswith(RUNS) else None
        if run is None:
            return None
        with self._lock:
            return self._report(run)

    def mark(self, place: str) -> str | None:
        """Return the mark of the page of a run as it would be now, without making it; None for any other place."""
        run = self._run(place.removeprefix(RUNS)) if place.startswith(RUNS) else None
        return None if run is None else _mark(run)

    def attached(self, place: str) -> Attached | None:
        """Return the file of a place, ``/runs/RUN/attachments/…``, that a test has kept; None for any other."""
        name, _, path = place.removeprefix(RUNS).partition("/")
        run = self._run(name) if place.startswith(RUNS) and path else None
        if run is None:
            return None
        inside = os.fsdecode(unquote_to_bytes(path))
        try:
            return Attached(opened(run, inside), PurePosixPath(inside).name)
        except OSError:
            return None

    def _run(self, name: str) -> Path | None:
        if not RUN_ID.fullmatch(name):
            return None
        return next((run for run in archive.runs(self._base) if run.name == name), None)

    def _report(self, run: Path) -> Page:
        mark = _mark(run)
        known = self._made.get(run.name)
        if known is not None and known.mark == mark:
            return known
        # The page has its own policy; what only a header can say is said by this one.
        page = Page(_report_text(run, self._base, mark), "frame-ancestors 'none'", mark)
        self._made = {run.name: page}  # of the latest: they may be large
        return page

    def _list(self) -> Page:
        left_out: list[str] = []
        known, self._listed = self._listed, {}
        for run in reversed(archive.runs(self._base)):
            mark = _mark(run)  # before it is read: what comes meanwhile is seen the next time
            if (listed := known.get(run.name)) is not None and listed.mark == mark:
                self._listed[run.name] = listed
                continue
            found, untold = archive.load_all([run])
            for recorded in found:
                self._listed[run.name] = _listed(recorded, mark)
            left_out += untold
        runs = self._listed.values()
        refresh = LIVE if any(run.is_live for run in runs) else QUIET
        style = resources.files("pytest_gpupool.reports.html").joinpath("report.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; frame-ancestors 'none'; "
        rows = "\n".join(map(_row, runs)) or '<tr><td colspan="5">No run is on record.</td></tr>'
        notes = "".join(f"<p>{escape(visible(text))}</p>\n" for text in left_out)
        text = _LIST.format(style=style, base=escape(visible(str(self._base))), rows=rows, left_out=notes)
        return Page(text, policy + "base-uri 'none'; form-action 'none'", refresh=refresh)


def _report_text(run: Path, base: Path, mark: str) -> str:
    from ....items.page import Readable
    from ....reports.html import document
    from ....reports.html.data.attachments import Files, link_to
    from ....trends import additions

    recorded = archive.load(run)
    decide(recorded)
    found = additions.collect(base, recorded.facts(), recorded.results, recorded.devices(), base / HISTORY)
    report = {**report_of_run(recorded), **found.to_report()}
    files = Files(run, lambda name: link_to(PurePosixPath(RUNS, run.name, name)))
    live = mark if mark.startswith(_GOES_ON) else ""
    return document.render(report, found.past, Readable(report, run), files, live, found.problem)


_GOES_ON = "goes-on-"


def _mark(run: Path) -> str:
    """Return what changes with every line that a run writes, and with its end."""
    state = _GOES_ON if archive.goes_on(run) else "has-ended-"
    return state + hashlib.sha256(repr(sorted(_sizes(run))).encode()).hexdigest()[:16]


def _sizes(run: Path) -> Iterator[tuple[str, int, int]]:
    for path in run.glob("*.jsonl"):
        try:
            found = path.stat()
        except OSError:
            continue
        yield path.name, found.st_size, found.st_mtime_ns


def _listed(run: Recorded, mark: str) -> _Listed:
    if mark.startswith(_GOES_ON):
        state = ""
    elif run.exit_status is None:
        state = "was killed"
    else:
        state = f"exit status {run.exit_status}, {'complete' if run.results.is_complete else 'incomplete'}"
    return _Listed(mark, run.id, run.facts()["started"], run.results.collected, outcomes_text(run), state)


def _row(run: _Listed) -> str:
    age = duration_text(time.time() - epoch(run.started))
    cells = (f"{age} ago", str(run.collected), run.outcomes, run.state or "goes on")
    link = f'<th scope="row"><a href="{RUNS}{escape(run.id)}"><code>{escape(run.id)}</code></a></th>'
    return f"<tr>{link}{''.join(f'<td>{escape(visible(cell))}</td>' for cell in cells)}</tr>"


_LIST = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>gpupool: runs on record</title>
<style>{style}</style>
</head>
<body>
<header>
<p class="kicker">gpupool</p>
<h1>Runs on record</h1>
<p class="when">in <code>{base}</code>, the latest first</p>
</header>
<main>
<section aria-label="Runs">
<div class="scroll cards" role="region" aria-label="Runs" tabindex="0">
<table>
<thead><tr><th scope="col">Run</th><th scope="col">Begun</th><th scope="col">Tests</th><th scope="col">Outcomes</th>\
<th scope="col">State</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
{left_out}</section>
</main>
</body>
</html>
"""

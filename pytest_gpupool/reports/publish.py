"""Publishing: write a report in every form that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..records.store import write_whole
from ..values.texts import safe_repr

if TYPE_CHECKING:
    from ..trends.additions import Additions
    from ..verdicts.baselines.baseline import Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The files to write, by form; None where that form is not wanted."""

    json: Path | None = None
    html: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None
    folder: Path | None = None
    """The run's directory, where it is known, in which lies what tests have kept."""

    def paths(self) -> list[Path]:
        """Return the files, those for people first."""
        return [path for path in (self.html, self.markdown, self.json, self.junit) if path is not None]


def publish(
    report: Mapping[str, Any],
    wanted: Wanted,
    added: Additions | None = None,
    *runs: Path | None,
    baseline: Baseline | None = None,
) -> list[str]:
    """Write the report; return what to say of the files that could not be written.

    ``added`` is what earlier runs add to the page; ``runs`` are the run's directories, as far as there are some, where
    the files with its items are: a merged run has several. These are compared with the ``baseline``, see
    :class:`Readable`.
    """
    problems, found = [], [run for run in runs if run is not None]
    for path, write in (
        (wanted.json, _write_json),
        (wanted.html, partial(_write_html, added=added, items=(found, baseline), folder=wanted.folder)),
        (wanted.markdown, _append_markdown),
        (wanted.junit, partial(_write_junit, folder=wanted.folder)),
    ):
        if path is None:
            continue
        try:
            write(path, report)
        except OSError as error:
            problems.append(f"the report {path} could not be written: {error.strerror}")
        except Exception as error:  # one form must not cost the others
            problems.append(f"the report {path} could not be made: {safe_repr(error)}")
    return problems


# Each form is loaded where it is wanted: most runs want none, and all of them wait for their end.


def _write_json(path: Path, report: Mapping[str, Any]) -> None:
    from . import json

    json.write(path, report)


def _write_html(
    path: Path,
    report: Mapping[str, Any],
    added: Additions | None,
    items: tuple[Sequence[Path], Baseline | None],
    folder: Path | None,
) -> None:
    from ..items.page import Readable
    from .html import document
    from .html.data.attachments import Files

    path.parent.mkdir(parents=True, exist_ok=True)
    runs, baseline = items
    readable = Readable(report, *runs, baseline=baseline) if runs else None
    files = None if folder is None else Files.beside(path, folder)
    past, missing = ((), None) if added is None else (added.past, added.problem)
    write_whole(path, document.render(report, past, readable, files, missing=missing))


def _append_markdown(path: Path, report: Mapping[str, Any]) -> None:
    from . import markdown

    markdown.append(path, markdown.render(report, markdown.room(path)))


def _write_junit(path: Path, report: Mapping[str, Any], folder: Path | None) -> None:
    from . import junit

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, junit.render(report, folder=folder))

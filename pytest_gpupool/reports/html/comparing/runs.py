"""Who the two runs are that a page shows side by side, and in what they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ....values.outcomes import WORST_FIRST
from ...words import counted, seconds_text
from ..tables import DASH, joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: what people call it, and its report, None where it is a baseline."""

    title: str
    report: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """The run's id, or the baseline."""
        return self.title if self.report is None else str(self.report["run"]["id"])


def table(old: Side, new: Side) -> list[tuple[str, str, str, bool]]:
    """Return what is known of the two, by its name, and whether they differ where they should not.

    What neither of them has is left out; of software only what differs is in it.
    """
    told, other = (dict(_facts(side)) for side in (old, new))
    found = []
    for name in dict.fromkeys((*told, *other)):
        one, two = told.get(name, ("", False)), other.get(name, ("", False))
        both = old.report is not None and new.report is not None
        differs = both and (one[1] or two[1]) and one[0] != two[0]
        if (one[0] or two[0]) and (differs or not name.startswith(_SOFTWARE)):
            found.append((name.removeprefix(_SOFTWARE), one[0] or DASH, two[0] or DASH, differs))
    return found


_SOFTWARE = "software "


def _facts(side: Side) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Yield what is told of a side: its name, the text, and whether both should have the same."""
    yield "Run", (side.name, False)
    if side.report is None:
        return
    run = side.report["run"]
    host = run.get("host") or {}
    yield "Started", (f"{run['started'][:19].replace('T', ' ')} UTC", False)
    yield "Commit", (_commit(run["git"]), False)
    yield "Tests", (_tests(side.report), False)
    yield "Duration", (seconds_text(run["duration_s"]), False)
    yield "Devices", (_devices(side.report), True)
    yield "Host", (joined(host.get("name") or "", host.get("platform") or ""), True)
    yield "Command", (run.get("command") or "", True)
    yield "Seed", ("" if run.get("seed") is None else str(run["seed"]), True)
    for name, version in (run.get("software") or {}).items():
        yield f"{_SOFTWARE}{name}", (version or "", True)


def _commit(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return ""
    changed = " with changes (dirty)" if git.get("dirty") else ""
    return joined(f"{(git.get('commit') or '')[:10]}{changed}", git.get("branch") or "")


def _devices(report: Mapping[str, Any]) -> str:
    names = Counter(device["name"] for device in report["devices"])
    return joined(*(f"{count} × {name}" for name, count in names.items()))


def _tests(report: Mapping[str, Any]) -> str:
    found = Counter(test["outcome"] for test in report["tests"])
    told = [f"{found[outcome]} {outcome}" for outcome in WORST_FIRST if found[outcome]]
    whole = "" if report["run"]["complete"] else "INCOMPLETE"
    return joined(whole, counted(len(report["tests"]), "test"), *told)

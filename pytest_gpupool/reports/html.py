"""The HTML report: one file that needs nothing else, neither network nor script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from ..model import size_text
from .terminal import value_text
from .words import (
    UNFINE,
    WRONG,
    baseline_text,
    change_text,
    completeness,
    counts,
    earlier_run,
    exit_text,
    headline,
    kept_text,
    labels,
    seconds_text,
    visible,
    worst_first,
)

_UNKNOWN = "–"


def render(report: Mapping[str, Any]) -> str:
    """Return the page. Whatever a test is called or says is text in it; what UTF-8 cannot carry is escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        finalize=_carried,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    source = resources.files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).render(_page(report))


def _carried(value: object) -> object:
    # What has __html__ is a part of the template that has been through here.
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _page(report: Mapping[str, Any]) -> dict[str, Any]:
    run, names = report["run"], labels(report)
    told = counts(report)
    return {
        "run": run,
        "started": f"{run['started'][:19].replace('T', ' ')} UTC",
        "counts": told,
        "unfine": UNFINE,
        "fine": run["complete"] and run["exit_status"] == 0 and not any(outcome in UNFINE for outcome, _ in told),
        "exit": exit_text(run),
        "completeness": completeness(report),
        "kept": kept_text(report),
        "facts": [(name, value) for name, value in _facts(report) if value],
        "devices": [_device(device, names) for device in report["devices"]],
        "tests": [_test(test, report, names) for test in worst_first(report["tests"])],
    }


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    run, summary = report["run"], report["summary"]
    yield "Duration", seconds_text(run["duration_s"])
    yield "Makespan", "" if summary["makespan_s"] is None else seconds_text(summary["makespan_s"])
    yield "Speedup", "" if summary["speedup"] is None else f"{summary['speedup']:.2f}"
    yield "Efficiency", "" if summary["efficiency"] is None else f"{summary['efficiency']:.0%}"
    yield "Host", _joined(run["host"]["name"], run["host"]["platform"], _cores(run["host"]["cpu_count"]))
    yield "Directory", run["rootdir"]
    yield "Sources", _sources(run["git"])
    yield "Software", _joined(*(f"{name} {version}" for name, version in run["software"].items() if version))
    yield "Engine", "" if run["engine"] == "local" else run["engine"]
    yield "Seed", "" if run["seed"] is None else str(run["seed"])
    yield "Goes on with run", run["resumed_from"] or ""


def _cores(count: int | None) -> str:
    return "" if count is None else f"{count} CPU cores"


def _sources(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return ""
    return _joined(git["commit"], f"branch {git['branch']}" if git["branch"] else "", "changed" if git["dirty"] else "")


def _device(device: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    size, use, energy = device["memory_total_bytes"], device["utilization_mean"], device["energy_j"]
    return {
        "label": names[device["id"]],
        "id": device["id"],
        "name": device["name"],
        "memory": _UNKNOWN if size is None else size_text(size),
        "tests": device["tests"],
        "busy": seconds_text(device["busy_s"]),
        "utilization": _UNKNOWN if use is None else f"{use:.0f}%",
        "energy": _UNKNOWN if energy is None else f"{energy:.0f} J",
        "quarantined": device["quarantined"],
    }


def _test(test: Mapping[str, Any], report: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "nodeid": test["nodeid"],
        "outcome": test["outcome"],
        "earlier": earlier_run(test, report),
        "worker": test["worker"] or _UNKNOWN,
        "devices": _joined(*(names.get(device, device) for device in test["devices"])) or _UNKNOWN,
        "duration": seconds_text(test["duration_s"]),
        "attempt": test["attempt"],
        "metrics": [_metric(metric) for metric in test["metrics"]],
        "message": test["message"],
        "headline": headline(test["message"] or ""),
    }


def _metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    baseline = baseline_text(metric)
    return {
        "name": metric["name"],
        "value": value_text(dict(metric)),
        "baseline": _joined(f"baseline {baseline}", change_text(metric)) if baseline else "",
        "verdict": metric["verdict"],
        "good": metric["verdict"] in ("ok", "improved"),
        "bad": metric["verdict"] in WRONG,
    }


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)

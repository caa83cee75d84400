"""The plan's words: what a run would be like, as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...values.texts import cut_middle, one_line
from ...values.wide_fixture import split_key
from ..words import counted, seconds_text

_WIDEST = 80
_MOST = 10
_INDENT = 22


def lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines on a plan, a dictionary as ``gpupool plan --json`` prints it."""
    yield f"gpupool: plan of {counted(plan['tests'], 'test')} for {counted(plan['workers'], 'worker')}, {plan['pool']}"
    yield _line("durations", _durations(plan))
    yield _line("expected makespan", _makespan(plan))
    if plan["not_started"]:
        yield _line("not started", f"{counted(plan['not_started'], 'test')} that would end beyond --gpupool-budget")
    if plan["gpu_hours"] is not None:
        yield _line(
            "GPU-hours", f"{plan['gpu_hours']:.2f}, of which tests and set-ups use {plan['busy_gpu_hours']:.2f}"
        )
    yield from map(_line, _first(len(set_ups := list(_set_ups(plan["fixtures"]))), "set-ups"), set_ups)
    if plan["longest"] is not None:
        yield _line("longest pole", _longest(plan["longest"]))
    if plan["kept"] is not None:
        yield _line("resume", _kept(plan["kept"]))
    cannot = [f"{_name(one['nodeid'])} {one['reason']}" for one in plan["impossible"][:_MOST]]
    if len(plan["impossible"]) > _MOST:
        cannot.append(f"and {len(plan['impossible']) - _MOST} more")
    yield from map(_line, _first(len(cannot), "cannot run here"), cannot)
    if plan["target"] is not None:
        yield _line(f"in {seconds_text(plan['target']['target_s'])}", _target(plan))


def misses_target(plan: Mapping[str, Any]) -> bool:
    """Return whether a time was wanted within which the run cannot end."""
    return plan["target"] is not None and plan["target"]["devices"] is None


def against_reality(expected: float, took: float, *, unknown: int) -> str:
    """Return the line on a run that was expected to take so long, in seconds, and what it took."""
    guessed = f" ({counted(unknown, 'test')} of unknown length)" if unknown else ""
    ratio = f", {took / expected:.2f} times the plan" if expected > 0 else ""
    return f"planned {seconds_text(expected)}{guessed}, took {seconds_text(took)}{ratio}"


def _durations(plan: Mapping[str, Any]) -> str:
    told = [f"{plan['known']} known by earlier runs"]
    told += [f"{plan['alike']} by tests like them"] if plan["alike"] else []
    told += [f"{plan['unknown']} not known"] if plan["unknown"] else []
    return ", ".join(told)


def _makespan(plan: Mapping[str, Any]) -> str:
    if plan["makespan_s"] is None:
        return "not known: no earlier run is on record that had such tests"
    text = seconds_text(plan["makespan_s"])
    return f"{text}, if what is not known takes as long as the others" if plan["unknown"] else text


def _set_ups(fixtures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for entry in fixtures:
        by_name.setdefault(split_key(entry["fixture"])[0], []).append(entry)
    costs = {name: sum(entry["setup_s"] or 0.0 for entry in entries) for name, entries in by_name.items()}
    for name in sorted(costs, key=lambda name: -costs[name])[:_MOST]:
        if costs[name] > 0:
            yield f"{_name(name)} {counted(sum(entry['built'] for entry in by_name[name]), 'time')}, " + seconds_text(
                costs[name]
            )


def _longest(pole: Mapping[str, Any]) -> str:
    set_up = f" and {seconds_text(pole['setup_s'])} of set-up" if pole["setup_s"] > 0 else ""
    return f"{_name(pole['nodeid'])}: {seconds_text(pole['duration_s'])}{set_up}"


def _kept(kept: Mapping[str, Any]) -> str:
    results = f"{kept['tests']} of {counted(kept['of'], 'result')}"
    if kept["resumed"]:
        return f"{results} of run {kept['run']} are kept, and not in this plan"
    return f"--gpupool-resume={kept['run']} would keep {results}"


def _target(plan: Mapping[str, Any]) -> str:
    target = plan["target"]
    if plan["makespan_s"] is None:
        return "nobody can say: nothing is known of these tests; run them once"
    if target["devices"] is None:
        pole = plan["longest"]
        return f"with no number of devices: {_name(pole['nodeid'])} takes {seconds_text(_whole(pole))} by itself"
    noun = "device" if plan["gpu_hours"] is not None else "CPU slot"
    count = target["shards"] or 1
    shards = f", or {count} shards of {counted(plan['workers'], 'worker')}" if count > 1 else ""
    return f"{counted(target['devices'], noun)}{shards}"


def _whole(pole: Mapping[str, Any]) -> float:
    return float(pole["duration_s"] + pole["setup_s"])


def _first(count: int, label: str) -> list[str]:
    return [label, *[""] * (count - 1)] if count else []


def _line(label: str, text: str) -> str:
    return f"  {label:<{_INDENT}}{one_line(text)}"


def _name(nodeid: str) -> str:
    return cut_middle(nodeid, _WIDEST)

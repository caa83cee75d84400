"""Suites whose tests share what takes long to set up."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from support import Host, Run

SUITE = """
    import os, time
    import pytest

    @pytest.fixture(scope="session", params=["m0", "m1", "m2", "m3"])
    def model(request):
        with open("loads", "a") as log:
            log.write(f"{{request.param}} {{os.environ['PYTEST_XDIST_WORKER']}}\\n")
        time.sleep({load})
        return request.param

    @pytest.mark.parametrize("task", range(6))
    def test_task(model, task, record_metric):
        {body}
        record_metric("score", task + int(model[1:]))
"""


def write(host: Host, load: float = 0.5, body: str = "time.sleep(0.05)") -> None:
    host.write("test_it.py", SUITE.format(load=load, body=body))


def loads(host: Host) -> list[tuple[str, str]]:
    """Which models were set up by which worker since this was asked last."""
    path = host.project / "loads"
    lines = path.read_text().splitlines()
    path.unlink()
    return [(model, worker) for model, worker in map(str.split, lines)]


def know(host: Host, seconds: float, load: float) -> None:
    """Earlier runs have measured this of every test and model."""

    def measured(value: float) -> dict[str, Any]:
        return {"CPU": {"seconds": [value], "peak": [], "used": "2026-11-21"}}

    tests = {f"test_it.py::test_task[m{model}-{task}]": measured(seconds) for model in range(4) for task in range(6)}
    fixtures = {f"test_it.py::model[m{model}]": measured(load) for model in range(4)}
    content = {"format": "gpupool-durations", "version": 2, "tests": tests, "fixtures": fixtures}
    path = host.project / ".gpupool" / "durations.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def scores(run: Run) -> dict[str, Any]:
    return {name: run.metrics(name)["score"] for name in run.tests}


EXPECTED = {f"test_task[m{model}-{task}]": task + model for model in range(4) for task in range(6)}


@pytest.mark.parametrize("known", [False, True], ids=["first-run", "with-history"])
def test_each_model_is_set_up_once_where_others_have_enough_to_do(cpu_host: Host, known: bool) -> None:
    """Two workers share four models; who ends first helps with the last one at most."""
    write(cpu_host)
    if known:
        know(cpu_host, seconds=0.05, load=0.5)
    run = cpu_host.pytest("-n2", "--gpupool-devices=cpu")
    assert (run.status, scores(run)) == (0, EXPECTED)
    built = Counter(model for model, _ in loads(cpu_host))
    assert sorted(built) == ["m0", "m1", "m2", "m3"]
    assert built.total() <= 5
    assert {entry["fixture"]: entry["built"] for entry in run.report["fixtures"]} == {
        f"test_it.py::model[{model}]": times for model, times in built.items()
    }


def test_the_second_run_sets_up_no_more_than_the_first(cpu_host: Host) -> None:
    """What the first has measured does not break up what belongs together."""
    write(cpu_host, body="time.sleep([0.01, 0.2, 0.05, 0.1, 0.02, 0.15][task])")
    for _ in range(3):
        assert cpu_host.pytest("-n2", "--gpupool-devices=cpu").status == 0
        assert len(loads(cpu_host)) <= 5


def test_a_worker_that_is_late_is_helped(cpu_host: Host) -> None:
    """Its test waits for what another one does, which nobody has time for by the plan."""
    waits = "(model, task) == ('m0', 0) and not os.path.exists('m0-1')"
    body = f"[time.sleep(0.02) for _ in iter(lambda: {waits}, False)]; open(f'{{model}}-{{task}}', 'w').close()"
    write(cpu_host, load=0.3, body=body)
    know(cpu_host, seconds=0.01, load=5.0)
    run = cpu_host.pytest("-n2", "--gpupool-devices=cpu", "--gpupool-order=longest")
    assert (run.status, scores(run)) == (0, EXPECTED)


def test_a_crash_in_a_family_costs_that_test(cpu_host: Host) -> None:
    """The worker in its place goes on with it, or another one does."""
    write(cpu_host, body="os._exit(1) if (model, task) == ('m1', 2) else time.sleep(0.05)")
    know(cpu_host, seconds=0.05, load=0.5)
    run = cpu_host.pytest("-n2", "--gpupool-devices=cpu")
    assert run.status == 1
    assert Counter(run.outcomes.values()) == {"passed": 23, "crashed": 1}
    assert len(loads(cpu_host)) <= 7


def test_a_set_up_that_fails_on_one_worker_is_no_others_loss(cpu_host: Host) -> None:
    """Each test that needs it there is an error; all others have their results."""
    suite = SUITE.format(load=0.2, body="time.sleep(0.02)")
    broken = suite.replace("time.sleep(0.2)", "assert request.param != 'm2', 'no weights'; time.sleep(0.2)")
    cpu_host.write("test_it.py", broken)
    run = cpu_host.pytest("-n2", "--gpupool-devices=cpu")
    assert run.status == 1
    assert Counter(run.outcomes.values()) == {"passed": 18, "error": 6}


def test_groups_of_xdist_stay_together(cpu_host: Host) -> None:
    """``--dist loadgroup``: a group is one unit, whatever it shares."""
    marked = '[pytest.param(n, marks=pytest.mark.xdist_group(f"g{n % 2}")) for n in range(6)]'
    suite = SUITE.format(load=0.1, body="pass").replace("range(6)", marked)
    cpu_host.write("test_it.py", suite)
    run = cpu_host.pytest("-n2", "--gpupool-devices=cpu", "--dist=loadgroup")
    assert (run.status, scores(run)) == (0, EXPECTED)
    by_group: dict[int, set[str]] = {}
    for name, test in run.tests.items():
        by_group.setdefault(int(name[-2]) % 2, set()).add(test["worker"])
    assert all(len(workers) == 1 for workers in by_group.values())


def test_a_resumed_run_keeps_to_its_families(cpu_host: Host) -> None:
    """What is left of them is all that counts."""
    write(cpu_host, body="os._exit(1) if os.environ.get('BREAK') and (model, task) == ('m2', 1) else time.sleep(0.02)")
    environ = cpu_host.environ(BREAK="1")
    run = cpu_host.pytest("-n2", "--gpupool-devices=cpu", "-x", environ=environ)
    loads(cpu_host)
    left = {name for name, outcome in run.outcomes.items() if outcome in ("crashed", "not-run")}
    again = cpu_host.pytest("-n2", "--gpupool-devices=cpu", "--gpupool-resume")
    assert (again.status, scores(again)) == (0, EXPECTED)
    models = {name[len("test_task[") :][:2] for name in left}
    assert {model for model, _ in loads(cpu_host)} == models

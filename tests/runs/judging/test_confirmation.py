"""What seems to be worse is measured again before that is decided, and nobody counts it twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from made_projects import Projects
from program import gpupool
from support import Host

FILE = "--gpupool-baseline=baseline.json"
UPDATE = "--gpupool-update-baseline"

# How often each test was measured is the length of a file of its name: so each attempt draws its own noise.
SUITE = """
    import os, pathlib, random, signal
    import pytest

    WORSE, ONCE = float(os.environ.get("WORSE", 0)), float(os.environ.get("ONCE", 0))
    KILL, CRASH = os.environ.get("KILL"), os.environ.get("CRASH")

    @pytest.fixture
    def attempt(request):
        path = pathlib.Path(f"attempts-{request.node.name}")
        with path.open("a") as file:
            file.write("x")
        return len(path.read_text())

    @pytest.fixture
    def draw(request, attempt):
        return random.Random(f"{os.environ.get('SEED', '0')} {request.node.name} {attempt}")

    def worse(attempt):
        return 1 + WORSE + (ONCE if attempt == 1 else 0)

    def test_items(record_metric, draw, attempt):
        kept = 900 - 800 * (worse(attempt) - 1)
        answers = {f"q{n}": (n < kept) != (draw.random() < 0.02) for n in range(1000)}
        record_metric("accuracy", sum(answers.values()) / 1000, higher_is_better=True, samples=answers)

    def test_time(record_metric, draw, attempt):
        record_metric("latency", worse(attempt) * draw.uniform(0.98, 1.02), unit="s", higher_is_better=False)
        if attempt == 2 and KILL:
            os.kill(os.getpid(), signal.SIGKILL)

    def test_score(record_metric, attempt):
        record_metric("score", 7.0 / worse(attempt), higher_is_better=True)
        if attempt == 2 and CRASH:
            os._exit(3)

    def test_none(): pass
"""


def forget(host: Host) -> None:
    """Each test's next attempt is its first."""
    for path in host.project.glob("attempts-*"):
        path.unlink()


def measured(host: Host) -> dict[str, int]:
    """How often each test ran since."""
    return {path.name.removeprefix("attempts-"): path.stat().st_size for path in host.project.glob("attempts-*")}


def accept(host: Host) -> None:
    """Have six runs of the suite accepted."""
    host.write("test_suite.py", SUITE)
    for number in range(6):
        options = [UPDATE] if number == 0 else ["--gpupool-fail-on=none", "--gpupool-confirm=0"]
        host.pytest(FILE, *options, environ=host.environ(SEED=str(number)))
        if number:
            gpupool(host, "baseline", "update", "baseline.json", "--unchanged")
        forget(host)


@pytest.fixture
def accepted(cpu_host: Host, projects: Projects) -> Host:
    """A host whose suite has a baseline of six runs."""
    return projects.put(cpu_host, "confirmed", accept)


def metric(report: dict[str, Any], test: str) -> dict[str, Any]:
    """The one metric of a test."""
    (found,) = next(one["metrics"] for one in report["tests"] if one["nodeid"].endswith(f"::{test}"))
    return dict(found)


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "n2"])
def test_what_is_worse_indeed(accepted: Host, args: list[str]) -> None:
    """It fails once, by all that was measured; the reports have each attempt, and so has a report of the record."""
    run = accepted.pytest(FILE, *args, environ=accepted.environ(SEED="9", WORSE="0.2"))
    assert run.status == 1
    assert "3 failed, 1 passed" in run.stdout
    assert "accuracy of test_suite.py::test_items is suspect: it is measured again" in run.stdout
    assert Counter(run.junit_outcomes.values()) == {"failure": 3, "passed": 1}
    times = measured(accepted)
    for name in ("test_items", "test_time"):
        test = run.tests[name]
        (found,) = test["metrics"]
        values = [attempt["metrics"][0]["value"] for attempt in test["attempts"]]
        assert len(values) == times[name] >= 2
        assert [attempt.get("confirms", False) for attempt in test["attempts"]] == [False] + [True] * (len(values) - 1)
        assert [attempt["attempt"] for attempt in test["attempts"]] == [*range(1, len(values) + 1)]
        assert {attempt["outcome"] for attempt in test["attempts"]} == {"passed"}  # until all were judged together
        assert (found["attempts"], found["single"]) == (values, values[0])
        assert found["value"] == pytest.approx(sum(values) / len(values))
        assert f"mean of {len(values)} attempts" in test["message"]
    again = sum(times.values()) - 3
    assert f"3 suspect metrics of 3 tests measured again, {again} times, " in run.stdout
    assert "in all: 3 regressed" in run.stdout
    assert gpupool(accepted, "report", "latest", "--json", "again.json")[0] == 0
    assert json.loads((accepted.project / "again.json").read_text())["tests"] == run.report["tests"]
    status, out, _ = gpupool(accepted, "compare", "baseline.json", "latest", "--format=json")
    pairs = {pair["metric"]: pair for pair in json.loads(out)["metrics"]}
    assert status == 1
    for test in run.report["tests"]:
        for found in test["metrics"]:
            told = (found["verdict"], found["p"], found["interval"], found["value"])
            pair = pairs[found["name"]]
            assert (pair["verdict"], pair["p_value"], pair["interval"], pair["new"]) == told


def test_what_is_the_same_each_time(accepted: Host) -> None:
    """It is measured once more, and no more: nothing is left to find. The tolerance alone decides."""
    run = accepted.pytest(FILE, environ=accepted.environ(WORSE="0.2"))
    assert measured(accepted)["test_score"] == 2
    found = metric(run.report, "test_score")
    assert (found["verdict"], found["p"], found["note"]) == ("regressed", None, "bit-identical each time")


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "n2"])
def test_what_happened_once(accepted: Host, args: list[str]) -> None:
    """Measured again it is as ever, and the run is green."""
    run = accepted.pytest(FILE, *args, environ=accepted.environ(SEED="9", ONCE="0.5"))
    assert run.status == 0, run.output
    assert "4 passed" in run.stdout
    assert set(measured(accepted).values()) <= {2, 3, 4, 5}
    assert {metric(run.report, name)["verdict"] for name in ("test_items", "test_time", "test_score")} == {"ok"}
    assert "not seen again when it was measured again" in metric(run.report, "test_score")["note"]
    assert "in all: 0 regressed" in run.stdout


def test_it_can_be_had_for_nothing(accepted: Host) -> None:
    """With 0, and without a baseline, each test runs once."""
    run = accepted.pytest(FILE, "--gpupool-confirm=0", environ=accepted.environ(WORSE="0.2"))
    assert run.status == 1
    assert set(measured(accepted).values()) == {1}
    forget(accepted)
    assert accepted.pytest("-n2", environ=accepted.environ(WORSE="0.2")).status == 0
    assert set(measured(accepted).values()) == {1}
    wrong = accepted.pytest("--gpupool-confirm=-1")
    assert (wrong.status, "--gpupool-confirm=-1: give a whole number from 0" in wrong.stderr) == (4, True)


def test_a_run_that_was_killed_meanwhile(accepted: Host) -> None:
    """What is suspect yet is measured anew by the run that goes on with it; the record is judged as it is."""
    accepted.pytest(FILE, environ=accepted.environ(SEED="9", WORSE="0.2", KILL="1"))
    assert gpupool(accepted, "report", "latest", "--json", "killed.json")[0] == 0
    killed = json.loads((accepted.project / "killed.json").read_text())
    assert [metric(killed, name)["verdict"] for name in ("test_items", "test_time")] == ["regressed", "regressed"]
    forget(accepted)
    run = accepted.pytest(FILE, "--gpupool-resume", environ=accepted.environ(SEED="9", WORSE="0.2"))
    assert run.status == 1
    assert "test_items" not in measured(accepted)
    assert measured(accepted)["test_time"] >= 2
    assert len(run.tests["test_items"]["attempts"]) >= 2
    assert {metric(run.report, name)["verdict"] for name in ("test_items", "test_time")} == {"regressed"}


def test_a_worker_that_dies_of_it(accepted: Host) -> None:
    """The test has crashed, whatever it had found before."""
    run = accepted.pytest(FILE, "-n2", environ=accepted.environ(SEED="9", WORSE="0.2", CRASH="1"))
    assert run.status == 1
    assert run.outcomes["test_score"] == "crashed"
    assert run.outcomes["test_items"] == "failed"


@pytest.mark.parametrize("args", [[], ["-n1"]], ids=["plain", "n1"])
def test_it_is_no_failure_that_ends_a_run(accepted: Host, args: list[str]) -> None:
    """With ``-x`` what is suspect stops nothing; after a failure nothing is measured again."""
    accepted.pytest(FILE, "-x", "-v", *args, environ=accepted.environ(SEED="9", WORSE="0.2"))
    assert set(measured(accepted)) == {"test_items", "test_time", "test_score"}


def test_reruns_are_attempts_as_well(cpu_host: Host) -> None:
    """A test that is rerun until its assertion holds is judged by all that it has measured."""
    cpu_host.write(
        "test_flaky.py",
        """
        import os, pathlib

        def test_flaky(record_metric):
            path = pathlib.Path("attempts")
            values = [float(one) for one in os.environ["VALUES"].split()]
            number = path.stat().st_size if path.exists() else 0
            with path.open("a") as file:
                file.write("x")
            record_metric("score", values[number], higher_is_better=True)
            assert values[number] > 0.8
        """,
    )
    options = [FILE, "--reruns=3", "--gpupool-confirm=0"]
    cpu_host.pytest(*options, UPDATE, companions=["rerunfailures"], environ=cpu_host.environ(VALUES="0.9"))
    (cpu_host.project / "attempts").unlink()
    environ = cpu_host.environ(VALUES="0.1 0.2 0.9")
    run = cpu_host.pytest(*options, companions=["rerunfailures"], environ=environ)
    found = metric(run.report, "test_flaky")
    assert found["attempts"] == [0.1, 0.2, 0.9]
    assert (found["value"], found["verdict"], run.status) == (pytest.approx(0.4), "regressed", 1)

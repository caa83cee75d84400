"""A run is judged as a whole, when it is over: by chance over all its metrics, and the same wherever it is asked."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from made_projects import Projects
from program import gpupool
from support import Host

FILE = "--gpupool-baseline=baseline.json"
UPDATE = "--gpupool-update-baseline"

# Ten tests of ten accuracies each, of 1319 items that are others in every attempt, whichever run it is of. How often a
# test was tried in a run is the length of a file.
NOISY = """
    import os, pathlib, random
    import pytest

    DROP = float(os.environ.get("DROP", 0))

    @pytest.mark.parametrize("model", range(10))
    def test_model(model, record_metric):
        tries = pathlib.Path(f"tries-{os.environ['SEED']}-{model}")
        with tries.open("a") as file:
            file.write("x")
        draw = random.Random(f"{os.environ['SEED']} {model} {tries.stat().st_size}")
        for task in range(10):
            chance = 0.8 - DROP * (model == task == 3)
            right = sum(draw.random() < chance for _ in range(1319))
            record_metric(f"accuracy {task}", right / 1319, higher_is_better=True, n=1319)
"""

SUITE = """
    import os, random
    WORSE = float(os.environ.get("WORSE", 0))
    draw = random.Random(os.environ.get("SEED", "0"))

    def test_items(record_metric):
        answers = {f"q{n}": n % 3 > 0 and n >= 100 * WORSE for n in range(300)}
        record_metric("accuracy", sum(answers.values()) / 300, higher_is_better=True, samples=answers)

    def test_time(record_metric):
        record_metric("latency", (1 + WORSE) * draw.uniform(0.97, 1.03), unit="s", higher_is_better=False)

    def test_score(record_metric):
        record_metric("score", 7.0 - WORSE)

    def test_none(): pass
"""


def verdicts(report: dict[str, Any]) -> dict[str, str | None]:
    """The verdicts of a report by metric."""
    return {metric["name"]: metric["verdict"] for test in report["tests"] for metric in test["metrics"]}


def accepted(host: Host, runs: int = 1) -> None:
    """Have so many runs of a suite accepted."""
    run = host.pytest(FILE, UPDATE, environ=host.environ(SEED="0"))
    assert run.status == 0, run.output
    for number in range(1, runs):
        host.pytest(FILE, "--gpupool-fail-on=none", environ=host.environ(SEED=str(number)))
        assert gpupool(host, "baseline", "update", "baseline.json", "--unchanged")[0] == 0


@pytest.fixture
def six_runs(cpu_host: Host, projects: Projects) -> Host:
    """A host whose suite has a baseline of six runs."""

    def make(host: Host) -> None:
        host.write("test_suite.py", SUITE)
        accepted(host, 6)

    return projects.put(cpu_host, "six-runs", make)


def test_an_unchanged_suite_of_100_metrics_is_green(cpu_host: Host, request: pytest.FixtureRequest) -> None:
    """However often it is run; judged one by one, at 5 %, hardly any would be. A metric that falls is found."""
    cpu_host.write("test_noisy.py", NOISY)
    accepted(cpu_host)
    count = 20 if request.config.getoption("long") else 8
    runs = [cpu_host.pytest(FILE, environ=cpu_host.environ(SEED=str(seed))) for seed in range(1, count + 1)]
    assert sorted(run.status for run in runs)[: count - 1] == [0] * (count - 1)
    again = [test["attempts"] for run in runs for test in run.report["tests"] if test["attempts"]]
    values = [[attempt["metrics"][0]["value"] for attempt in attempts] for attempts in again]
    assert len(again) > count  # what chance marks is measured again,
    assert not [one for one in values if len(set(one)) < 2]  # and is another value each time
    run = cpu_host.pytest(FILE, environ=cpu_host.environ(SEED="a drop", DROP="0.12"))
    assert run.status == 1
    assert [name for name, outcome in run.outcomes.items() if outcome == "failed"] == ["test_model[3]"]
    seen = r"80% sure to see a drop of \d(\.\d)? points; with this suite's error rate \d(\.\d)?"
    line = rf"accuracy 3 0\.\d+ regressed: baseline .* p [\d.e-]+, n 1319, {seen}, mean of \d attempts.*"
    assert re.fullmatch(line, run.tests["test_model[3]"]["message"])


def test_a_drop_of_3_points_is_found(cpu_host: Host, request: pytest.FixtureRequest) -> None:
    """Beside 20 accepted runs, in most runs, and nothing else is: as benchmarks/calibration.py has it."""
    if not request.config.getoption("long"):
        pytest.skip("a long test: --long")
    cpu_host.write("test_noisy.py", NOISY)
    accepted(cpu_host, 20)
    failed = []
    for seed in range(100, 110):
        run = cpu_host.pytest(FILE, environ=cpu_host.environ(SEED=str(seed), DROP="0.03"))
        failed.append([name for name, outcome in run.outcomes.items() if outcome == "failed"])
    assert failed.count(["test_model[3]"]) >= 6
    assert sum(names != ["test_model[3]"] for names in failed if names) <= 1


@pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "n2"])
def test_what_pytest_says_agrees(six_runs: Host, args: list[str]) -> None:
    """Its counts, its status, its JUnit file, and what it runs first the next time."""
    run = six_runs.pytest(FILE, "-pcacheprovider", *args, environ=six_runs.environ(WORSE="1"))
    names = {"test_items", "test_time", "test_score"}
    assert run.status == 1
    assert "3 failed, 1 passed" in run.stdout
    assert {name for name, outcome in run.outcomes.items() if outcome == "failed"} == names
    assert {name for name, outcome in run.junit_outcomes.items() if outcome == "failure"} == names
    assert run.stdout.count("\nFAILED ") == 3
    assert verdicts(run.report) == dict.fromkeys(["accuracy", "latency", "score"], "regressed")
    again = six_runs.pytest("-pcacheprovider", "--lf", *args)
    assert set(again.outcomes) == names


def test_a_run_knows_what_its_cohort_knows(cpu_host: Host) -> None:
    """At first the tolerance alone decides on a time; then what is usual is no change. What is reviewed stays."""
    cpu_host.write("test_suite.py", SUITE)
    accepted(cpu_host)
    before = (cpu_host.project / "baseline.json").read_text()
    once = ("--gpupool-confirm=0", "--gpupool-fail-on=none")
    one = cpu_host.pytest(FILE, *once, environ=cpu_host.environ(SEED="3"))
    (latency,) = one.tests["test_time"]["metrics"]
    told = [latency[key] for key in ("kind", "verdict", "cohort", "p", "note")]
    assert told == ["time", "regressed", 1, None, "noise unknown"]
    accepted(cpu_host, 8)
    many = cpu_host.pytest(FILE, environ=cpu_host.environ(SEED="3"))
    (latency,) = many.tests["test_time"]["metrics"]
    assert (many.status, latency["verdict"], latency["cohort"]) == (0, "ok", 9)
    low, high = latency["interval"]
    assert low < latency["change"] < high
    assert (cpu_host.project / "baseline.json").read_text() == before
    assert cpu_host.pytest(FILE, environ=cpu_host.environ(SEED="3", WORSE="0.5")).outcomes["test_time"] == "failed"


def test_what_is_of_one_commit_is_noise(cpu_host: Host) -> None:
    """A run of the commit that the baseline is of joins it, whatever it found; after a change it does not."""
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.write(".gitignore", "*")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(cpu_host.project)]
    for command in (["init", "-q"], ["add", "-f", "test_suite.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    accepted(cpu_host)
    cpu_host.pytest(FILE, environ=cpu_host.environ(SEED="3"))
    assert "0 entries written, 3 unchanged" in gpupool(cpu_host, "baseline", "update", "baseline.json")[1]
    cpu_host.write("test_suite.py", SUITE + "\n    # changed\n")
    cpu_host.pytest(FILE, environ=cpu_host.environ(SEED="8", WORSE="0.5"))
    assert "3 left out" in gpupool(cpu_host, "baseline", "update", "baseline.json")[1]


def test_a_run_that_was_killed_is_judged_by_its_record(six_runs: Host) -> None:
    """By the baseline as it was at the start, and the run's own rules; so is one whose last word is lost."""
    six_runs.write("test_zz_last.py", "import os, signal\ndef test_kills(): os.kill(os.getpid(), signal.SIGKILL)\n")
    options = [FILE, "--gpupool-error=0.2", "--gpupool-fail-on=regressed"]
    six_runs.pytest(*options, environ=six_runs.environ(WORSE="1"))
    (six_runs.project / "baseline.json").unlink()
    status, _, err = gpupool(six_runs, "report", "latest", "--json", "killed.json")
    assert (status, err) == (0, "")
    killed = json.loads((six_runs.project / "killed.json").read_text())
    assert verdicts(killed) == dict.fromkeys(["accuracy", "latency", "score"], "regressed")
    assert {test["nodeid"]: test["outcome"] for test in killed["tests"]} == {
        "test_suite.py::test_items": "failed",
        "test_suite.py::test_time": "failed",
        "test_suite.py::test_score": "failed",
        "test_suite.py::test_none": "passed",
        "test_zz_last.py::test_kills": "not-run",
    }


def test_a_report_of_the_record_and_a_comparison_say_the_same(six_runs: Host) -> None:
    """As the run itself, in each number."""
    for worse in ("0", "0.4"):
        run = six_runs.pytest(FILE, "-n2", environ=six_runs.environ(WORSE=worse, SEED="9"))
        assert gpupool(six_runs, "report", "latest", "--json", "again.json")[0] == 0
        again = json.loads((six_runs.project / "again.json").read_text())
        assert again["tests"] == run.report["tests"]
        status, out, _ = gpupool(six_runs, "compare", "baseline.json", "latest", "--format=json")
        pairs = {pair["metric"]: pair for pair in json.loads(out)["metrics"]}
        assert status == run.status
        for test in run.report["tests"]:
            for metric in test["metrics"]:
                pair = pairs[metric["name"]]
                told = (metric["verdict"], metric["p"], metric["interval"], metric["baseline"], metric["cohort"])
                assert (pair["verdict"], pair["p_value"], pair["interval"], pair["old"], pair["cohort"]) == told


def test_every_worker_may_run_every_test(cpu_host: Host) -> None:
    """``--dist each``: each result is judged, and each that is bad fails."""
    cpu_host.write("test_suite.py", SUITE)
    accepted(cpu_host)
    run = cpu_host.pytest(FILE, "-n2", "--dist=each", environ=cpu_host.environ(WORSE="1"))
    assert run.status == 1
    assert "6 failed, 2 passed" in run.stdout
    assert len([test for test in run.report["tests"] if test["outcome"] == "failed"]) == 6


@pytest.mark.long
def test_branches_that_add_runs_merge(cpu_host: Host) -> None:
    """Each adds files of its own, so that git has nothing to ask; and all of them count."""
    cpu_host.write("test_suite.py", SUITE)
    cpu_host.write(".gitignore", "*.xml\nreport.json\n__pycache__\n.pytest_cache\n")

    def git(*args: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(cpu_host.project), *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init", "-qb", "main")
    accepted(cpu_host)
    git("add", ".")
    git("commit", "-qm", "first")
    for branch in ("one", "two"):
        git("switch", "-qc", branch, "main")
        accepted(cpu_host, 2)
        git("add", ".")
        git("commit", "-qm", branch)
    git("switch", "-q", "main")
    git("merge", "-q", "one")
    git("merge", "-q", "two", "-m", "both")
    run = cpu_host.pytest(FILE)
    assert {test["metrics"][0]["cohort"] for test in run.report["tests"] if test["metrics"]} >= {5}


@pytest.mark.parametrize("value", ["0", "1", "1%", "-0.1", "nan", ""])
def test_an_error_that_is_no_probability(cpu_host: Host, value: str) -> None:
    """The message says what it may be."""
    run = cpu_host.pytest(f"--gpupool-error={value}")
    assert run.status == 4
    assert "a number above 0 and below 1, such as 0.01" in run.stderr

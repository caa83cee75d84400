"""What a run leaves: the JSON report, JUnit properties, and what the terminal shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from program import gpupool
from support import SCHEMA, Host, Running

SUITE = """
    import enum, math, time
    import pytest

    class Grade(enum.IntEnum):
        GOOD = 2

    @pytest.mark.parametrize(("model", "shots"), [("small", 1), ("large", 5)])
    def test_accuracy(model, shots, record_metric):
        time.sleep(0.05)
        record_metric("accuracy", 0.5 + shots / 16, higher_is_better=True, n=64, rtol=0.05)
        record_metric("speed", shots * 1000, unit="tokens/s", higher_is_better=True, atol=10)

    def test_kinds(record_metric):
        record_metric("bool", True)
        record_metric("enum", Grade.GOOD)
        record_metric("samples", 0.5, samples=[0, 1, 1, 0])

    def test_diverged(record_metric):
        record_metric("loss", math.nan)
        record_metric("gain", -math.inf, unit="dB")

    def test_fails(record_metric):
        record_metric("before", 1)
        assert 1 == 2, "two is not one"

    @pytest.fixture
    def broken(): raise ValueError("no set-up")

    def test_error(broken): pass

    @pytest.fixture
    def unending():
        yield
        raise ValueError("no tear-down")

    def test_teardown_error(unending): pass

    def test_skipped(): pytest.skip("not today")

    @pytest.mark.xfail(reason="known")
    def test_xfailed(): assert False

    @pytest.mark.xfail(reason="known")
    def test_xpassed(): pass
"""

OUTCOMES = {
    "test_accuracy[small-1]": "passed",
    "test_accuracy[large-5]": "passed",
    "test_kinds": "passed",
    "test_diverged": "failed",
    "test_fails": "failed",
    "test_error": "error",
    "test_teardown_error": "error",
    "test_skipped": "skipped",
    "test_xfailed": "xfailed",
    "test_xpassed": "xpassed",
}

with_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])


@with_workers
def test_the_json_report_has_every_test(host: Host, workers: tuple[str, ...]) -> None:
    """Outcome, parameters, device, worker, phases and message of each test; the summary counts them."""
    host.write("test_suite.py", SUITE)
    run = host.pytest(*workers)
    assert run.status == 1
    assert run.outcomes == OUTCOMES
    report = run.report
    assert {key: report["run"][key] for key in ("complete", "collected", "finished", "exit_status", "engine")} == {
        "complete": True, "collected": 10, "finished": 10, "exit_status": 1, "engine": "local",
    }  # fmt: skip
    assert report["run"]["software"]["driver"] == "570.86.15"
    assert report["summary"] | {"passed": 3, "failed": 2, "error": 2, "not-run": 0} == report["summary"]
    ids = [gpu.uuid for gpu in host.driver.gpus]  # type: ignore[union-attr]
    assert [device["id"] for device in report["devices"]] == ids
    assert sum(device["tests"] for device in report["devices"]) == 10
    small = run.tests["test_accuracy[small-1]"]
    assert small["params"] == {"model": "small", "shots": 1}
    assert small["devices"][0] in ids
    assert small["worker"] in [worker["id"] for worker in report["workers"]]
    assert small["phases"]["call_s"] >= 0.05
    assert small["duration_s"] == pytest.approx(sum(small["phases"].values()))
    assert "two is not one" in run.tests["test_fails"]["message"]
    assert "no tear-down" in run.tests["test_teardown_error"]["message"]
    assert run.tests["test_skipped"]["message"] == "Skipped: not today"
    assert set(small["resources"].values()) == {None}


@with_workers
def test_metrics_are_kept_as_they_were_recorded(host: Host, workers: tuple[str, ...]) -> None:
    """Value, unit, direction, n and tolerances; NaN and infinity as null with their name, and invalid."""
    host.write("test_suite.py", SUITE)
    run = host.pytest(*workers)
    accuracy, speed = run.tests["test_accuracy[large-5]"]["metrics"]
    assert accuracy == {
        "name": "accuracy", "value": 0.8125, "kind": "proportion", "unit": "", "higher_is_better": True, "n": 64,
        "atol": None, "rtol": 0.05, "baseline": None, "change": None, "interval": None, "p": None, "cohort": None,
        "verdict": None,
    }  # fmt: skip
    assert (speed["value"], speed["unit"], speed["atol"]) == (5000, "tokens/s", 10)
    kinds = {metric["name"]: (metric["value"], metric["n"]) for metric in run.tests["test_kinds"]["metrics"]}
    assert kinds == {"bool": (1, None), "enum": (2, None), "samples": (0.5, 4)}
    diverged = {m["name"]: (m["value"], m["non_finite"], m["verdict"]) for m in run.tests["test_diverged"]["metrics"]}
    assert diverged == {"loss": (None, "nan", "invalid"), "gain": (None, "-inf", "invalid")}
    assert run.tests["test_diverged"]["message"].splitlines() == [
        "loss nan is invalid: it is not finite",
        "gain -inf dB is invalid: it is not finite",
    ]
    assert run.report["summary"]["metrics"]["invalid"] == 2


@with_workers
def test_junit_has_metrics_device_and_worker(host: Host, workers: tuple[str, ...]) -> None:
    """One property per metric, the device and the worker, in pytest's own JUnit file."""
    host.write("test_suite.py", SUITE)
    run = host.pytest(*workers)
    assert set(run.junit) == set(OUTCOMES)
    small = run.junit["test_accuracy[small-1]"]
    assert small["gpupool.metric.accuracy"] == "0.5625"
    assert small["gpupool.metric.speed"] == "1000"
    assert small["gpupool.device"] == run.tests["test_accuracy[small-1]"]["devices"][0]
    assert small["gpupool.worker"] == run.tests["test_accuracy[small-1]"]["worker"]
    assert run.junit["test_diverged"]["gpupool.metric.loss"] == "nan"


def test_the_terminal_shows_the_worst_first(host: Host) -> None:
    """Invalid metrics, then those of failed tests, then the others; then makespan, speedup and efficiency."""
    host.write("test_suite.py", SUITE)
    lines = host.pytest("-n2").stdout.splitlines()
    assert "gpupool: 4 GPUs (Stand-in GPU), 2 workers, one device each, CUDA_VISIBLE_DEVICES by index" in lines
    title = next(number for number, line in enumerate(lines) if "gpupool: 10 metrics, 2 invalid" in line)
    table = [line.split()[:4] for line in lines[title + 1 : title + 11]]
    assert table[0] == ["test_diverged", "loss", "nan", "INVALID"]
    assert table[1] == ["test_diverged", "gain", "-inf", "dB"]
    assert table[2][:3] == ["test_fails", "before", "1"]
    assert table[3][:3] == ["test_accuracy[small-1]", "accuracy", "0.5625"]
    assert table[4][:4] == ["test_accuracy[small-1]", "speed", "1000", "tokens/s"]
    assert lines[title + 11].startswith("gpupool: makespan ")
    # The second worker may come when the first has done all.
    assert re.search(r" on (2 devices|1 device): speedup [\d.]+, efficiency \d+%$", lines[title + 11])


def test_the_table_is_capped_unless_verbose(cpu_host: Host) -> None:
    """Twenty rows and how many more there are; all of them with -v."""
    cpu_host.write("test_suite.py", "def test_it(record_metric):\n    for n in range(25): record_metric(f'm{n}', n)\n")
    brief, full = cpu_host.pytest().stdout, cpu_host.pytest("-v").stdout
    assert "m19" in brief
    assert "m20" not in brief
    assert "… and 5 more (-v shows all)" in brief
    assert "m24" in full
    assert "more (-v" not in full


MANY = """
    import pytest
    from pathlib import Path

    WORSE = Path("worse").exists()

    @pytest.mark.parametrize("task", range(18))
    @pytest.mark.parametrize("model", ["small", "large"])
    def test_eval(model, task, record_metric):
        loss = task + (model == "large") / 2 + WORSE * (task == 3) * (model == "small")
        record_metric("loss", loss, unit="nats", higher_is_better=False)

    def test_alone(record_metric): record_metric("speed", 5, unit="tokens/s")
"""


@with_workers
def test_many_metrics_are_a_table_of_each_function(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Those that regressed have rows of their own before it, as do those of functions with one test; with -v all."""
    cpu_host.write("test_suite.py", MANY)
    options, narrow = (*workers, "--gpupool-baseline=b.json"), cpu_host.environ(COLUMNS="80")
    run = cpu_host.pytest(*options, "--gpupool-update-baseline", environ=narrow)
    assert run.status == 0, run.output
    lines = [line.rstrip() for line in run.stdout.splitlines()]
    title = next(number for number, line in enumerate(lines) if "gpupool: 37 metrics" in line)
    assert lines[title + 1].startswith("test_alone  speed  5 tokens/s")
    assert lines[title + 2 : title + 6] == [
        "",
        "test_eval: loss in nats by task and model: one result each",
        "task \\ model  small  large",
        "0                 0    0.5",
    ]
    assert lines[title + 22 : title + 24] == ["17               17   17.5", ""]
    assert lines[title + 24].startswith("gpupool: ")

    cpu_host.write("worse", "")
    worse = cpu_host.pytest(*options, environ=narrow).stdout.splitlines()
    title = next(number for number, line in enumerate(worse) if "gpupool: 37 metrics, 1 regressed" in line)
    assert re.match(r"test_eval\[small-3\]  loss +4 nats  baseline 3 nats  \+33.3%  .*REGRESSED", worse[title + 1])
    assert "3                 4    3.5" in worse

    full = cpu_host.pytest(*options, "-v", environ=narrow).stdout
    assert re.search(r"^test_eval\[large-17\] +loss +17\.5 nats ", full, re.MULTILINE)
    assert "one result each" not in full


def test_quiet_shows_only_what_fails(host: Host) -> None:
    """With -q a run that passes shows nothing of the pool; one that fails shows the invalid metrics."""
    host.write("test_suite.py", SUITE)
    passing = host.pytest("-q", "-n2", "-k", "accuracy or kinds")
    assert passing.status == 0
    assert "gpupool" not in passing.output
    failing = host.pytest("-q", "-n2")
    assert "gpupool: makespan" not in failing.output
    assert [line.split()[:2] for line in failing.stdout.splitlines() if "INVALID" in line] == [
        ["test_diverged", "loss"],
        ["test_diverged", "gain"],
    ]


@pytest.mark.parametrize(("environ", "coloured"), [({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_obeys_the_user(cpu_host: Host, environ: dict[str, str], coloured: bool) -> None:
    """An invalid metric is red where colour is wanted, and plain under NO_COLOR."""
    cpu_host.write("test_suite.py", SUITE)
    run = cpu_host.pytest("-k", "diverged", environ=cpu_host.environ(**environ))
    line = next(line for line in run.stdout.splitlines() if "INVALID" in line)
    assert line.startswith("\x1b[31m") is coloured


def test_an_incomplete_run_does_not_exit_0(cpu_host: Host) -> None:
    """A run that another plugin ends early with status 0 has not-run tests, says so and fails."""
    cpu_host.write(
        "test_suite.py",
        "import pytest\ndef test_a(): pass\ndef test_b(): pytest.exit('enough', returncode=0)\ndef test_c(): pass\n",
    )
    run = cpu_host.pytest()
    assert run.status == 1
    assert "gpupool: 2 of 3 collected tests have no result (not-run): test_suite.py::test_b, test_suite.py::test_c" in (
        run.stdout
    )
    assert run.outcomes == {"test_a": "passed", "test_b": "not-run", "test_c": "not-run"}
    assert (run.report["run"]["complete"], run.report["run"]["finished"]) == (False, 1)


def test_a_run_without_tests_is_not_complete(cpu_host: Host) -> None:
    """pytest's own status 5 stays, and the report is valid all the same."""
    cpu_host.write("test_suite.py", "")
    for workers in ((), ("-n2",)):
        run = cpu_host.pytest(*workers)
        assert run.status == 5
        assert run.report["tests"] == []
        assert run.report["run"]["complete"] is False


def test_deselected_tests_do_not_count(cpu_host: Host) -> None:
    """collected counts after deselection."""
    cpu_host.write("test_suite.py", "def test_a(): pass\ndef test_b(): pass\n")
    assert cpu_host.pytest("-k", "test_a", "-n2").report["run"]["collected"] == 1


def test_the_git_state_is_noted(cpu_host: Host) -> None:
    """Commit, branch, and whether the tree differs from it."""
    path = cpu_host.write("test_suite.py", "def test_a(): pass\n")
    assert cpu_host.pytest().report["run"]["git"] is None

    def git(*args: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(["git", *who, *args], cwd=path.parent, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "trunk")
    git("add", "test_suite.py", "pytest.ini")
    git("commit", "-qm", "first")
    state = {"commit": git("rev-parse", "HEAD"), "branch": "trunk", "dirty": False}
    assert cpu_host.pytest().report["run"]["git"] == state
    path.write_text("def test_a(): assert True\n")
    assert cpu_host.pytest().report["run"]["git"] == state | {"dirty": True}


def test_records_lie_in_a_directory_that_git_ignores(cpu_host: Host) -> None:
    """.gpupool has its own .gitignore, a directory per run, and a file per writer."""
    cpu_host.write("test_suite.py", "def test_a(): pass\n")
    run_id = cpu_host.pytest("-n2").report["run"]["id"]
    base = cpu_host.project / ".gpupool"
    assert "*" in (base / ".gitignore").read_text().splitlines()
    written = {path.name for path in (base / "runs" / run_id).iterdir()}
    assert {"controller.jsonl", "gw0.jsonl"} <= written


def test_gpupool_schema_prints_the_schema() -> None:
    """The program and the module print the schema that reports are checked against."""
    for command in ([str(Path(sys.executable).parent / "gpupool")], [sys.executable, "-m", "pytest_gpupool"]):
        done = subprocess.run([*command, "schema"], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == SCHEMA.schema
    jsonschema.Draft202012Validator.check_schema(SCHEMA.schema)


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report["tests"][0].update(outcome="fine"),
        lambda report: report["tests"][0]["metrics"][0].update(value=None),
        lambda report: report["tests"][0]["metrics"][0].update(non_finite="nan"),
        lambda report: report["summary"].pop("not-run"),
        lambda report: report["run"].update(started="yesterday"),
        lambda report: report.update(extra=1),
    ],
)
def test_the_schema_refuses_what_is_no_report(cpu_host: Host, change: object) -> None:
    """A report with one thing wrong is not valid."""
    cpu_host.write("test_suite.py", "def test_a(record_metric): record_metric('m', 1)\n")
    report = cpu_host.pytest().report
    assert callable(change)
    change(report)
    assert not SCHEMA.is_valid(report)


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
def test_the_last_lines_name_the_reports(cpu_host: Host, workers: str) -> None:
    """Else the command that makes one."""
    cpu_host.write("test_suite.py", "def test_one(): pass\n")
    run = cpu_host.pytest(workers, "--gpupool-html=out/report.html")
    assert "gpupool: reports: out/report.html, report.json\n" in run.output
    command = cpu_host.command(workers)
    command.remove("--gpupool-json=report.json")
    plain = Running(cpu_host, command, cpu_host.environ()).finish()
    (line,) = [line for line in plain.output.splitlines() if line.startswith("gpupool: for a report: ")]
    made = gpupool(cpu_host, *line.removeprefix("gpupool: for a report: gpupool ").split(), folder=".")
    assert made[0] == 0, made
    assert (cpu_host.project / "report.html").exists()


LINKED = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_one(n):
    pass

def test_two():
    assert False
"""


def test_tests_are_linked_to_their_sources(cpu_host: Host) -> None:
    """By the commit, from the top of the repository, each to its line; also of a run on record."""
    path = cpu_host.write("test_suite.py", LINKED)

    def git(*args: str) -> str:
        who = ("-c", "user.name=Alice", "-c", "user.email=alice@example.org")
        command = ["git", *who, *args]
        done = subprocess.run(command, cwd=path.parents[1], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "trunk")
    git("add", f"{path.parent.name}/test_suite.py")
    git("commit", "-qm", "first")
    commit, folder = git("rev-parse", "HEAD"), path.parent.name
    url = "--gpupool-source-url=https://github.com/you/project/blob/{commit}/{path}#L{line}"
    run = cpu_host.pytest("-n2", url, "--gpupool-html=r.html", "--gpupool-markdown=r.md")
    assert {name: (test["path"], test.get("line")) for name, test in run.tests.items()} == {
        "test_one[1]": ("test_suite.py", 4), "test_one[2]": ("test_suite.py", 4), "test_two": ("test_suite.py", 8),
    }  # fmt: skip
    page = f"https://github.com/you/project/blob/{commit}/{folder}/test_suite.py"
    markdown = (cpu_host.project / "r.md").read_text()
    assert f"](https://github.com/you/project/commit/{commit})" in markdown
    assert f"](https://github.com/you/project/blob/{commit}/{folder}/test_suite.py#L8)" in markdown
    for html in (cpu_host.project / "r.html", cpu_host.project / "again.html"):
        if not html.exists():
            assert gpupool(cpu_host, "report", "latest", "--html", html)[0] == 0
        text = html.read_text()
        assert {f'href="{page}#L4"', f'href="{page}#L8"'} <= set(re.findall(r'href="[^"]*"', text))
        assert f'href="https://github.com/you/project/commit/{commit}"' in text


def test_a_template_that_links_nothing_is_refused(cpu_host: Host) -> None:
    """With a sentence that says what is wanted, before anything runs."""
    cpu_host.write("test_suite.py", "def test_one(): pass\n")
    run = cpu_host.pytest("--gpupool-source-url=https://a/{file}")
    assert run.status == 4
    assert "--gpupool-source-url=https://a/{file}: " in run.output
    assert "give an address with {path}" in run.output

"""What a change that makes a model worse gets: a readable line, exit status 1, and a file of what was accepted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.processes.cpu.model import model
from pytest_gpupool.verdicts.baselines import baseline_file
from pytest_gpupool.verdicts.baselines.baseline import cpu_kind

CPU = cpu_kind(model())

SUITE = """
    import os
    import pytest
    WORSE = float(os.environ.get("WORSE", 0))

    @pytest.mark.parametrize("model", ["small", "large"])
    def test_accuracy(model, record_metric):
        record_metric("accuracy", 0.75 - (WORSE if model == "large" else 0), higher_is_better=True, unit="%")
        record_metric("loss", 0.5 - WORSE, higher_is_better=False)

    def test_count(record_metric):
        record_metric("answers", 40 + int(100 * WORSE))

    def test_nothing():
        assert not os.environ.get("FAILS")
"""

FILE = "--gpupool-baseline=baseline.json"
UPDATE = "--gpupool-update-baseline"


def suite(host: Host, text: str = SUITE) -> None:
    """Write the suite."""
    host.write("test_models.py", text)


def entries(host: Host) -> dict[tuple[str, str], dict[str, Any]]:
    """The entries of the baseline file by test and metric, with what the files beside it tell."""
    known = baseline_file.load(host.project / "baseline.json").entries
    return {(entry.test.split("::")[1], entry.metric): asdict(entry) for entry in known}


def verdicts(run: Any) -> dict[str, Any]:
    """The verdicts of a report by test and metric."""
    return {
        f"{name} {metric['name']}": metric["verdict"] for name, test in run.tests.items() for metric in test["metrics"]
    }


@pytest.fixture
def accepted(cpu_host: Host) -> Host:
    """A project whose metrics were accepted."""
    suite(cpu_host)
    run = cpu_host.pytest(FILE, UPDATE)
    assert run.status == 0, run.output
    return cpu_host


class TestVerdicts:
    """A test fails by the verdict on its metrics."""

    def test_nothing_has_changed(self, accepted: Host) -> None:
        """The same values are ok, and the run is a success."""
        run = accepted.pytest(FILE)
        assert run.status == 0
        assert set(verdicts(run).values()) == {"ok"}
        assert run.report["summary"]["metrics"]["ok"] == 5

    @pytest.mark.parametrize("args", [[], ["-n2"]], ids=["plain", "n2"])
    def test_a_worse_model_fails_with_one_line(self, accepted: Host, args: list[str]) -> None:
        """One line per metric, no traceback, exit status 1, the same in every report."""
        run = accepted.pytest(FILE, *args, environ=accepted.environ(WORSE="0.05"))
        assert run.status == 1
        assert verdicts(run) == {
            "test_accuracy[small] accuracy": "ok",
            "test_accuracy[small] loss": "improved",
            "test_accuracy[large] accuracy": "regressed",
            "test_accuracy[large] loss": "improved",
            "test_count answers": "regressed",
        }
        large = run.tests["test_accuracy[large]"]
        assert large["outcome"] == "failed"
        assert large["judged"] is True
        assert large["message"].splitlines() == [large["message"]]
        assert re.search(r"accuracy 0\.7 % regressed: baseline 0\.75 %, change -6\.7%, allowed 1%", large["message"])
        assert "Traceback" not in run.stdout
        assert "FAILED test_models.py::test_accuracy[large] - Verdict: accuracy 0.7 % regressed: baseline" in run.stdout
        assert not re.search(r"test_models.py:\d", run.stdout)  # where an assertion would have been
        assert run.junit["test_accuracy[large]"]["gpupool.verdict.accuracy"] == "regressed"
        assert run.junit["test_accuracy[large]"]["gpupool.verdict.loss"] == "improved"
        assert run.junit_outcomes["test_accuracy[large]"] == "failure"
        accuracy = large["metrics"][0]
        assert accuracy["baseline"] == 0.75
        assert accuracy["change"] == pytest.approx(-1 / 15)
        assert accuracy["allowed"] == pytest.approx(0.0075)

    def test_the_summary_shows_the_worst_first(self, accepted: Host) -> None:
        """The title counts, the rows are in order of concern; what is ok is folded."""
        out = accepted.pytest(FILE, environ=accepted.environ(WORSE="0.05")).stdout
        assert "gpupool: 5 metrics, 2 regressed, 2 improved" in out
        rows = [line for line in out.splitlines() if line.endswith("main") and "baseline" in line]
        assert [bool(re.search("REGRESSED", row)) for row in rows] == [True, True, False, False]
        assert "\n… and 1 that is ok (-v shows all)\n" in out
        assert "baseline 0.75 %  -6.7%  (allowed 1%; bit-identical each time)" in rows[1]

    @pytest.mark.parametrize(
        ("given", "status", "failed"),
        [
            (["none"], 0, set()),
            (["invalid"], 0, set()),
            (["contended", "regressed"], 1, {"test_accuracy[large]", "test_count"}),
        ],
    )
    def test_the_user_says_what_fails(self, accepted: Host, given: list[str], status: int, failed: set[str]) -> None:
        """``--gpupool-fail-on`` replaces the default; all that are given count."""
        options = [f"--gpupool-fail-on={kind}" for kind in given]
        run = accepted.pytest(FILE, *options, environ=accepted.environ(WORSE="0.05"))
        assert run.status == status
        assert {name for name, outcome in run.outcomes.items() if outcome == "failed"} == failed
        assert verdicts(run)["test_count answers"] == "regressed"

    def test_a_metric_without_a_baseline(self, accepted: Host) -> None:
        """It is told, and fails only where the user says so."""
        accepted.write("test_more.py", "def test_new(record_metric): record_metric('speed', 1)\n")
        run = accepted.pytest(FILE)
        assert run.status == 0
        assert verdicts(run)["test_new speed"] == "no-baseline"
        assert "6 metrics, 1 without baseline" in run.stdout
        run = accepted.pytest(FILE, "--gpupool-fail-on=no-baseline")
        assert run.status == 1
        assert f"no baseline for {CPU}" in run.tests["test_new"]["message"]

    def test_what_is_not_finite_may_pass_where_the_user_says_so(self, cpu_host: Host) -> None:
        """Without a baseline file the one verdict there is."""
        suite(cpu_host, "def test_nan(record_metric): record_metric('loss', float('nan'))\n")
        run = cpu_host.pytest()
        assert (run.status, verdicts(run)) == (1, {"test_nan loss": "invalid"})
        run = cpu_host.pytest("--gpupool-fail-on=none")
        assert (run.status, verdicts(run)) == (0, {"test_nan loss": "invalid"})

    def test_an_expected_failure_may_be_one_by_verdict(self, cpu_host: Host) -> None:
        """A test that is marked so is xfailed, strictly too; a verdict, which comes last, is never tried again."""
        suite(
            cpu_host,
            """
            import os
            import pytest
            WORSE = float(os.environ.get("WORSE", 0))
            tries = []
            @pytest.mark.xfail(reason="slow")
            def test_known(record_metric): record_metric("value", 1 + WORSE)
            @pytest.mark.xfail(strict=bool(WORSE))
            def test_strict(record_metric): record_metric("value", 1 + WORSE)
            @pytest.mark.flaky(reruns=1)
            def test_flaky(record_metric):
                tries.append(1)
                record_metric("value", 1 + WORSE)
                assert len(tries) > 1
            """,
        )
        assert cpu_host.pytest(FILE, UPDATE, companions=["rerunfailures"]).status == 0
        environ = cpu_host.environ(WORSE="0.5")
        known = cpu_host.pytest(FILE, "-k", "not flaky", companions=["rerunfailures"], environ=environ)
        assert (known.status, known.outcomes) == (0, {"test_known": "xfailed", "test_strict": "xfailed"})
        assert "2 xfailed" in known.stdout
        assert {name: known.junit_outcomes[name] for name in known.outcomes} == dict.fromkeys(known.outcomes, "skipped")
        run = cpu_host.pytest(FILE, companions=["rerunfailures"], environ=environ)
        assert (run.status, run.outcomes["test_flaky"]) == (1, "failed")
        assert set(verdicts(run).values()) == {"regressed"}
        assert run.tests["test_flaky"]["attempt"] == 2
        assert "1 failed, 2 xfailed, 1 rerun" in run.stdout

    def test_a_small_sample_shows_no_small_drop(self, cpu_host: Host) -> None:
        """With n a drop must be beyond chance, and the summary says what this n could have shown."""
        suite(
            cpu_host,
            """
            import os
            WORSE = float(os.environ.get("WORSE", 0))
            def test_few(record_metric): record_metric("accuracy", 0.9 - WORSE, higher_is_better=True, n=100)
            def test_many(record_metric): record_metric("accuracy", 0.9 - WORSE, higher_is_better=True, n=10_000)
            """,
        )
        assert cpu_host.pytest(FILE, UPDATE).status == 0
        run = cpu_host.pytest("-v", FILE, environ=cpu_host.environ(WORSE="0.05"))
        assert verdicts(run) == {"test_few accuracy": "ok", "test_many accuracy": "regressed"}
        (few,) = run.tests["test_few"]["metrics"]
        alone, among = few["detectable_alone"], few["detectable"]
        assert 0.05 < alone < among < 0.2
        assert (
            f"80% sure to see a drop of {100 * alone:.2g} points; with this suite's error rate {100 * among:.2g}"
        ) in run.stdout

    def test_samples_are_compared_pair_by_pair(self, cpu_host: Host) -> None:
        """A small but consistent drop is one, a larger one by chance is none."""
        suite(
            cpu_host,
            """
            import os, random
            WORSE = float(os.environ.get("WORSE", 0))
            def score(name, record_metric, drop):
                draw = random.Random(name)
                samples = [draw.random() - drop(draw) for _ in range(200)]
                record_metric("score", sum(samples) / 200, higher_is_better=True, samples=samples)
            def test_consistent(record_metric): score("a", record_metric, lambda draw: WORSE)
            def test_noise(record_metric): score("b", record_metric, lambda draw: 40 * WORSE * (draw.random() - 0.5))
            """,
        )
        assert cpu_host.pytest(FILE, UPDATE, "--gpupool-fail-on=none").status == 0
        run = cpu_host.pytest(FILE, environ=cpu_host.environ(WORSE="0.02"))
        found = verdicts(run)
        assert found["test_consistent score"] == "regressed"
        assert found["test_noise score"] == "ok"
        assert abs(run.tests["test_noise"]["metrics"][0]["change"]) > 0.01


class TestUpdate:
    """``--gpupool-update-baseline`` and ``gpupool baseline``."""

    def test_the_file_can_be_reviewed(self, accepted: Host) -> None:
        """One line per metric, sorted, and each says where it comes from."""
        text = (accepted.project / "baseline.json").read_text()
        lines = [line for line in text.splitlines() if '"metric"' in line]
        assert len(lines) == 5
        assert all(len(line) < 200 for line in lines)
        assert lines == sorted(lines)
        entry = entries(accepted)["test_accuracy[large]", "accuracy"]
        assert {key: entry[key] for key in ("value", "unit", "device", "higher_is_better")} == {
            "value": 0.75,
            "unit": "%",
            "device": CPU,
            "higher_is_better": True,
        }
        assert entry["run"] in [path.name for path in (accepted.project / ".gpupool/runs").iterdir()]
        assert entry["reason"] == "--gpupool-update-baseline"

    def test_an_update_changes_what_has_changed(self, accepted: Host) -> None:
        """What has changed is accepted by name alone; entries of tests that did not run, and tolerances, stay."""
        path = accepted.project / "baseline.json"
        edited = path.read_text().replace('"value":40', '"value":40,"atol":2')
        path.write_text(edited)
        before = edited.splitlines()
        run = accepted.pytest(FILE, UPDATE, "-k", "large or count", environ=accepted.environ(WORSE="0.05"))
        assert run.status == 1
        assert "0 entries written, 0 unchanged, 3 left out" in run.stdout
        assert path.read_text() == edited
        accept = ["--accept=test_models.py::test_accuracy[[]large]", "--accept=*[[]large]::accuracy"]
        assert "has no such test" in gpupool(accepted, "baseline", "update", "baseline.json", accept[0])[2]
        accept = [
            "--accept=test_models.py::test_accuracy[large]::accuracy",
            "--accept=*large]::loss",
            "--accept=*count",
        ]
        _, out, _ = gpupool(accepted, "baseline", "update", "baseline.json", *accept)
        assert "3 entries written, 0 unchanged, from run" in out
        changed = [line for line in path.read_text().splitlines() if line not in before]
        assert len(changed) == 3
        assert entries(accepted)["test_accuracy[small]", "loss"]["value"] == 0.5
        assert entries(accepted)["test_count", "answers"]["atol"] == 2
        again = path.read_text()
        assert accepted.pytest(FILE, UPDATE, "-k", "large or count", environ=accepted.environ(WORSE="0.05")).status == 0
        assert path.read_text() == again

    def test_an_incomplete_run_changes_nothing(self, accepted: Host) -> None:
        """It is refused with exit status 1; the program takes it with ``--force``, but nothing of a failed test."""
        before = (accepted.project / "baseline.json").read_text()
        environ = accepted.environ(WORSE="0.05", FAILS="1")
        accepted.write("test_a_first.py", "def test_fails(): assert False")
        run = accepted.pytest(FILE, UPDATE, "-x", environ=environ)
        assert run.status == 1
        assert "the run is incomplete" in run.stdout
        assert (accepted.project / "baseline.json").read_text() == before
        status, _, err = gpupool(accepted, "baseline", "update", "baseline.json")
        assert status == 1
        assert "--force" in err
        assert (accepted.project / "baseline.json").read_text() == before
        assert gpupool(accepted, "baseline", "update", "baseline.json", "--force")[0] == 0

    def test_a_regression_is_accepted_from_the_record(self, accepted: Host) -> None:
        """The run that a pull request failed in is what is accepted, with the reason; what failed otherwise is not."""
        run = accepted.pytest(FILE, environ=accepted.environ(WORSE="0.05", FAILS="1"))
        assert run.status == 1
        status, out, _ = gpupool(accepted, "baseline", "diff", "baseline.json")
        assert status == 0
        assert re.search(rf"test_count +answers +{re.escape(CPU)} +40 +45 +\+12\.5%", out)
        status, out, err = gpupool(accepted, "baseline", "update", "baseline.json", "latest")
        assert "0 entries written, 1 unchanged, 4 left out" in out
        assert "test_count answers: it is regressed; accept it by name" in err
        update = ["baseline", "update", "baseline.json", "latest", "--accept-all", "--reason", "new data"]
        status, out, err = gpupool(accepted, *update)
        assert (status, err) == (0, "")
        assert "4 entries written, 1 unchanged" in out
        entry = entries(accepted)["test_count", "answers"]
        assert (entry["value"], entry["reason"]) == (45, "new data")
        assert accepted.pytest(FILE, environ=accepted.environ(WORSE="0.05")).status == 0

    def test_a_failed_test_gives_no_baseline(self, cpu_host: Host) -> None:
        """Nor does a metric that is not finite; both are told."""
        suite(
            cpu_host,
            """
            def test_asserts(record_metric):
                record_metric("value", 1)
                assert False
            def test_nan(record_metric):
                record_metric("bad", float("inf"))
                record_metric("good", 2)
            """,
        )
        run = cpu_host.pytest(FILE, UPDATE)
        assert run.status == 1
        assert [*entries(cpu_host)] == [("test_nan", "good")]
        assert "test_models.py::test_asserts value: the test is failed" in run.stdout
        assert "test_models.py::test_nan bad: it is inf" in run.stdout

    def test_a_dirty_tree_is_noted(self, cpu_host: Host) -> None:
        """The commit, and whether it is what was measured."""
        suite(cpu_host)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(cpu_host.project)]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
            subprocess.run([*git, *command], check=True)
        commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        cpu_host.write("test_models.py", SUITE + "\n    # changed\n")
        assert cpu_host.pytest(FILE, UPDATE).status == 0
        entry = entries(cpu_host)["test_count", "answers"]
        assert (entry["commit"], entry["dirty"]) == (commit, True)

    def test_entries_of_tests_that_are_gone_are_listed(self, accepted: Host) -> None:
        """``show`` lists all of them, ``--stale`` those, whatever a narrower run since then left out."""
        accepted.write("test_more.py", "def test_more(record_metric): record_metric('speed', 1)\n")
        accepted.write("test_gone.py", "def test_gone(record_metric): record_metric('speed', 1)\n")
        assert accepted.pytest(FILE, UPDATE).status == 0
        (accepted.project / "test_gone.py").unlink()
        suite(accepted, SUITE.replace("test_count", "test_number").replace('"loss"', '"error"'))
        run = accepted.pytest(FILE)
        assert run.status == 1
        name = run.report["run"]["id"]
        for narrower in (["-k", "small"], ["test_more.py"], ["test_models.py::test_nothing"]):
            assert accepted.pytest(FILE, "--gpupool-fail-on=none", *narrower).status == 0
        status, out, _ = gpupool(accepted, "baseline", "show", "baseline.json")
        assert (status, out.count(".py::")) == (0, 7)
        status, out, _ = gpupool(accepted, "baseline", "show", "baseline.json", "--stale")
        whys = [(row.split()[0], row.split("baseline  ")[-1]) for row in out.splitlines() if ".py::" in row]
        assert (status, whys) == (
            0,
            [
                ("test_gone.py::test_gone", "its file is gone"),
                ("test_models.py::test_accuracy[large]", f"not recorded in run {name}, where the test passed"),
                ("test_models.py::test_accuracy[small]", f"not recorded in run {name}, where the test passed"),
                ("test_models.py::test_count", f"not collected by run {name}"),
            ],
        )
        assert out.splitlines()[-1] == "gpupool: 4 entries of baseline.json are of what no longer exists"
        shutil.rmtree(accepted.project / ".gpupool/runs" / name)
        before = (accepted.project / "baseline.json").read_text()
        accepted.write("baseline.json", before.replace("test_more.py", "never.py"))
        accepted.write("never.py", "")
        bad = accepted.project / ".gpupool/runs" / "20991231T000000Z-9f3c2a"
        (bad / "controller.jsonl").mkdir(parents=True)
        _, out, err = gpupool(accepted, "baseline", "show", "baseline.json", "--stale")
        assert err == f"gpupool: a run is left out: {bad} cannot be read: Is a directory\n"
        shutil.rmtree(bad)
        assert out.splitlines()[-1] == (
            "gpupool: 1 entry of files that no such run on record has collected is not judged"
        )
        out = gpupool(accepted, "baseline", "show", "baseline.json", "--stale", "--run=latest", "--test=count")[1]
        assert re.findall(r"\S+::\S+", out) == ["test_models.py::test_count"]
        assert "which collected 1 test, does not have" in out

    def test_a_difference_says_what_update_would_do(self, cpu_host: Host) -> None:
        """Refuse, make the file, leave something out; and what changes where the value does not."""
        suite(
            cpu_host,
            """
            import os
            MORE = int(os.environ.get("MORE", 0))
            def test_a(record_metric):
                record_metric("n", 0.9, n=100 + MORE)
                record_metric("direction", 1, higher_is_better=MORE > 0 or None)
                record_metric("samples", 0.5, samples=[0, 1] if MORE else [1, 0])
                record_metric("large", 10**400 if MORE else 1.5)
                record_metric("12\\u00a0% 👩\\u200d🔬", float("nan") if MORE else 1)
            def test_b(): assert not MORE
            """,
        )
        assert cpu_host.pytest(FILE).status == 4
        assert cpu_host.pytest().status == 0
        _, out, err = gpupool(cpu_host, "baseline", "diff", "baseline.json")
        assert "gpupool: 5 to write, 0 unchanged" in out
        assert out.count("  new\n") == 5
        assert err == "gpupool: there is no baseline file baseline.json yet: 'update' makes it\n"
        assert gpupool(cpu_host, "baseline", "update", "baseline.json")[0] == 0
        environ = cpu_host.environ(MORE="20")
        cpu_host.pytest("--maxfail=1", "test_models.py::test_b", "test_models.py::test_a", environ=environ)
        _, out, err = gpupool(cpu_host, "baseline", "diff", "baseline.json")
        assert "0 to write, 0 unchanged" in out
        assert "is incomplete: 'update' refuses it, unless with --force" in err
        cpu_host.pytest(environ=environ)
        _, out, err = gpupool(cpu_host, "baseline", "diff", "baseline.json")
        changes = {row.split()[1]: re.split(r"  +", row)[-1] for row in out.splitlines() if "::" in row}
        assert changes == {
            "direction": "neither → higher is better",
            "large": "+1e+400",
        }
        assert err == "gpupool: not in the baseline: test_models.py::test_a 12\u00a0% 👩\u200d🔬: it is nan\n"

    def test_numbers_and_names_of_any_kind_are_shown(self, cpu_host: Host) -> None:
        """Beyond floats, and names that would change what a terminal does."""
        suite(cpu_host)
        fields = {"test": "t.py::\x1b[31m\u202e", "metric": "a\nb", "device": "CPU", "value": 1, "spread": 10**400}
        data = {"format": "gpupool-baseline", "version": 1, "entries": [fields | {"n": 10**400}]}
        cpu_host.write("baseline.json", json.dumps(data))
        status, out, _ = gpupool(cpu_host, "baseline", "show", "baseline.json")
        assert status == 0
        row = out.splitlines()[1]
        assert row.split()[:5] == ["t.py::\\x1b[31m\\u202e", "a\\nb", "CPU", "1", "1e+400"]

    def test_a_report_that_contradicts_itself_is_refused(self, accepted: Host) -> None:
        """Nothing of it is written."""
        report = accepted.pytest().report
        before = (accepted.project / "baseline.json").read_bytes()
        metrics = next(test["metrics"] for test in report["tests"] if test["metrics"])
        metrics.append(metrics[0])
        accepted.write("report.json", json.dumps(report))
        status, _, err = gpupool(accepted, "baseline", "update", "baseline.json", "report.json")
        assert (status, "report.json is damaged, in: test 1 " in err) == (4, True)
        del metrics[-1], report["run"]["collected"]
        accepted.write("report.json", json.dumps(report))
        status, _, err = gpupool(accepted, "baseline", "show", "baseline.json", "--stale", "--run=report.json")
        assert (status, "report.json is damaged, in: run" in err) == (4, True)
        assert (accepted.project / "baseline.json").read_bytes() == before


class TestOtherFailures:
    """A verdict beside what else may become of a test."""

    def test_what_failed_anyway_fails_once(self, accepted: Host) -> None:
        """The lines go with its message, in a function and in a TestCase; nothing of it is accepted."""
        suite(
            accepted,
            """
            import unittest, pytest
            @pytest.fixture
            def late(record_metric):
                yield
                record_metric("late", 1)
            def test_asserts(record_metric):
                record_metric("value", 1)
                assert False, "by itself"
            class TestOld(unittest.TestCase):
                @pytest.fixture(autouse=True)
                def given(self, record_metric): self.record = record_metric
                def test_raises(self):
                    self.record("value", 1)
                    raise ValueError("by itself")
                def test_is_judged(self): self.record("value", 1)
            def test_late(late): pass
            """,
        )
        names = ["test_asserts", "TestOld::test_raises", "TestOld::test_is_judged", "test_late"]
        metrics = ["value", "value", "value", "late"]
        lines = [
            json.dumps({"test": f"test_models.py::{name}", "metric": metric, "device": "CPU", "value": 2})
            for name, metric in zip(names, metrics, strict=True)
        ]
        head = '{"format": "gpupool-baseline", "version": 1, "entries": ['
        accepted.write("baseline.json", head + ",".join(sorted(lines)) + "]}")
        run = accepted.pytest(FILE)
        assert run.status == 1
        assert run.outcomes == dict.fromkeys(names, "failed")
        assert "4 failed" in run.stdout
        for name in names[:2]:
            assert "by itself" in run.tests[name]["message"]
            assert "value 1 regressed: baseline 2" in run.tests[name]["message"]
        assert [name for name in names if "judged" in run.tests[name]] == ["TestOld::test_is_judged", "test_late"]
        status, out, _ = gpupool(accepted, "baseline", "update", "baseline.json", "--accept-all")
        assert status == 0
        assert "2 entries written" in out
        assert "2 left out" in out

    def test_a_skip_hides_no_regression(self, accepted: Host) -> None:
        """What the test had measured before it was skipped counts."""
        suite(accepted, SUITE.replace("int(100 * WORSE))", "int(100 * WORSE)); pytest.skip('enough')"))
        assert accepted.pytest(FILE).outcomes["test_count"] == "skipped"
        run = accepted.pytest(FILE, "-k", "count", environ=accepted.environ(WORSE="0.05"))
        assert (run.status, run.outcomes) == (1, {"test_count": "failed"})
        assert "answers 45 regressed: baseline 40" in run.tests["test_count"]["message"]

    def test_a_metric_that_is_not_recorded_any_more_is_gone(self, accepted: Host) -> None:
        """Which fails its test."""
        suite(accepted, SUITE.replace('record_metric("loss"', 'record_metric("error"'))
        run = accepted.pytest(FILE)
        assert run.status == 1
        assert "loss is gone: it was not recorded" in run.tests["test_accuracy[small]"]["message"]

    def test_plain_pytest_files_a_test_under_what_it_asks_for(self, make_host: Callable[..., Host]) -> None:
        """The one process may hold two GPUs for the sake of another test."""
        host = make_host(2, name="NVIDIA A")
        suite(
            host,
            """
            import pytest
            def test_one(record_metric): record_metric("value", 1)
            @pytest.mark.gpupool(gpus=2)
            def test_two(record_metric): record_metric("value", 1)
            @pytest.mark.gpupool(gpus=0)
            def test_none(record_metric): record_metric("value", 1)
            """,
        )
        run = host.pytest(FILE, UPDATE)
        kinds = {"test_one": "NVIDIA A", "test_two": "2 × NVIDIA A", "test_none": CPU}
        assert {name: test["device_kind"] for name, test in run.tests.items()} == kinds
        assert {name: entry["device"] for (name, _), entry in entries(host).items()} == kinds

    def test_results_that_are_kept_are_judged_again(self, accepted: Host) -> None:
        """By the file and the options of the run that goes on, to the better and to the worse."""
        environ = accepted.environ(WORSE="0.05")
        first = accepted.pytest(FILE, environ=environ)
        assert first.status == 1
        resume = f"--gpupool-resume={first.report['run']['id']}"
        before, message = first.outcomes, first.tests["test_count"]["message"]  # of a file that the next run writes
        kept = accepted.pytest(FILE, resume, "--gpupool-fail-on=none", environ=environ)
        assert (kept.status, set(kept.outcomes.values())) == (0, {"passed"})
        assert verdicts(kept)["test_count answers"] == "regressed"
        assert kept.report["run"]["resumed_from"] is not None
        again = accepted.pytest(FILE, resume, environ=environ)
        assert again.status == 1
        assert again.outcomes == before
        assert again.tests["test_count"]["message"] == message
        assert again.junit["test_count"]["gpupool.verdict.answers"] == "regressed"
        assert gpupool(accepted, "baseline", "update", "baseline.json", "--accept-all")[0] == 0
        assert accepted.pytest(FILE, resume, environ=environ).status == 0


class TestBadInput:
    """A clear message, and nothing is lost."""

    def test_a_baseline_of_another_rootdir(self, accepted: Host) -> None:
        """Its tests have other ids here: exit status 4, with the likely cause. New tests alone are no such case."""
        path = accepted.project / "baseline.json"
        path.write_text(path.read_text().replace('"test_models.py::', '"evals/test_models.py::'))
        run = accepted.pytest(FILE)
        assert run.status == 4
        assert re.search(
            r"it has evals/(test_models\.py::\S+), which is \1 here: run pytest with the rootdir", run.stdout
        )
        path.write_text(path.read_text().replace('"evals/test_models.py::test', '"test_models.py::test_old'))
        run = accepted.pytest(FILE)
        assert (run.status, "its tests of test_models.py have other ids" in run.stdout) == (4, True)
        assert accepted.pytest(FILE, "-k", "count").status == 0
        accepted.write("test_new.py", "def test_new(record_metric): record_metric('value', 1)\n")
        assert accepted.pytest(FILE, "test_new.py").status == 0

    def test_a_missing_file(self, cpu_host: Host) -> None:
        """It is an error, unless it is to be made."""
        suite(cpu_host)
        run = cpu_host.pytest(FILE)
        assert run.status == 4
        assert "baseline.json" in run.stderr
        assert "--gpupool-update-baseline" in run.stderr

    def test_an_update_of_no_file(self, cpu_host: Host) -> None:
        """The message says which option is missing."""
        suite(cpu_host)
        run = cpu_host.pytest(UPDATE)
        assert run.status == 4
        assert "--gpupool-baseline=PATH" in run.stderr

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "baseline.json"),
            ("[]", "baseline"),
            ('{"format": "gpupool-baseline", "version": 99, "entries": []}', "newer"),
            ("<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n", "conflict"),
        ],
    )
    @pytest.mark.parametrize("args", [[], ["-n2", UPDATE]], ids=["plain", "update"])
    def test_a_damaged_file(self, cpu_host: Host, text: str, told: str, args: list[str]) -> None:
        """The run ends before a test does, and the file stays as it is."""
        suite(cpu_host)
        path = cpu_host.write("baseline.json", text)
        before = path.read_bytes()
        run = cpu_host.pytest(FILE, *args)
        assert run.status == 4
        assert told in run.stderr
        assert path.read_bytes() == before

    @pytest.mark.parametrize("value", ["worse", "", "regressed,"])
    def test_an_unknown_verdict(self, cpu_host: Host, value: str) -> None:
        """The message names those that there are."""
        suite(cpu_host)
        run = cpu_host.pytest(f"--gpupool-fail-on={value}")
        assert run.status == 4
        assert "regressed, gone, no-baseline, contended, invalid, none" in run.stderr

    def test_the_ini_file_may_say_it_all(self, accepted: Host) -> None:
        """Each option has a twin there; ``gpupool_rtol`` is the tolerance of what has none."""
        ini = "[pytest]\ngpupool_baseline = baseline.json\ngpupool_fail_on = regressed\ngpupool_rtol = 0.2\n"
        accepted.write("pytest.ini", ini)
        run = accepted.pytest(environ=accepted.environ(WORSE="0.05"))
        assert (run.status, set(verdicts(run).values())) == (0, {"ok"})
        accepted.write("pytest.ini", ini.replace("0.2", "much"))
        assert "gpupool_rtol = much" in accepted.pytest().stderr


TIMED = """
    import time
    def test_speed(record_metric):
        record_metric("time", 12.5, unit="s", higher_is_better=False)
        record_metric("rate", 1e6, unit="tokens/s", higher_is_better=True)
        record_metric("accuracy", 0.9, higher_is_better=True)
        time.sleep(1)  # 20 times as long as the sampling takes
"""


@pytest.fixture
def stranger() -> Iterator[int]:
    """The pid of a process that is not of the pool."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True, env={"PATH": os.environ["PATH"]})
    yield process.pid
    process.kill()
    process.wait()


class TestDevices:
    """Baselines are by kind of device, and a disturbed device gives no verdict on speed."""

    def test_another_kind_of_device_has_no_baseline(self, make_host: Callable[..., Host]) -> None:
        """Which is told, with the kinds that have one, and no run that looked at nothing is a success."""
        host = make_host(1, name="NVIDIA H200")
        suite(host, "def test_value(record_metric): record_metric('value', 1)\n")
        assert host.pytest(FILE, UPDATE, "--gpupool-devices=cpu").status == 0
        run = host.pytest(FILE)
        assert (run.status, verdicts(run)) == (4, {"test_value value": "no-baseline"})
        assert (
            f"no metric of this run is in the baseline baseline.json: its entries are for {CPU}, "
            "and this run was on NVIDIA H200" in re.sub(r"baseline /\S+/", "baseline ", run.stdout)
        )
        assert host.pytest(FILE, UPDATE).status == 0
        data = json.loads((host.project / "baseline.json").read_text())
        assert [entry["device"] for entry in data["entries"]] == [CPU, "NVIDIA H200"]
        run = host.pytest(FILE)
        assert (run.status, verdicts(run)) == (0, {"test_value value": "ok"})
        assert "NVIDIA H200 main" in run.stdout

    def test_a_proportion_is_compared_with_that_of_another_kind(self, make_host: Callable[..., Host]) -> None:
        """Marked; a time never is."""
        host = make_host(1, name="NVIDIA H200")
        suite(
            host,
            """
            import os
            def test_both(record_metric):
                record_metric("accuracy", 0.9 - float(os.environ.get("WORSE", 0)), higher_is_better=True, n=1000)
                record_metric("latency", 1.0, unit="s")
            """,
        )
        assert host.pytest(FILE, UPDATE, "--gpupool-devices=cpu").status == 0
        run = host.pytest(FILE)
        assert (run.status, verdicts(run)) == (0, {"test_both accuracy": "ok", "test_both latency": "no-baseline"})
        assert run.tests["test_both"]["metrics"][0]["note"] == f"baseline of {CPU}"
        run = host.pytest(FILE, environ=host.environ(WORSE="0.1"))
        assert run.status == 1
        status, out, _ = gpupool(host, "compare", "baseline.json", "latest")
        assert (status, f"baseline of {CPU}" in out) == (1, True)

    def test_a_time_on_a_device_that_others_used_is_contended(
        self, make_host: Callable[..., Host], stranger: int
    ) -> None:
        """Only what is a time or a rate, and it fails only where the user says so."""
        host = make_host(1, name="NVIDIA H200")
        suite(host, TIMED)
        options = [FILE, "--gpupool-sample=0.05", "--gpupool-allow-busy"]
        assert host.pytest(*options, UPDATE).status == 0
        assert host.driver is not None
        host.driver.processes(0, (stranger, 1 << 20))
        run = host.pytest(*options)
        assert run.status == 0
        assert verdicts(run) == {
            "test_speed time": "contended",
            "test_speed rate": "contended",
            "test_speed accuracy": "ok",
        }
        assert run.tests["test_speed"]["resources"]["foreign_pids"] == [stranger]
        assert run.junit["test_speed"]["gpupool.verdict.rate"] == "contended"
        run = host.pytest(*options, UPDATE, "--gpupool-fail-on=contended", "-n1")
        assert "the device was throttled, or used by others, meanwhile" in run.stdout
        run = host.pytest(*options, "--gpupool-fail-on=contended", "-n1")
        assert run.status == 1
        assert len(run.tests["test_speed"]["message"].splitlines()) == 2

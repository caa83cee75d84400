"""Going on with an earlier run: what it finished is taken over, the rest runs, and every report has both."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

import pytest
from suites import prepare
from support import Host, Run, wait_for

with_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])

MIXED = """
    import os
    import pytest
    from patience import lines

    FIXED = bool(lines("fixed"))

    @pytest.fixture
    def model():
        assert FIXED, "the model is not there"

    @pytest.mark.parametrize("case", range(2))
    def test_passes(case, record_metric): record_metric("case", case, unit="%")
    def test_asserts(record_metric):
        record_metric("accuracy", 0.25, higher_is_better=True)
        assert FIXED, "too low"
    def test_raises(): assert FIXED or [][1]
    def test_has_no_model(model): pass
    def test_is_nan(record_metric): record_metric("loss", float("nan"))
    @pytest.mark.skip(reason="not here")
    def test_skipped(): pass
    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert False
    @pytest.mark.xfail(reason="known")
    def test_xpasses(): pass
"""

FINAL = {
    "test_passes[0]": "passed",
    "test_passes[1]": "passed",
    "test_asserts": "failed",
    "test_is_nan": "failed",
    "test_skipped": "skipped",
    "test_xfails": "xfailed",
    "test_xpasses": "xpassed",
}
"""What nobody needs to run again, with its outcome."""


def own(run: Run) -> set[str]:
    """The tests whose results are this run's own."""
    return {test["nodeid"].split("::", 1)[1] for test in run.report["tests"] if test["run"] == run.report["run"]["id"]}


def executed(host: Host) -> list[str]:
    """The tests that have run since the last call, where they say so."""
    path = host.project / "ran"
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(lines)


@with_workers
def test_what_is_final_is_kept_and_the_rest_runs_again(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Passed, failed by an assertion or a metric, skipped and expected failures are final; other errors are not."""
    host = cpu_host
    prepare(host)
    host.write("test_suite.py", MIXED)
    first = host.pytest(*workers)
    assert first.status == 1, first.output
    assert first.outcomes == FINAL | {"test_raises": "failed", "test_has_no_model": "error"}
    earlier, before, testcases = (
        first.report["run"]["id"],
        first.tests,
        first.junit_outcomes,
    )  # files that the next writes

    host.write("fixed", "now\n")
    # hypothesis looks for its own words in all that pytest's summary counts.
    second = host.pytest(*workers, "--gpupool-resume", companions=("hypothesispytest",))
    assert second.outcomes == FINAL | {"test_raises": "passed", "test_has_no_model": "passed"}
    assert own(second) == {"test_raises", "test_has_no_model"}
    assert second.status == 1, second.output
    assert second.report["run"]["resumed_from"] == earlier
    assert f"gpupool: resuming {earlier}: 7 of 9 results kept" in second.stdout
    assert "= 2 passed, 7 kept in " in second.stdout.splitlines()[-1]
    for name in ("test_asserts", "test_is_nan"):
        assert f"FAILED test_suite.py::{name} - kept from {earlier}: " in second.stdout
    assert (
        "2 of the results kept from the earlier run failed: test_suite.py::test_asserts, test_suite.py::test_is_nan"
        in (second.stdout)
    )
    assert (second.report["run"]["collected"], second.report["run"]["finished"]) == (9, 9)
    for name in FINAL:
        assert second.tests[name] == before[name] | {"run": earlier}
    assert second.junit_outcomes == {
        **testcases,
        "test_raises": "passed",
        "test_has_no_model": "passed",
    }
    assert second.junit["test_passes[1]"]["gpupool.metric.case"] == "1"
    assert second.junit["test_passes[1]"]["gpupool.run"] == earlier


@with_workers
def test_a_whole_run_has_nothing_left(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Nothing runs, every report is whole, and the exit status is that of its results."""
    cpu_host.write("test_suite.py", "def test_a(record_metric): record_metric('m', 1)\ndef test_b(): pass\n")
    first = cpu_host.pytest(*workers).report["run"]["id"]
    run = cpu_host.pytest(*workers, f"--gpupool-resume={first}")
    assert run.status == run.report["run"]["exit_status"] == 0, run.output
    assert own(run) == set()
    assert run.outcomes == {"test_a": "passed", "test_b": "passed"}
    assert run.metrics("test_a") == {"m": 1}
    assert run.report["run"]["complete"]
    assert "2 of 2 results kept" in run.stdout
    assert "2 kept in" in run.stdout.splitlines()[-1]


@pytest.mark.parametrize("how", ["worker", "controller"])
def test_a_run_that_was_killed_goes_on(host: Host, how: str) -> None:
    """Whoever is killed: what had finished is kept with its metrics, what crashed or did not run runs."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os, time
        import pytest
        from patience import lines, say, until

        @pytest.mark.parametrize("case", range(6))
        def test_quick(case, record_metric): record_metric("case", case)

        @pytest.mark.gpupool(stage=1)
        def test_slow(record_metric):
            record_metric("before", 1)
            if not lines("again"):
                say("pid", os.getpid())
                time.sleep(600)
            record_metric("after", 2)
        """,
    )
    running = host.start("-n2")
    try:
        (pid,) = wait_for(host.project / "pid")
        if how == "controller":
            os.kill(running.process.pid, signal.SIGKILL)
            running.process.wait()
            host.wait_until_gone()
        else:
            os.kill(int(pid), signal.SIGKILL)
            first = running.finish()
            assert first.outcomes["test_slow"] == "crashed"
            assert first.metrics("test_slow") == {"before": 1}
    finally:
        running.kill()
    assert host.held() == set()
    host.write("again", "yes\n")
    run = host.pytest("-n2", "--gpupool-resume")
    assert run.status == 0, run.output
    assert own(run) == {"test_slow"}
    assert run.metrics("test_slow") == {"before": 1, "after": 2}
    assert [run.metrics(f"test_quick[{case}]") for case in range(6)] == [{"case": case} for case in range(6)]


def test_a_resumed_run_can_be_resumed(cpu_host: Host) -> None:
    """Each result says which run it comes from, however many lie between."""
    host = cpu_host
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import pytest
        from patience import lines

        @pytest.mark.parametrize("case", range(4))
        def test_case(case, record_metric):
            record_metric("case", case)
            if len(lines("runs")) <= case:
                raise OSError("not yet")
        """,
    )
    ids, run = [], None
    for number in range(4):
        with (host.project / "runs").open("a") as file:
            file.write("one more\n")
        run = host.pytest("-n1", *(["--gpupool-resume"] if number else []))
        ids.append(run.report["run"]["id"])
    assert run is not None
    assert run.status == 0, run.output
    assert [test["run"] for test in run.report["tests"]] == ids
    assert [run.metrics(f"test_case[{case}]") for case in range(4)] == [{"case": case} for case in range(4)]


class TestRecipe:
    """A result is kept for the same recipe only."""

    SUITE = """
        import pathlib
        import pytest

        def ran(name):
            with open(pathlib.Path(__file__).parent.parent / "ran", "a") as file:
                file.write(f"{name}\\n")

        @pytest.mark.parametrize("value", VALUES, ids=lambda value: str(int(value)))
        def test_value(value, request):
            ran(request.node.nodeid)
    """

    @pytest.fixture
    def suite(self, cpu_host: Host) -> Host:
        """Two folders of tests with a conftest.py each, an option, and values from a module; all run once."""
        host = cpu_host
        host.write("pytest.ini", "[pytest]\npythonpath = .\n")
        host.write("values.py", "class Same:\n    def __str__(self): return 'same'\nVALUES = [1, 2]\n")
        for folder in ("a", "b"):
            host.write(f"{folder}/conftest.py", "")
            host.write(f"{folder}/test_{folder}.py", "from values import VALUES\n" + self.dedented())
        host.write("conftest.py", "def pytest_addoption(parser): parser.addoption('--model', default='small')\n")
        assert host.pytest("-n2").status == 0
        assert len(executed(host)) == 4
        return host

    def dedented(self) -> str:
        """The suite as a module."""
        lines = self.SUITE.splitlines()
        return "\n".join(line[8:] for line in lines)

    def again(self, host: Host, *args: str) -> tuple[list[str], str]:
        """Resume; what ran, and what the terminal says of it."""
        (earlier,) = (path.name for path in (host.project / ".gpupool" / "runs").iterdir())
        run = host.pytest("-n2", f"--gpupool-resume={earlier}", *args)
        assert run.status == 0, run.output
        (line,) = [line for line in run.stdout.splitlines() if line.startswith("gpupool: resuming")]
        return executed(host), line.partition(": ")[2].partition(": ")[2]

    def test_nothing_has_changed(self, suite: Host) -> None:
        """Options of pytest's own, other workers and another order do not matter."""
        assert self.again(suite, "-v", "--tb=short", "b", "a") == ([], "4 of 4 results kept")

    def test_a_source_file(self, suite: Host) -> None:
        """The tests of that file run again."""
        path = suite.project / "a" / "test_a.py"
        path.write_text(path.read_text() + "# changed\n")
        assert self.again(suite) == (
            ["a/test_a.py::test_value[1]", "a/test_a.py::test_value[2]"],
            "2 of 4 results kept; run again although finished: 2 because of its source file",
        )

    def test_a_conftest(self, suite: Host) -> None:
        """The tests of its folder run again."""
        suite.write("b/conftest.py", "# changed\n")
        ran, words = self.again(suite)
        assert ran == ["b/test_b.py::test_value[1]", "b/test_b.py::test_value[2]"]
        assert words.endswith("2 because of a conftest.py")

    def test_a_value_under_the_same_id(self, suite: Host) -> None:
        """What the id shows of a parameter is not all of it."""
        suite.write("values.py", "class Two(int):\n    def __repr__(self): return 'Two()'\nVALUES = [1, Two(2)]\n")
        ran, words = self.again(suite)
        assert ran == ["a/test_a.py::test_value[2]", "b/test_b.py::test_value[2]"]
        assert words.endswith("2 because of its parameters")

    def test_an_option_of_the_suite(self, suite: Host) -> None:
        """One that a conftest.py declares matters to all."""
        ran, words = self.again(suite, "--model=large")
        assert len(ran) == 4
        assert words == "0 of 4 results kept; run again although finished: 4 because of the options"

    def test_objects_and_sets_are_the_same_in_every_process(self, cpu_host: Host) -> None:
        """Their addresses and their order are not."""
        cpu_host.write(
            "test_suite.py",
            """
            import pytest

            class Model: pass

            @pytest.mark.parametrize("value", [Model(), {"a", "b", "c"}, {"m": Model()}, len], ids=range(4))
            def test_value(value): pass
            """,
        )
        first = cpu_host.pytest("-n2").report["run"]["id"]
        run = cpu_host.pytest("-n2", f"--gpupool-resume={first}")
        assert own(run) == set(), run.output

    def test_a_new_test_runs(self, suite: Host) -> None:
        """And one that is collected no more is in no report."""
        suite.write("c/test_c.py", "def test_new(): pass\n")
        (suite.project / "a" / "test_a.py").unlink()
        (earlier,) = (path.name for path in (suite.project / ".gpupool" / "runs").iterdir())
        run = suite.pytest("-n2", f"--gpupool-resume={earlier}")
        assert own(run) == {"test_new"}
        assert len(run.report["tests"]) == 3


class TestRefused:
    """Clear words, exit status 4, and nothing is lost."""

    def refused(self, host: Host, *args: str) -> str:
        """What a run that cannot resume says."""
        run = host.pytest(*args)
        assert run.status == 4, run.output
        assert "Traceback" not in run.output
        return run.stderr

    def test_there_is_no_such_run(self, cpu_host: Host) -> None:
        """The message names those that are there."""
        cpu_host.write("test_suite.py", "def test_a(): pass\n")
        known = cpu_host.pytest().report["run"]["id"]
        text = self.refused(cpu_host, "--gpupool-resume=20010101T000000Z-000000")
        assert "there is no run '20010101T000000Z-000000' on record" in text
        assert known in text

    def test_each_worker_runs_every_test(self, cpu_host: Host) -> None:
        """There is no one result of a test then."""
        cpu_host.write("test_suite.py", "def test_a(): pass\n")
        cpu_host.pytest()
        text = self.refused(cpu_host, "-n2", "--dist=each", "--gpupool-resume")
        assert "--gpupool-resume and --dist each do not go together" in text

    def test_each_worker_ran_every_test(self, cpu_host: Host) -> None:
        """Nor was there one in such a run."""
        cpu_host.write("test_suite.py", "def test_a(): pass\n")
        run = cpu_host.pytest("-n2", "--dist=each").report["run"]["id"]
        text = self.refused(cpu_host, f"--gpupool-resume={run}")
        assert "was one with --dist each, which cannot be resumed" in text

    @with_workers
    def test_a_run_that_goes_on_or_is_being_resumed(self, cpu_host: Host, workers: Sequence[str]) -> None:
        """Two runs never go on with one; afterwards it can be resumed again."""
        host = cpu_host
        prepare(host)
        host.write(
            "test_suite.py",
            """
            from patience import lines, say, until
            def test_first(): pass
            def test_waits():
                say("waits")
                until(lambda: lines("go"), "nobody says go")
                raise OSError("not this time")
            """,
        )
        running = host.start(*workers)
        try:
            wait_for(host.project / "waits")
            (name,) = (path.name for path in (host.project / ".gpupool" / "runs").iterdir())
            text = self.refused(host, *workers, f"--gpupool-resume={name}", "--gpupool-json=other.json")
            assert "still goes on: wait for its end, or end it" in text
            host.write("go", "now\n")
            first = running.finish()
        finally:
            running.kill()
        (host.project / "go").unlink()
        (host.project / "waits").unlink()
        option = f"--gpupool-resume={first.report['run']['id']}"
        running = host.start(*workers, option)
        try:
            wait_for(host.project / "waits")
            text = self.refused(host, *workers, option, "--gpupool-json=other.json")
            assert f"run {first.report['run']['id']} is being resumed by another run" in text
            host.write("go", "now\n")
            second = running.finish()
        finally:
            running.kill()
        assert own(second) == {"test_waits"}
        third = host.pytest(*workers, option)
        assert own(third) == {"test_waits"}


@with_workers
def test_what_is_damaged_runs_again(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """The run says what it could not read."""
    cpu_host.write("test_suite.py", "import pytest\n@pytest.mark.parametrize('i', range(4))\ndef test_a(i): pass\n")
    earlier = cpu_host.pytest().report["run"]["id"]
    path = cpu_host.project / ".gpupool" / "runs" / earlier / "main.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    (end,) = (number for number, line in enumerate(lines) if '"end"' in line and "test_a[1]" in line)
    lines[end] = lines[end][:40] + "#\n"
    path.write_text("".join(lines))
    run = cpu_host.pytest(*workers, "--gpupool-resume")
    assert run.status == 0, run.output
    assert own(run) == {"test_a[1]"}
    assert f"warning: run {earlier}: main.jsonl: 1 damaged line left out" in run.stdout


@with_workers
def test_a_path_behind_the_option_stays_a_path(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """As in 'pytest --gpupool-resume evals/': a run is named with '=' alone. The folder's conftest.py is loaded."""
    option = "def pytest_addoption(parser): parser.addoption('--model', default='small')\n"
    cpu_host.write("evals/conftest.py", option)
    cpu_host.write("evals/test_a.py", "def test_a(): pass\n")
    cpu_host.write("other/test_b.py", "def test_b(): pass\n")
    cpu_host.pytest(*workers, "evals/", "--model=large")
    run = cpu_host.pytest(*workers, "--gpupool-resume", "evals/", "--model=large")
    assert run.status == 0, run.output
    assert run.outcomes == {"test_a": "passed"}
    assert "--gpupool-resume goes on with none: the latest run" in run.stdout


class TestAlwaysSafe:
    """``--gpupool-resume`` alone can be passed always: it goes on, or a new run says why it is one."""

    SUITE = """
        from patience import lines
        from model import VALUE

        def test_passes(record_metric): record_metric("value", VALUE)
        def test_later(): lines("now") or [][1]
    """

    @pytest.fixture
    def project(self, cpu_host: Host) -> Host:
        """A repository with a suite that imports a module; one run, of which one test is left."""
        host = cpu_host
        prepare(host)
        host.write(".gitignore", "ran\nnow\n*.json\n*.xml\n__pycache__\n")
        host.write("model.py", "VALUE = 1\n")
        host.write("conftest.py", "")
        host.write("README.md", "")
        host.write("test_suite.py", self.SUITE)
        self.git(host, "init", "-q")
        self.commit(host)
        return host

    def git(self, host: Host, *args: str) -> None:
        """Call git as a user of no configuration."""
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *args], cwd=host.project, check=True, capture_output=True)

    def commit(self, host: Host) -> None:
        """Commit all that there is."""
        self.git(host, "add", "-A")
        self.git(host, "commit", "-qm", "one more")

    def is_new(self, host: Host, why: str, *args: str) -> Run:
        """Resume; it is a new run, which says why and ends well."""
        host.write("now", "now\n")
        run = host.pytest("--gpupool-resume", *args)
        assert run.status == 0, run.output
        (line,) = [line for line in run.output.splitlines() if "--gpupool-resume goes on with none" in line]
        assert why in line
        assert run.report["run"]["resumed_from"] is None
        assert own(run) == set(run.outcomes)
        return run

    @with_workers
    def test_there_is_no_run(self, project: Host, workers: tuple[str, ...]) -> None:
        """As at first, or after an attempt that was killed before it had collected."""
        empty = project.project / ".gpupool" / "runs" / "20200101T000000Z-000000"
        empty.mkdir(parents=True)
        (empty / "controller.jsonl").write_text('{"record":"journal","version":1}\n')
        self.is_new(project, "there is no run on record", *workers)
        assert not empty.exists()

    def test_the_latest_is_complete(self, project: Host) -> None:
        """Also with -q, which shows no header."""
        project.write("now", "now\n")
        first = project.pytest().report["run"]["id"]
        self.is_new(project, f"the latest run, {first}, is complete", "-q")

    def test_the_latest_goes_on(self, cpu_host: Host) -> None:
        """It is left alone."""
        host = cpu_host
        prepare(host)
        host.write("slow/test_slow.py", "from patience import lines, say, until\ndef test_slow():\n    say('waits')\n")
        path = host.project / "slow" / "test_slow.py"
        path.write_text(path.read_text() + "    until(lambda: lines('go'), 'nobody says go')\n")
        host.write("test_suite.py", "def test_a(): pass\n")
        running = host.start("slow", "--gpupool-json=slow.json", "--junitxml=slow.xml")
        try:
            wait_for(host.project / "waits")
            self.is_new(host, "still goes on", "test_suite.py")
            host.write("go", "now\n")
            assert running.finish().status == 0
        finally:
            running.kill()

    @with_workers
    def test_it_goes_on_where_recipes_cover_what_has_changed(self, project: Host, workers: tuple[str, ...]) -> None:
        """In test files and conftest.py files; documents do not matter. What was committed meanwhile is the same."""
        project.write("model.py", "VALUE = 2\n")
        first = project.pytest(*workers).report["run"]["id"]
        self.commit(project)
        project.write("test_new.py", "def test_new(): pass\n")
        project.write("README.md", "more\n")
        project.write("now", "now\n")
        run = project.pytest(*workers, "--gpupool-resume")
        assert run.status == 0, run.output
        assert run.report["run"]["resumed_from"] == first
        assert own(run) == {"test_later", "test_new"}
        assert "2 passed, 1 kept in" in run.stdout.splitlines()[-1]

    @with_workers
    @pytest.mark.parametrize("committed", [True, False], ids=["committed", "in the tree"])
    def test_a_module_that_tests_import_has_changed(
        self, project: Host, workers: tuple[str, ...], committed: bool
    ) -> None:
        """Nobody knows which tests depend on it: a new run; a run that is named is refused, unless it is to go on."""
        first = project.pytest(*workers).report["run"]["id"]
        project.write("model.py", "VALUE = 2\n")
        project.write("other.py", "VALUE = 3\n")
        if committed:
            self.commit(project)
        words = f"since run {first} sources have changed on which any test may depend: model.py, other.py"
        refused = project.pytest(*workers, f"--gpupool-resume={first}")
        assert refused.status == 4
        assert f"gpupool: {words}; --gpupool-resume-anyway goes on all the same" in refused.stderr
        anyway = project.pytest(*workers, f"--gpupool-resume={first}", "--gpupool-resume-anyway")
        assert (anyway.report["run"]["resumed_from"], own(anyway)) == (first, {"test_later"})
        project.write("model.py", "VALUE = 4\n")
        self.is_new(project, "sources have changed on which any test may depend: model.py;", *workers)

    def test_what_git_does_not_tell(self, project: Host) -> None:
        """A repository of another user: the remedy is said, in the run that cannot go on, and in any other."""
        first = project.pytest()
        assert first.status == 1
        project.write("now", "now\n")
        environ = project.environ(GIT_TEST_ASSUME_DIFFERENT_OWNER="1", GIT_CONFIG_GLOBAL="/dev/null")
        run = project.pytest("--gpupool-resume", environ=environ)
        assert run.status == 0, run.output
        assert run.report["run"]["git"] is None
        remedy = f"git config --global --add safe.directory {project.project}"
        told = [line for line in run.stdout.splitlines() if "dubious ownership" in line]
        assert len(told) == 2, run.output
        assert all(remedy in line for line in told)
        assert "warning: git does not tell of the sources of this run: detected dubious ownership" in told[1]

"""What tests share is timed by itself: it is in no test's duration, but in every report."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from program import gpupool
from support import Host, Run

CONFTEST = """
    import time
    import pytest

    @pytest.fixture(scope="session", params=["m0", "m1"])
    def model(request):
        time.sleep(0.6)
        yield request.param
        time.sleep(0.3)

    @pytest.fixture(scope="module")
    def data(model):
        time.sleep(0.2)
"""

SUITE = """
    import time

    def setup_module():
        time.sleep(0.1)

    def test_answers(model): pass

    def test_on_data(model, data): pass

    def test_asks(request):
        request.getfixturevalue("index")

    def test_counts(number): pass
"""

LATE = """
    @pytest.fixture(scope="session")
    def late(): time.sleep(0.4)

    @pytest.fixture(scope="module")
    def index(request):
        request.getfixturevalue("late")
        time.sleep(0.1)

    @pytest.fixture
    def number(): time.sleep(0.1)
"""

with_workers = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])


def _run(host: Host, suite: str, conftest: str, *args: str, companions: Sequence[str] = ()) -> Run:
    """Run a suite with a conftest.py."""
    host.write("test_it.py", suite)
    host.write("conftest.py", conftest)
    return host.pytest(*args, companions=companions)


@with_workers
def test_each_time_is_with_what_took_it(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """By fixture and parameters, in the test that it was set up for; also what a test asks for as it goes."""
    run = _run(cpu_host, SUITE, CONFTEST + LATE, *workers)
    assert run.status == 0
    fixtures = {name: set(test["setup_s"]) for name, test in run.tests.items()}
    assert fixtures == {
        "test_answers[m0]": {"model[m0]", "test_it.py::setup_module"},
        "test_on_data[m0]": {"data[m0]"},
        "test_answers[m1]": {"model[m1]"},
        "test_on_data[m1]": {"data[m1]"},
        "test_asks": {"late", "index"},
        "test_counts": set(),
    }
    least = {"model[m0]": 0.6, "data[m0]": 0.2, "test_it.py::setup_module": 0.1, "late": 0.4, "index": 0.1}
    told = {key: seconds for test in run.tests.values() for key, seconds in test["setup_s"].items()}
    assert {key: told[key] >= seconds for key, seconds in least.items()} == dict.fromkeys(least, True)
    assert run.tests["test_counts"]["duration_s"] >= 0.1


@with_workers
def test_no_test_has_it_in_its_duration(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Together they are no longer than the run of the tests was; nor is anything counted twice."""
    run = _run(cpu_host, SUITE, CONFTEST + LATE, *workers)
    fixtures = {entry["fixture"]: entry for entry in run.report["fixtures"]}
    assert fixtures["model[m0]"]["teardown_s"] >= 0.3
    assert {entry["built"] for entry in fixtures.values()} == {1}
    set_up = sum(entry["setup_s"] + entry["teardown_s"] for entry in fixtures.values())
    last = fixtures["model[m1]"]["teardown_s"]  # which comes when the last test is over
    summary = run.report["summary"]
    own = sum(test["duration_s"] for test in run.tests.values())
    assert own + set_up - last <= summary["makespan_s"]
    for test in run.tests.values():
        assert sum(test["phases"].values()) == pytest.approx(test["duration_s"])
    assert summary["busy_s"] == pytest.approx(own)


def test_the_last_lines_say_how_often_what_was_built(cpu_host: Host) -> None:
    """And of which parameters; what took next to nothing is not told."""
    run = _run(cpu_host, SUITE, CONFTEST, "-n1", "-k", "answers or on_data")
    lines = [line for line in run.stdout.splitlines() if " built " in line]
    assert [line.split(" (")[0] for line in lines] == [
        "gpupool: model was built 2 times",
        "gpupool: data was built 2 times",
    ]
    assert lines[0].endswith("): m0 ×1, m1 ×1")


def test_a_set_up_that_failed_is_timed_and_not_learned(cpu_host: Host) -> None:
    """It says nothing of how long one takes that succeeds."""
    suite = """
        import time
        import pytest

        @pytest.fixture(scope="module")
        def broken():
            time.sleep(0.1)
            raise ValueError("no weights")

        @pytest.fixture(scope="module")
        def whole(): time.sleep(0.1)

        def test_a(broken): pass
        def test_b(whole): pass
    """
    run = _run(cpu_host, suite, "", "-n1")
    assert run.outcomes == {"test_a": "error", "test_b": "passed"}
    assert list(run.tests["test_a"]["setup_s"]) == ["test_it.py::broken"]
    learned = json.loads((run.directory / ".gpupool" / "durations.json").read_text())["fixtures"]
    assert list(learned) == ["test_it.py::whole"]


def test_what_is_learned_is_a_tests_own(cpu_host: Host) -> None:
    """So that it is the same whoever sets up what it shares, in the file and when a report is made anew."""
    run = _run(cpu_host, SUITE, CONFTEST, "-n1", "-k", "answers")
    learned = json.loads((run.directory / ".gpupool" / "durations.json").read_text())
    own = {name: test["duration_s"] for name, test in run.tests.items()}
    in_file = {name.split("::")[1]: by_kind["CPU"]["seconds"] for name, by_kind in learned["tests"].items()}
    assert in_file == {name: [pytest.approx(seconds, abs=1e-6)] for name, seconds in own.items()}
    # Setting it up and tearing it down both come with going from one to another.
    assert learned["fixtures"]["model[m0]"]["CPU"]["seconds"][0] >= 0.6 + 0.3
    assert gpupool(cpu_host, "report", run.report["run"]["id"], "--json", "again.json")[0] == 0
    rebuilt = json.loads((run.directory / "again.json").read_text())
    assert rebuilt["fixtures"] == run.report["fixtures"]
    assert rebuilt["tests"] == run.report["tests"]


def test_every_attempt_sets_up_anew(cpu_host: Host) -> None:
    """A rerun's own are in its place; those of the attempts before count as built."""
    suite = """
        import time
        import pytest

        tries = []

        @pytest.fixture(scope="class")
        def server(): time.sleep(0.05)

        class TestIt:
            def test_a(self, server):
                tries.append(1)
                assert len(tries) == 2
    """
    run = _run(cpu_host, suite, "", "-n1", "--reruns=1", companions=["rerunfailures"])
    assert run.outcomes == {"TestIt::test_a": "passed"}
    assert [(entry["fixture"], entry["built"]) for entry in run.report["fixtures"]] == [("test_it.py::server", 2)]
    assert list(run.tests["TestIt::test_a"]["setup_s"]) == ["test_it.py::server"]

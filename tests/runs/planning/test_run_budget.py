"""A run that is to end in time: what does not start, what is said of it, and how it is gone on with."""

from __future__ import annotations

import pytest
from spans import KIND, remember
from support import Host

WORKERS = pytest.mark.parametrize("workers", [(), ("-n1",), ("-n2",)], ids=["plain", "n1", "n2"])

SUITE = """
    import pathlib, pytest

    @pytest.fixture(scope="module")
    def server():
        yield
        pathlib.Path("server").write_text("torn down")

    def test_first(server): pass
    def test_long(server): pass
    def test_last(server): pass
"""


@WORKERS
def test_what_would_end_too_late_does_not_start(host: Host, workers: tuple[str, ...]) -> None:
    """Shorter tests run, whatever the order; the run is incomplete, says why, and can be gone on with."""
    host.write("test_it.py", SUITE)
    remember(host, {"test_it.py::test_long": 3000.0, "test_it.py::test_first": 0.01, "test_it.py::test_last": 0.01})
    run = host.pytest("--gpupool-budget=40min", *workers)
    assert run.outcomes == {"test_first": "passed", "test_long": "not-run", "test_last": "passed"}
    assert (run.status, run.report["run"]["complete"]) == (1, False)
    assert "warning: 1 test was not started: the expected end lay beyond --gpupool-budget" in run.output
    assert f"--gpupool-resume={run.report['run']['id']}" in run.output
    assert (host.project / "server").read_text() == "torn down"
    rest = host.pytest(f"--gpupool-resume={run.report['run']['id']}", *workers)
    assert (rest.status, set(rest.outcomes.values())) == (0, {"passed"})


@WORKERS
def test_a_budget_that_is_used_up(host: Host, workers: tuple[str, ...]) -> None:
    """No test starts once it is over, also of those of which nobody knows how long they take."""
    host.write("test_it.py", SUITE)
    run = host.pytest("--gpupool-budget=0.001", *workers)
    assert set(run.outcomes.values()) == {"not-run"}
    assert run.status == 1
    assert "3 tests were not started" in run.output


def test_the_last_tests_run_to_their_end(cpu_host: Host) -> None:
    """What runs when the time is over may finish; nothing follows it."""
    cpu_host.write(
        "test_it.py",
        """
        import time, pytest
        @pytest.mark.parametrize("case", range(40))
        def test_case(case): time.sleep(1.5)
        """,
    )
    run = cpu_host.pytest("-n2", "--gpupool-devices=cpu", "--gpupool-budget=12")
    outcomes = list(run.outcomes.values())
    assert {"passed", "not-run"} == set(outcomes)
    assert run.report["run"]["finished"] == outcomes.count("passed")
    assert f"{outcomes.count('not-run')} tests were not started" in run.output


@WORKERS
def test_setting_up_counts(host: Host, workers: tuple[str, ...]) -> None:
    """A test of seconds on a model of an hour does not start in a budget of half of it."""
    host.write("test_it.py", SUITE)
    ids = [f"test_it.py::test_{name}" for name in ("first", "long", "last")]
    remember(host, dict.fromkeys(ids, 0.01), kind=KIND, fixtures={"test_it.py::server": 3600.0})
    run = host.pytest("--gpupool-budget=30min", *workers)
    assert set(run.outcomes.values()) == {"not-run"}


@WORKERS
def test_what_is_left_out_is_set_up_for_nobody(host: Host, workers: tuple[str, ...]) -> None:
    """What the tests before and after it need is torn down and set up as if it were not there."""
    for name in ("a", "b", "c"):
        host.write(
            f"test_{name}.py",
            f"""
            import pytest

            @pytest.fixture(scope="module", autouse=True)
            def of_module():
                with open("log", "a") as log: log.write("+{name} ")
                yield
                with open("log", "a") as log: log.write("-{name} ")

            def test_{name}(): pass
            """,
        )
    known = {f"test_{name}.py::test_{name}": 3000.0 if name == "b" else 0.01 for name in "abc"}
    remember(host, known)
    run = host.pytest("--gpupool-budget=2000", "--gpupool-order=file", *workers)
    assert run.outcomes == {"test_a": "passed", "test_b": "not-run", "test_c": "passed"}
    assert sorted((host.project / "log").read_text().split()) == ["+a", "+c", "-a", "-c"]
    if workers != ("-n2",):
        assert (host.project / "log").read_text() == "+a -a +c -c "


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--gpupool-budget=0",), "--gpupool-budget=0: give seconds above 0, or a time such as 90s, 5m or 2h"),
        (("--gpupool-budget=soon",), "--gpupool-budget=soon: give seconds above 0"),
        (("--gpupool-budget=9", "-n2", "--dist=each"), "--gpupool-budget and --dist each do not go together"),
    ],
    ids=["zero", "no-number", "each"],
)
def test_what_makes_no_sense_is_refused(host: Host, args: tuple[str, ...], words: str) -> None:
    """With what to give."""
    host.write("test_it.py", SUITE)
    run = host.pytest(*args)
    assert run.status == 4
    assert words in run.output

"""Fixtures that tests share stay set up while a worker waits for its next test; what its own is goes at once."""

from __future__ import annotations

import re

import pytest
from support import Host

pytestmark = pytest.mark.usefixtures("leaves_nothing")

SHARED = """
    import os, time
    import pytest

    def say(text):
        with open("said", "a") as file:
            file.write(f"{os.environ['PYTEST_XDIST_WORKER']} {text}\\n")

    @pytest.fixture(scope="session")
    def model():
        say("model up")
        yield
        say("model down")

    @pytest.fixture
    def own():
        yield
        say("own down")
"""


def said(host: Host, text: str) -> int:
    """How often that was said."""
    return sum(line.endswith(f" {text}") for line in (host.project / "said").read_text().splitlines())


@pytest.mark.parametrize(
    ("marks", "tests"),
    [
        ("stage={case}", 6),
        ("lock='port'", 6),
        ("serial=True", 6),
        ("stage={case} % 2, lock='port', serial={case} == 3", 6),
    ],
    ids=["stages", "lock", "serial", "all"],
)
def test_nothing_is_set_up_twice(cpu_host: Host, marks: str, tests: int) -> None:
    """Each of two workers loads the model once at most, however often it has nothing to do."""
    cases = "\n".join(
        f"""
    @pytest.mark.gpupool({marks.format(case=case)})
    def test_case_{case}(model, own): time.sleep(0.05)
    def test_beside_{case}(model): time.sleep(0.02)
        """
        for case in range(tests)
    )
    cpu_host.write("test_suite.py", SHARED + cases)
    run = cpu_host.pytest("-n2")
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}
    assert len(run.outcomes) == 2 * tests
    assert 1 <= said(cpu_host, "model up") == said(cpu_host, "model down") <= 2
    assert said(cpu_host, "own down") == tests


def test_what_is_a_tests_own_is_gone_before_it_waits(cpu_host: Host) -> None:
    """The other worker's test goes on until it has seen that."""
    cpu_host.write(
        "test_suite.py",
        SHARED
        + """
    def test_one(model, own): pass

    def test_two():
        while not os.path.exists("said") or "own down" not in open("said").read():
            time.sleep(0.01)

    @pytest.mark.gpupool(stage=1)
    def test_last(model): pass
        """,
    )
    run = cpu_host.pytest("-n2")
    assert run.status == 0, run.output


def test_an_error_in_a_late_tear_down_is_the_last_tests(cpu_host: Host) -> None:
    """As with pytest alone; each report has it, and the other tests run."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest, time

        @pytest.fixture(scope="module")
        def model():
            yield
            raise RuntimeError("cannot unload")

        def test_one(model): pass

        @pytest.mark.gpupool(stage=1)
        def test_two(): time.sleep(0.1)
        """,
    )
    cpu_host.write("test_other.py", "import pytest\n@pytest.mark.gpupool(stage=2)\ndef test_three(): pass\n")
    run = cpu_host.pytest("-n2")
    assert run.status == 1, run.output
    broken = [name for name, outcome in run.outcomes.items() if outcome == "error"]
    assert len(broken) == 1, run.output
    assert broken[0] in ("test_one", "test_two")
    assert "cannot unload" in run.tests[broken[0]]["message"]
    assert f"ERROR test_suite.py::{broken[0]} - RuntimeError: cannot unload" in run.output
    assert "3 passed, 1 error" in run.output
    assert run.junit_outcomes[broken[0]] == "error"


@pytest.mark.parametrize("fails", ["own", "module"])
def test_both_steps_fail_as_one(cpu_host: Host, fails: str) -> None:
    """Whatever of a test's fixtures fails: the wider ones are torn down all the same."""
    cpu_host.write(
        "test_suite.py",
        f"""
        import pytest

        @pytest.fixture(scope="module")
        def wide():
            yield
            open("wide-{{}}".format("down"), "w").close()
            if {fails == "module"}: raise RuntimeError("wide")

        @pytest.fixture
        def own(wide):
            yield
            raise ValueError("own")

        def test_one(own): pass
        """,
    )
    cpu_host.write("test_other.py", "def test_two(): pass\n")
    run = cpu_host.pytest("-n1", "--gpupool-order=file", "test_suite.py", "test_other.py")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_one": "error", "test_two": "passed"}
    assert (cpu_host.project / "wide-down").exists()
    assert "ValueError: own" in run.output
    assert ("RuntimeError: wide" in run.output) == (fails == "module")


HANGS = """
    import os, time
    import pytest

    @pytest.fixture(scope="module")
    def hangs():
        yield
        time.sleep(1000)
"""

OTHER = """
    import pytest

    @pytest.mark.gpupool(stage=1, timeout=2)
    def test_two(): pass
"""


def test_a_late_tear_down_that_hangs(cpu_host: Host) -> None:
    """It has as long as the test whose fixture it is; then its worker is ended, and the run is no success.

    The worker waits when it is told what comes next: its test is over, and the other worker's goes on until then. The
    next test is not to blame, and it runs elsewhere.
    """
    cpu_host.write(
        "conftest.py", 'def pytest_runtest_logfinish(nodeid): open(nodeid.split("::")[1] + ".over", "w").close()\n'
    )
    cpu_host.write(
        "test_suite.py",
        HANGS
        + """
    def test_goes_on_until_the_other_is_over():
        while not os.path.exists("test_one.over"): time.sleep(0.01)

    @pytest.mark.gpupool(timeout=3)
    def test_one(hangs): pass
        """,
    )
    cpu_host.write("test_when_all_are_over.py", OTHER)
    run = cpu_host.pytest("-n2", "--gpupool-order=file")
    assert run.status == 3, run.output
    assert run.outcomes == {
        "test_goes_on_until_the_other_is_over": "passed",
        "test_one": "passed",
        "test_two": "passed",
    }
    late = r"(gw\d) did not tear down the fixtures that test_suite.py::test_one used in 3 s and was ended"
    told = set(re.findall(late, run.output))
    assert told == {run.tests["test_one"]["worker"]}, run.output
    assert run.exits[told.pop()] == "killed"
    assert re.search(r'test_suite.py", line \d+ in hangs', run.output)


def test_a_tear_down_that_hangs_before_its_test_is_over(cpu_host: Host) -> None:
    """As where a worker is given its next test at once: it is a part of the test, as with pytest alone."""
    cpu_host.write(
        "test_suite.py",
        HANGS
        + """
    @pytest.mark.gpupool(timeout=3)
    def test_one(hangs): pass
        """,
    )
    cpu_host.write("test_when_all_are_over.py", OTHER.replace("stage=1, ", ""))
    run = cpu_host.pytest("-n1", "--gpupool-order=file")
    assert run.status == 1, run.output
    assert run.outcomes == {"test_one": "timeout", "test_two": "passed"}
    assert "did not tear down" not in run.output
    assert re.search(r'test_suite.py", line \d+ in hangs', run.output)

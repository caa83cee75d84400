"""What xdist's own options mean where tests crash, hang or end the run, and what its users read."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest
from suites import prepare
from support import Host

pytestmark = pytest.mark.usefixtures("leaves_nothing")

CRASHES = "os.kill(os.getpid(), 9)"
HANGS = "time.sleep(1000)"


@pytest.mark.parametrize("ends", [CRASHES, HANGS], ids=["crash", "timeout"])
def test_x_stops_at_tests_that_end_with_their_worker(cpu_host: Host, ends: str) -> None:
    """They have failed, like others; nothing else begins."""
    cpu_host.write(
        "test_suite.py",
        f"""
        import os, time
        import pytest

        @pytest.mark.gpupool(timeout=2)
        def test_one(): {ends}

        @pytest.mark.gpupool(stage=1)
        @pytest.mark.parametrize("case", range(5))
        def test_later(case): pass
        """,
    )
    run = cpu_host.pytest("-n2", "-x")
    assert run.status == 2, run.output
    assert run.outcomes["test_one"] in ("crashed", "timeout")
    assert {run.outcomes[f"test_later[{case}]"] for case in range(5)} == {"not-run"}
    assert "stopping after 1 failures" in run.output


def test_crashes_that_a_test_is_to_blame_for_cost_no_restart(cpu_host: Host) -> None:
    """Each takes one test with it, so there is an end; xdist alone gives up after four of a worker's."""
    cpu_host.write(
        "test_suite.py",
        f"""
        import os
        import pytest

        @pytest.mark.parametrize("case", range(8))
        def test_case(case):
            if case < 7: {CRASHES}
        """,
    )
    run = cpu_host.pytest("-n1")
    assert run.status == 1, run.output
    assert run.outcomes == {**{f"test_case[{case}]": "crashed" for case in range(7)}, "test_case[7]": "passed"}
    assert "maximum crashed workers reached" not in run.output


def test_workers_that_die_by_themselves_have_an_end(cpu_host: Host) -> None:
    """Those count, as with xdist."""
    cpu_host.write("conftest.py", f"import os\nif 'PYTEST_XDIST_WORKER' in os.environ: {CRASHES}\n")
    cpu_host.write("test_suite.py", "def test_one(): pass\n")
    run = cpu_host.pytest("-n1")
    assert run.status != 0
    assert "maximum crashed workers reached: 4" in run.output


DIES_WHILE = {
    "starting": """
        if WORKER == "gw0": os._exit(3)
    """,
    "collecting": """
        if WORKER == "gw0":
            until(lambda: lines("begun"), "no test begins")
            say("dies")
            os._exit(3)
    """,
    "testing": """
        @pytest.mark.gpupool(priority=1)
        def test_dies():
            until(lambda: lines("begun"), "no other test begins")
            say("dies")
            os._exit(3)
    """,
}


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("dies", DIES_WHILE.values(), ids=DIES_WHILE)
def test_where_no_worker_is_replaced_the_others_go_on(cpu_host: Host, dies: str, workers: int) -> None:
    """They run all that is left, and nothing but the test that died is blamed."""
    prepare(cpu_host)
    begins = "say('begun')\n" if "begun" in dies else ""
    begins += "    until(lambda: lines('dies'), 'nobody dies')" if begins else "pass"
    imports = "import os\nimport pytest\nfrom patience import WORKER, lines, say, until\n"
    cases = f"@pytest.mark.parametrize('case', range(9))\ndef test_case(case):\n    {begins}\n"
    cpu_host.write("test_suite.py", imports + textwrap.dedent(dies) + cases)
    run = cpu_host.pytest(f"-n{workers}", "--max-worker-restart=0")
    died = {"test_dies": "crashed"} if "test_dies" in dies else {}
    assert run.outcomes == {f"test_case[{case}]": "passed" for case in range(9)} | died
    assert run.status == len(died), run.output
    assert sorted(run.exits.values()) == ["crashed"] + ["finished"] * (workers - 1)
    assert "crashed and worker restarting disabled" in run.output


def test_a_crash_beyond_the_restarts_blames_no_other_test(cpu_host: Host) -> None:
    """A worker that is told to end for it ends its test, with a result, and no more."""
    prepare(cpu_host)
    cpu_host.write(
        "test_suite.py",
        """
        import os
        import pytest
        from patience import lines, say, until

        @pytest.mark.gpupool(priority=1)
        @pytest.mark.parametrize("case", range(2))
        def test_dies(case):
            say("dies", os.getpid())
            until(lambda: len(lines("dies")) == 2 and lines("goes on"), "not all are here")
            os._exit(3)

        @pytest.mark.gpupool(priority=1)
        def test_goes_on():
            say("goes on")
            until(lambda: len(lines("dies")) == 2, "not both die")
            # The controller collects them when it knows of their death.
            until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in lines("dies")), "they do not die")

        @pytest.mark.parametrize("case", range(9))
        def test_later(case): pass
        """,
    )
    run = cpu_host.pytest("-n3", "--max-worker-restart=1")
    assert run.status == 1, run.output
    assert (run.outcomes["test_goes_on"], run.outcomes["test_dies[0]"]) == ("passed", "crashed")
    assert "2 failed" in run.stdout.splitlines()[-1], run.output
    assert "maximum crashed workers reached: 1" in run.output
    assert "ended the session" not in run.output
    assert "cannot go on" not in run.output


@pytest.mark.parametrize(
    ("body", "status"),
    [("pytest.exit('enough', returncode=3)", 3), ("time.sleep(1000)", 1), ("raise RuntimeError(STICKY)", 1)],
    ids=["exit", "timeout", "sticky"],
)
def test_each_survives_what_happens_in_one_worker(cpu_host: Host, body: str, status: int) -> None:
    """No internal error."""
    cpu_host.write(
        "test_suite.py",
        f"""
        import os, time
        import pytest
        STICKY = "CUDA error: device-side assert triggered"

        @pytest.mark.gpupool(timeout=3)
        def test_one():
            if os.environ["PYTEST_XDIST_WORKER"] == "gw0": {body}

        def test_two(): time.sleep(0.1)
        """,
    )
    run = cpu_host.pytest("-n2", "--dist=each")
    assert run.status == status, run.output
    assert "INTERNALERROR" not in run.output


def test_each_where_two_workers_die_at_once(cpu_host: Host) -> None:
    """Of those that go on in their place the second collects when the first one has done all."""
    prepare(cpu_host)
    cpu_host.write(
        "conftest.py",
        """
        from patience import WORKER, lines, say, until

        def pytest_collection():
            say(f"collects {WORKER}")
            if WORKER == "gw2": until(lambda: lines("collects gw3"), "gw3 does not come")
            if WORKER == "gw3": until(lambda: lines("done"), "gw2 does not go on")
        """,
    )
    cpu_host.write(
        "test_suite.py",
        """
        import os
        from patience import WORKER, lines, say, until

        def test_dies():
            say("dies")
            until(lambda: len(lines("dies")) == 2, "not both die")
            os._exit(3)

        def test_later(): say("done", WORKER)
        """,
    )
    run = cpu_host.pytest("-n2", "--dist=each")
    assert run.status == 1, run.output
    assert "INTERNALERROR" not in run.output
    assert sorted((cpu_host.project / "done").read_text().split()) == ["gw2", "gw3"]


def test_workers_behind_proxies_are_refused(cpu_host: Host) -> None:
    """In a sentence."""
    cpu_host.write("test_suite.py", "def test_one(): pass\n")
    run = cpu_host.pytest("--px=id=p//popen", "--tx=via=p//popen", "--dist=load")
    assert run.status == 4, run.output
    assert "gpupool: --px: a worker behind a proxy is not started here" in run.output
    assert "INTERNALERROR" not in run.output


WARNINGS = """
    import os, sys, types, warnings
    import pytest

    class Local(UserWarning): pass

    def made_in(name):
        module = types.ModuleType(name)
        module.Odd = type("Odd", (DeprecationWarning,), {"__module__": name})
        sys.modules[name] = module
        return module.Odd

    class NoRepr:
        def __repr__(self): raise ValueError("no words")

    class Strict(UserWarning):
        def __init__(self, text):
            if "PYTEST_XDIST_WORKER" not in os.environ: raise ValueError(text)
            super().__init__(text)

    def test_of_the_file(): warnings.warn("told", Local)

    def test_of_a_function():
        class Inner(UserWarning): pass
        warnings.warn("told", Inner)

    @pytest.mark.parametrize("module", ["nowhere", "skips", "exits"])
    def test_of_a_module(module): warnings.warn("told", made_in(module))

    def test_that_cannot_be_made_again(): warnings.warn(Strict("told"))

    def test_about_something_without_words(): warnings.warn("told", UserWarning, source=NoRepr())

    def test_with_odd_words(): warnings.warn(UserWarning(object(), {"a": len}))
"""


def test_a_warning_whose_class_cannot_be_had_costs_its_category(cpu_host: Host) -> None:
    """Its words are there, with the class's name; the run goes on."""
    cpu_host.write("skips.py", "import pytest\npytest.skip('not here', allow_module_level=True)\n")
    cpu_host.write("exits.py", "raise SystemExit(7)\n")
    cpu_host.write("test_suite.py", WARNINGS)
    run = cpu_host.pytest("-n2", "-Wdefault")
    assert (run.status, set(run.outcomes.values())) == (0, {"passed"}), run.output
    assert "8 passed, 8 warnings" in run.output
    for name in ("test_suite.Inner", "nowhere.Odd", "skips.Odd", "exits.Odd", "test_suite.Strict"):
        assert f" Warning: {name}: told\n" in run.stdout
    assert " Local: told\n" in run.stdout
    assert " UserWarning: told\n" in run.stdout
    assert "INTERNALERROR" not in run.output


def test_a_test_that_is_skipped_needs_no_devices(make_host: Callable[..., Host]) -> None:
    """No worker of its size is started for it."""
    host = make_host(2)
    host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.parametrize("case", range(4))
        def test_one(case): pass

        @pytest.mark.skip("not today")
        @pytest.mark.gpupool(gpus=2)
        def test_two(): pass
        """,
    )
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert run.outcomes["test_two"] == "skipped"
    assert {len(worker["devices"]) for worker in run.report["workers"]} <= {0, 1}
    assert len(run.report["workers"]) == 2


def test_xdists_lines_are_there(cpu_host: Host) -> None:
    """People and scripts look for them."""
    cpu_host.write("test_suite.py", "def test_one(): pass\ndef test_two(): pass\n")
    run = cpu_host.pytest("-n2", "-v")
    assert "\n2 workers [2 items]\n" in run.output
    assert "\nscheduling tests via LateScheduling\n" in run.output
    assert "items]" not in cpu_host.pytest("-n2", "-q").output


@pytest.mark.parametrize("workers", [1, 2])
def test_that_there_is_no_test_is_said_once(cpu_host: Host, workers: int) -> None:
    """Each worker finds none, and the run begins with the first."""
    cpu_host.write("test_suite.py", "import nothing_of_this_name\n")
    run = cpu_host.pytest(f"-n{workers}", "-v")
    assert run.status == 1
    assert run.output.count("[0 items]") == 1, run.output
    assert run.output.count("scheduling tests via") == 1
    assert "collecting:" not in run.output

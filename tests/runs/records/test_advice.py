"""What a run held, kept or allowed for nothing is said at its end, where it is much of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from program import gpupool
from standin.devices import GIB
from support import Host, Run, records

STAGED = """
    import time
    import pytest

    @pytest.mark.gpupool(memory="75GiB", timeout=3600)
    def test_trains(): time.sleep(15)

    @pytest.mark.gpupool(stage=1)
    @pytest.mark.parametrize("n", range(3))
    def test_reads(n): pass
"""

SMALL = """
    import time
    import pytest

    @pytest.mark.parametrize("n", range(5))
    def test_small(n): time.sleep(3)
"""

GROUP = """
    import time
    import pytest

    @pytest.mark.gpupool(priority=1)
    @pytest.mark.parametrize("seconds", [12, 0.01, 0.01])
    def test_alone(seconds): time.sleep(seconds)

    @pytest.mark.gpupool(gpus=3)
    def test_together(): time.sleep(1)
"""

MODELS = """
    import time
    import pytest

    @pytest.fixture(scope="module", params=["m0", "m1"])
    def model(request): time.sleep(3)
"""


@pytest.fixture
def half_used(make_host: Callable[..., Host]) -> Host:
    """A host with three GPUs, of which every test takes 3 GiB, and a fifth of their time."""
    return make_host(3, used=3 * GIB, utilization=20)


def _run(host: Host, *args: str) -> Run:
    run = host.pytest("--gpupool-allow-busy", *args)
    assert run.status == 0, run.output
    return run


def _lines(run: Run) -> list[str]:
    marker = "gpupool: advice: "
    return [line.removeprefix(marker) for line in run.stdout.splitlines() if line.startswith(marker)]


def _said(run: Run, kind: str) -> str:
    """The one line of a kind: what the user sees in the terminal, as the JSON report has it."""
    assert _lines(run) == [item["text"] for item in run.report["advice"]]
    (text,) = (item["text"] for item in run.report["advice"] if item["kind"] == kind)
    return str(text)


def test_what_waits_for_a_stage_what_declares_much_and_what_hangs_long(half_used: Host) -> None:
    """Two of three GPUs had no test for 15 s; all reports of the run say the same."""
    half_used.write("test_it.py", STAGED)
    run = _run(half_used, "-n3", "-v", "--gpupool-html=report.html")
    stage = _said(run, "stage")
    assert stage.startswith("GPUs were held without a test for ")
    assert " for tests of a lower stage to end: " in stage
    (waited,) = (item["saves"] for item in run.report["advice"] if item["kind"] == "stage")
    assert 0.05 < waited < 2 / 3
    memory = _said(run, "memory")
    assert memory.startswith(
        'test_trains declares 75.0 GiB of memory and used 3.0 GiB at most: memory="3840MiB" would do'
    )
    limit = _said(run, "timeout")
    assert "times what the longest test that has it took (15 s, test_trains): " in limit
    assert limit.startswith("a timeout of 3600 s is 2")
    page = (run.directory / "report.html").read_text()
    assert f"<li>{memory.replace(chr(34), '&#34;')}</li>" in page
    assert page.index(">Advice</h3>") < page.index(f"<li>{stage}</li>") < page.index('id="no-script"')
    rebuilt = half_used.project / "again.json"
    assert gpupool(half_used, "report", "latest", "--json", rebuilt)[0] == 0
    assert json.loads(rebuilt.read_text())["advice"] == run.report["advice"]


def test_how_many_workers_would_have_fitted(half_used: Host) -> None:
    """Five keep the GPU busy, and there are as many tests; without ``-v`` only the report has it."""
    half_used.write("test_it.py", SMALL)
    run = _run(half_used, "-n1")
    assert "advice" not in run.stdout
    (item,) = (item for item in run.report["advice"] if item["kind"] == "slots")
    assert item["text"].startswith(
        "5 workers would have fitted on each GPU, where there was 1: tests used 3.0 GiB of 80.0"
    )
    assert "--gpupool-slots=5 with -n 5 saves up to " in item["text"]
    assert item["of"] == "makespan"


def test_what_stands_free_until_there_are_enough(host: Host) -> None:
    """Two GPUs wait for the third, which a long test has."""
    host.write("test_it.py", GROUP)
    run = _run(host, "-n3", "-v", "--gpupool-devices=0,1,2")
    assert "until there were 3 for a test (" in _said(run, "gpus")


def test_what_a_worker_sets_up_again(host: Host) -> None:
    """Two models, in each of three modules: four of six are built again."""
    host.write("conftest.py", MODELS)
    for name in ("a", "b", "c"):
        host.write(f"test_{name}.py", "def test_it(model): pass")
    run = _run(host, "-v")
    assert _said(run, "set-up").startswith("model was built 4 times by workers that had built it before (")


def test_what_markers_declare_is_on_record(host: Host) -> None:
    """In bytes of the device, be it given as a share of that; no limit is another thing than none given."""
    host.write(
        "test_it.py",
        """
        import pytest

        @pytest.mark.gpupool(memory=0.5, timeout=float("inf"))
        def test_half(): pass

        def test_plain(): pass
        """,
    )
    _run(host, "--gpupool-timeout=90s")
    made = [*records(host.project)]
    asked = {record["test"]: record.get("asked") for record in made if record["record"] == "start"}
    assert asked == {"test_it.py::test_half": {"memory": 40 * GIB, "timeout": None}, "test_it.py::test_plain": None}
    settings = {record["name"]: record["value"] for record in made if record["record"] == "setting"}
    assert settings["timeout"] == 90
    assert settings["cores"] >= 1


def test_a_run_of_seconds_gets_none(half_used: Host) -> None:
    """Whatever it declares and waits for: nothing is said, and the report has an empty list."""
    half_used.write("test_it.py", STAGED.replace("sleep(15)", "sleep(0.6)"))
    run = _run(half_used, "-n1", "-v")
    assert (_lines(run), run.report["advice"]) == ([], [])


@pytest.mark.long
def test_cpu_slots_get_none(cpu_host: Host) -> None:
    """A worker that waits there holds nothing that others could use."""
    cpu_host.write("test_it.py", STAGED.replace('memory="75GiB", ', "").replace("sleep(15)", "sleep(11)"))
    run = _run(cpu_host, "-n2", "-v")
    assert (_lines(run), run.report["advice"]) == ([], [])


@pytest.mark.long
def test_of_results_that_are_kept_nothing_is_said(half_used: Host) -> None:
    """The run that goes on with another has no use for its GPUs, and says nothing of what the other had."""
    suite = STAGED + "\n    def test_fails(): open('fixed')\n"
    half_used.write("test_it.py", suite)
    first = half_used.pytest("-n3", "--gpupool-allow-busy", "-v")
    assert first.status == 1
    assert _said(first, "memory")
    earlier = first.report["run"]["id"]
    half_used.write("fixed", "")
    second = _run(half_used, "-n1", "-v", f"--gpupool-resume={earlier}", "--gpupool-resume-anyway")
    assert second.tests["test_trains"]["run"] == earlier
    assert not {item["kind"] for item in second.report["advice"]} & {"memory", "slots", "stage", "timeout"}

"""What tests record of single items: in the run's directory, in its report, and as gpupool items shows it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet
import pytest
from made_pages import details, items, parsed
from program import gpupool
from support import Host

SUITE = """
    import os, signal
    import pytest

    WORSE = os.environ.get("WORSE")

    @pytest.mark.parametrize("model", ["a", "b"])
    def test_answers(model, record_sample, record_metric):
        right = {f"q{n}": n % 5 > 0 for n in range(50)}
        if WORSE and model == "b":
            right |= {"q1": False, "q2": False, "q5": True}
        for name, is_right in right.items():
            record_sample(name, input=f"{name}?", output=f"{model}{is_right}", target="x", score=is_right, f1=0.5)
        record_metric("accuracy", sum(right.values()) / 50, higher_is_better=True, samples=right)

    def test_twice(record_sample):
        record_sample(1, score=True)
        record_sample("1", score=True)

    def test_forks(record_sample):
        record_sample("p", score=1)
        for child in "ab":
            if (pid := os.fork()) == 0:
                record_sample(f"{child}1", score=0)
                record_sample(f"{child}2", score=0)
                os._exit(0)
            os.waitpid(pid, 0)

    def test_fork_again(record_sample):
        if (pid := os.fork()) == 0:
            record_sample("same", score=0)
            os._exit(0)
        os.waitpid(pid, 0)
        record_sample("same", score=0)

    @pytest.mark.gpupool(isolate=True)
    def test_isolated(record_sample):
        record_sample("i", output="z" * 70_000, score=float("nan"))
        if WORSE:
            os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.gpupool(repeats=2)
    def test_repeated(gpu, record_sample):
        record_sample("r", score=gpu.repeat)

    def test_killed(record_sample):
        record_sample("k1", score=1)
        record_sample("k2", score=0)
        if WORSE:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def runs(host: Host) -> list[Path]:
    """The directories of its runs, the latest last."""
    return sorted((host.project / ".gpupool" / "runs").iterdir())


def summaries(tests: dict[str, dict[str, object]]) -> dict[str, object]:
    """What a report says of items, without where they lie."""
    found: dict[str, object] = {}
    for name, test in tests.items():
        told = test.get("items")
        if isinstance(told, dict):
            found[name] = (told["count"], {key: one["mean"] for key, one in told["scores"].items()})
    return found


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_items_are_kept_reported_and_compared(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """With workers and without, of children, repeats, and of processes that are killed."""
    host = cpu_host
    host.write("test_it.py", SUITE)
    baseline = "--gpupool-baseline=baseline.json"
    first = host.pytest(*workers, baseline, "--gpupool-update-baseline", "-k", "answers or repeated or forks")
    assert first.status == 0, first.output
    usual = "answers or twice or fork or isolated or repeated"
    chosen = f"{usual} or killed" if workers else usual
    worse = host.pytest(*workers, baseline, "-k", chosen, environ=host.environ(WORSE="1"))
    assert "item '1' was recorded before in this test: give each item an id of its own" in worse.stdout
    assert "item 'same' was recorded by two processes of this test; the first one counts" in worse.stdout
    assert worse.outcomes["test_isolated"] == "crashed"
    expected = {
        "test_answers[a]": (50, {"score": 0.8, "f1": 0.5}),
        "test_answers[b]": (50, {"score": 0.78, "f1": 0.5}),
        "test_twice": (1, {"score": 1.0}),
        "test_forks": (5, {"score": 0.2}),
        "test_fork_again": (1, {"score": 0.0}),
        "test_isolated": (1, {"score": None}),
    }
    killed = {"test_killed": (2, {"score": 0.5})} if workers else {}
    assert summaries(worse.tests) == expected | killed
    assert [one["items"]["scores"]["score"]["mean"] for one in worse.tests["test_repeated"]["repeats"]] == [0.0, 1.0]

    # By the baseline that the run had, by another run, and as other programs take it.
    status, out, err = gpupool(host, "items", "latest", "--flipped")
    assert (status, err) == (0, "")
    assert "test_it.py::test_answers[b]: 3 flipped, 2 broke, 1 fixed" in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("  q")] == [
        ["q1", "broke"],
        ["q2", "broke"],
        ["q5", "fixed"],
    ]
    against = ("items", "latest", "--flipped", "[b]", "--against", runs(host)[0].name)
    found = list(csv.DictReader(io.StringIO(gpupool(host, *against, "--format", "csv")[1])))
    assert {row["id"]: (row["flip"], row["output"], row["before.output"]) for row in found} == {
        "q1": ("broke", "bFalse", "bTrue"),
        "q2": ("broke", "bFalse", "bTrue"),
        "q5": ("fixed", "bTrue", "bFalse"),
    }
    lines = gpupool(host, "items", "latest", "--format", "jsonl")[1].splitlines()
    told = {(one["test"].partition("::")[2], one["id"]): one for one in map(json.loads, lines)}
    assert told["test_answers[a]", "q7"]["scores"] == {"accuracy": 1, "score": 1, "f1": 0.5}
    assert told["test_answers[a]", "q7"]["input"] == "q7?"
    assert told["test_isolated", "i"]["cut"]["output"]["length"] == 70_000
    assert gpupool(host, "items", "report.json", "--format", "jsonl")[1].splitlines() == lines
    status, _, err = gpupool(host, "items", "latest", "--format", "parquet", "--output", "items.parquet")
    assert (status, err) == (0, "")
    assert pyarrow.parquet.read_table(host.project / "items.parquet").num_rows == len(lines)
    assert gpupool(host, "report", "latest", "--json", "again.json")[0] == 0
    again = json.loads((host.project / "again.json").read_text())
    assert {test["nodeid"].partition("::")[2]: test.get("items") for test in again["tests"]} == {
        name: test.get("items") for name, test in worse.tests.items()
    }


def test_what_cannot_be_shown_says_what_to_do(cpu_host: Host) -> None:
    """Nothing recorded, no such test, nothing to compare with, no such number."""
    host = cpu_host
    host.write("test_it.py", "def test_a(record_sample): record_sample('x', score=1)\ndef test_b(): pass")
    assert host.pytest("-k", "test_b").status == 0
    assert gpupool(host, "items", "latest")[0::2] == (
        4,
        "gpupool: latest has no items: tests record them with the fixture record_sample\n",
    )
    assert host.pytest().status == 0
    for args, told in (
        (("none",), "no test with items has 'none' in its id; these have items: test_it.py::test_a\n"),
        (("--flipped",), "had no baseline: say what to compare with by --against RUN."),
        (("--threshold", "x"), "--threshold=x: give a number, such as 0.8"),
        (("--score", "f1"), "--score=f1: no item of these tests has a score of that name; there are: score\n"),
        (("--format", "parquet"), "parquet is no text: say where to with --output PATH"),
        (("--limit", "-1"), "--limit=-1: give a number from 0, which shows all"),
        (("--format", "csv", "--output", "none/x.csv"), "none/x.csv cannot be written: No such file or directory"),
    ):
        status, out, err = gpupool(host, "items", "latest", *args)
        assert (status, out) == (4, "")
        assert told in err
    assert "No item has flipped." in gpupool(host, "items", "latest", "--flipped", "--against", "latest")[1]


def test_items_go_on_with_a_resumed_run_and_with_a_packed_one(cpu_host: Host) -> None:
    """The kept results' files are the new run's as well, and a file that is gone is said."""
    host = cpu_host
    host.write(
        "test_it.py",
        """
        import os
        def test_kept(record_sample): record_sample("x", output="first", score=1)
        def test_failed(record_sample):
            record_sample("y", score=0)
            assert os.environ.get("WELL") or 1 / 0
        """,
    )
    assert host.pytest().status == 1
    first = runs(host)[0]
    assert host.pytest("--gpupool-resume", environ=host.environ(WELL="1")).status == 0
    for path in (first / "items").iterdir():
        path.unlink()
    lines = gpupool(host, "items", "latest", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["x", "y"]
    status, _, err = gpupool(host, "items", first.name)
    assert (status, err.count("items are not there: items/test_it.py_test_")) == (0, 1)
    assert gpupool(host, "pack", "latest", "--output", "packed.tar.gz")[0] == 0


LOST = """
    def test_gone(record_sample): record_sample("q", output="said", score=1)
    def test_kept(record_sample): record_sample("q", output="kept", score=1)
"""


def test_items_whose_file_is_gone_are_said_to_be(cpu_host: Host) -> None:
    """On the page of the test that had them, and by the program; another test's are shown."""
    cpu_host.write("test_it.py", LOST)
    assert cpu_host.pytest().status == 0
    (run,) = runs(cpu_host)
    (gone,) = run.glob("items/*test_gone*")
    gone.unlink()
    assert gpupool(cpu_host, "report", "latest", "--html", "r.html")[0] == 0
    page = parsed((cpu_host.project / "r.html").read_text())
    facts = {test["facts"][0][0]: test["facts"][0][1] for test in details(page)}
    assert facts["Items"] == f"not all are shown: items/{gone.name} of the run's directory cannot be read any more"
    assert [item[6] for item in items(page)] == ["kept"]
    status, out, err = gpupool(cpu_host, "items", "latest")
    assert (status, err) == (0, f"gpupool: items are not there: items/{gone.name}: the file is missing\n")
    assert "test_it.py::test_gone: 0 items\n\ntest_it.py::test_kept: 1 item\n" in out

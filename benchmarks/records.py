"""What the record of a run costs: a line of it, a report from it, and the controller's memory.

    python benchmarks/records.py [--records 100000] [--tests 20000] [--rounds 3]

1. One record, appended to a journal in a folder of the present file system: as a worker does it, and for comparison
   never and always forced to the disk.
2. Reports by ``gpupool report`` of a run with that many records, four a test: seconds, and the most memory that the
   process had.
3. How much the memory of a run's controller grows with each test, beside plain xdist's: the most memory of runs with
   many and with few tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sidebyside import FIRST, Run, median, pytests, rounds, table

from pytest_gpupool.records import archive
from pytest_gpupool.records.journal import Journal, dump
from pytest_gpupool.records.store import create_run, new_run_id
from pytest_gpupool.values.texts import iso

PLAIN = "xdist worksteal"
FEW = 1000

MEMORY = """
import atexit, resource
from pathlib import Path

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        path = Path(__file__).with_name("memory")
        atexit.register(lambda: path.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)))
"""

SUITE = """
import pytest

@pytest.mark.parametrize("case", range({tests}))
def test_case(case):
    pass
"""


def records_of(number: int) -> list[dict[str, Any]]:
    """The records of one test with two metrics."""
    of_test = {"worker": "gw0", "test": f"evals/test_accuracy.py::test_model[llama-{number}-fp8-shots5]"}
    metric = {"unit": "", "higher_is_better": True, "n": 1000, "atol": None, "rtol": None, "verdict": None}
    phases = {"setup_s": 0.0101, "call_s": 1.2002, "teardown_s": 0.0003}
    recipe = "9459d435bcff:af5570f5a181:0e0bcdcaa16a:7cf4b3ea3b7f"
    start = {"devices": ["cpu:0"], "started": iso(1.8e9 + number), "attempt": 1, "recipe": recipe}
    end = {
        "outcome": "passed",
        "phases": phases,
        "duration_s": 1.2106,
        "ended": iso(1.8e9 + number + 1),
        "message": None,
    }
    return [
        {"record": "start", **of_test, **start},
        {"record": "metric", **of_test, "metric": {"name": "accuracy", "value": number / 7, **metric}},
        {"record": "metric", **of_test, "metric": {"name": "loss", "value": 1 / (number + 1), **metric}},
        {"record": "end", **of_test, **end},
    ]


def microseconds(
    folder: Path, write: Callable[[Journal, str], None] = Journal.append, clock: Callable[[], float] = time.monotonic
) -> float:
    """What one record costs that is written so."""
    lines = [dump(record) for number in range(500) for record in records_of(number)]
    journal = Journal(folder / "journal.jsonl", clock=clock)
    journal.open()
    began = time.perf_counter()
    for line in lines:
        write(journal, line)
    seconds = time.perf_counter() - began
    journal.close()
    (folder / "journal.jsonl").unlink()
    return seconds / len(lines) * 1e6


def write_always(journal: Journal, line: str) -> None:
    """Append, and force to the disk."""
    journal.append(line)
    journal.sync()


def costs_of_a_record(rounds_: int) -> None:
    """Print the first table."""
    figures: dict[str, list[float]] = {"never forced to the disk": [], "as a worker writes": [], "always forced": []}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        for _ in range(rounds_):
            figures["never forced to the disk"].append(
                microseconds(folder, clock=lambda: -1.0)
            )  # by that clock it is never due
            figures["as a worker writes"].append(microseconds(folder))
            figures["always forced"].append(microseconds(folder, write_always))
    rows = {name: (f"{sorted(values)[len(values) // 2]:.1f}",) for name, values in figures.items()}
    table(f"one record, median of {rounds_}", ("µs",), rows)


def run_on_record(base: Path, records: int) -> Path:
    """Write the directory of a run with so many records."""
    tests = records // 4
    run = create_run(base, new_run_id())
    archive.write_plan(run, archive.Plan(facts={"started": iso(1.8e9)}))
    controller, worker = Journal(run / archive.CONTROLLER), Journal(run / "gw0.jsonl")
    named = [[records_of(number)[0]["test"], {"model": f"llama-{number}"}] for number in range(tests)]
    controller.append(dump({"record": "collected", "worker": "gw0", "tests": named}))
    began = {"host": "node", "pid": 1, "devices": ["cpu:0"], "lease_wait_s": 0.0, "started": iso(1.8e9)}
    worker.append(dump({"record": "worker", "worker": "gw0", **began}))
    for number in range(tests):
        for record in records_of(number):
            worker.append(dump(record))
    controller.append(dump({"record": "run-end", "ended": iso(1.8e9 + tests), "exit_status": 0}))
    controller.close()
    worker.close()
    return run


def costs_of_a_report(records: int, rounds_: int) -> None:
    """Print the second table."""
    forms = {"json": ["--json"], "junit": ["--junit"], "markdown": ["--markdown"], "html": ["--html"]}
    with tempfile.TemporaryDirectory() as name:
        run = run_on_record(Path(name), records)
        size = sum(path.stat().st_size for path in run.iterdir())
        rows = {}
        for form, options in {
            "none": [],
            **forms,
            "all": [option for given in forms.values() for option in given],
        }.items():
            measured = [reported(run, options) for _ in range(rounds_)]
            seconds, memory = (sorted(values)[rounds_ // 2] for values in zip(*measured, strict=True))
            rows[form] = (f"{seconds:.2f}", f"{memory / 1e6:.0f}")
    table(f"{records} records, {size / 1e6:.0f} MB, median of {rounds_}", ("s", "MB"), rows)


def reported(run: Path, options: Sequence[str]) -> tuple[float, int]:
    """Seconds and bytes that ``gpupool report`` takes."""
    out = Path(tempfile.mkdtemp())
    args = [arg for option in options for arg in (option, str(out / option.strip("-")))]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_gpupool", "report", str(run), *args], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    shutil.rmtree(out)
    if status:
        raise SystemExit(f"gpupool report ended with {status}")
    return seconds, usage.ru_maxrss * 1024


def lay_out(folder: Path, tests: int) -> None:
    """Write a suite of so many empty tests, and what measures the controller."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(MEMORY)
    (folder / "test_suite.py").write_text(SUITE.format(tests=tests))


def memory_of(run: Run) -> int:
    """The most memory that a run's controller had."""
    return int((run.folder / "memory").read_text())


def growth_of_the_controller(tests: int, rounds_: int) -> None:
    """Print the third table."""
    names = (PLAIN, FIRST)
    sizes = {
        count: rounds(pytests(names, 2, partial(lay_out, tests=count)), rounds_, memory_of) for count in (FEW, tests)
    }
    rows = {}
    for name in names:
        few, many = (median(sizes[count][name], float) for count in (FEW, tests))
        rows[name] = (f"{few / 1e6:.1f}", f"{many / 1e6:.1f}", f"{(many - few) / (tests - FEW):.0f}")
    columns = (f"{FEW} tests, MB", f"{tests} tests, MB", "bytes per test")
    table(f"memory of the controller, -n 2, median of {rounds_}", columns, rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--tests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    costs_of_a_record(args.rounds)
    costs_of_a_report(args.records, args.rounds)
    growth_of_the_controller(args.tests, args.rounds)


if __name__ == "__main__":
    main()

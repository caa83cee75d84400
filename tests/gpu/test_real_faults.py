"""What goes wrong on a real GPU costs the test that it happens to, and the next one has a GPU that works."""

from __future__ import annotations

import os
import signal

from gpu_machine import GpuHost
from gpu_table import Checks
from support import Run, wait_for

GIB = 2**30
SLACK = GIB // 4
"""What a driver may keep for a while of the memory that processes had."""


def outcome(run: Run, test: str) -> tuple[str, str | None]:
    """Of a test of the suite, and its cause."""
    return run.tests[test]["outcome"], run.tests[test]["cause"]


def test_errors_that_end_a_context(real_host: GpuHost, checks: Checks) -> None:
    """A device-side assert and an illegal address: that test fails, and a fresh worker runs the next one."""
    real_host.suite("faults")
    run = real_host.pytest("-n1")
    workers = {name: test["worker"] for name, test in run.tests.items()}
    for name, words in (("assert", "device-side assert triggered"), ("illegal_address", "illegal memory access")):
        test = run.tests[f"test_{name}"]
        errors = [
            line.removeprefix("E").strip() for line in (test["message"] or "nothing").splitlines() if line[:1] == "E"
        ]
        told = next((line for line in errors if words in line), errors[-1] if errors else str(test["message"]))
        checks.true(name.replace("_", " "), f"failed: {words}", f"{test['outcome']}: {told}", good=words in told)
        checks.equal(f"the test after the {name.replace('_', ' ')}", "passed", run.outcomes[f"test_after_{name}"])
        others = workers[f"test_after_{name}"] != workers[f"test_{name}"]
        checks.true(
            f"the worker after the {name.replace('_', ' ')}", "another one", workers[f"test_after_{name}"], good=others
        )
    checks.equal("devices that are taken for broken", [None], [one["quarantined"] for one in run.report["devices"]])


def test_cuda_in_processes_of_their_own(real_host: GpuHost, checks: Checks) -> None:
    """Isolated tests: the error of one is no other's, and none of its worker's."""
    real_host.suite("own_processes")
    run = real_host.pytest("-n1")
    pids = {name: properties["pid"] for name, properties in run.junit.items() if "pid" in properties}
    worker = str(run.report["workers"][0]["pid"])
    checks.equal("CUDA in a child", "passed", run.outcomes["test_child"])
    checks.true(
        "its process", f"not {worker}", pids.get("test_child"), good=pids.get("test_child") not in (None, worker)
    )
    checks.equal("its metric", {"answer": 42}, run.metrics("test_child"))
    checks.equal("an assert in a child", "failed", run.outcomes["test_assert_in_child"])
    checks.equal("the isolated test after it", "passed", run.outcomes["test_after_assert"])
    checks.equal(
        "CUDA in the worker, after all that",
        ("passed", worker),
        (run.outcomes["test_in_worker"], pids.get("test_in_worker")),
    )
    checks.equal("an isolated test after that", "passed", run.outcomes["test_after_worker"])
    words = "CUDA is initialised in this process"
    checks.true(
        "why that was not forked", words, words if words in run.output else "not said", good=words in run.output
    )
    checks.equal("workers", 1, len(run.report["workers"]))


def test_out_of_memory(real_host: GpuHost, checks: Checks) -> None:
    """It is told from other failures, and tried again in a fresh process, where nobody has left any in use."""
    real_host.suite("memory")
    run = real_host.pytest("-n1")
    out, passed = ("failed", "out-of-memory"), ("passed", None)
    for name, what, expected in (
        ("test_needs_what_is_left", "60 % of the memory, beside 60 %", [out, passed]),
        ("test_needs_too_much", "twice the memory", [out, out]),
    ):
        tries = [(one["outcome"], one["cause"]) for one in run.tests[name]["attempts"]]
        checks.equal(what, expected, tries)
    checks.equal("a small test after that", passed, outcome(run, "test_small"))


def test_a_kernel_that_hangs(real_host: GpuHost, checks: Checks) -> None:
    """``--gpupool-timeout`` ends it, with its process; the GPU is there for the next test."""
    real_host.suite("hang")
    run = real_host.pytest("-n1", "--gpupool-timeout=20")
    checks.equal("a kernel that does not end", "timeout", run.outcomes["test_hangs"])
    checks.equal("its worker", "killed", run.exits[run.tests["test_hangs"]["worker"]])
    where = "in test_hangs"
    checks.true(
        "its stacks",
        where,
        where if where in (run.tests["test_hangs"]["message"] or "") else "not told",
        good=where in (run.tests["test_hangs"]["message"] or ""),
    )
    checks.equal("the test after it", "passed", run.outcomes["test_after"])


def test_memory_after_a_kill(real_host: GpuHost, checks: Checks) -> None:
    """What a killed worker, or the workers of a killed controller, had of the GPU is there again, and so is the GPU."""
    real_host.suite("killed")
    before = real_host.used()
    running = real_host.start("-n1")
    try:
        wait_for(real_host.project / "holding")
        held = real_host.used() - before
        checks.true("GiB in use while a worker holds 2", "2 or more", f"{held / GIB:.2f}", good=held >= 2 * GIB)
        os.kill(running.process.pid, signal.SIGKILL)
        left = real_host.until_used(lambda used: used <= before + SLACK) - before
        checks.true("GiB left when the controller was killed", "0", f"{left / GIB:.2f}", good=left <= SLACK)
    finally:
        running.kill()
    run = real_host.pytest("-n1")
    checks.equal("a worker that was killed", "crashed", run.outcomes["test_kills_itself"])
    checks.equal("the test after it", "passed", run.outcomes["test_after"])
    # Its own context takes some, too.
    used = run.metrics("test_after").get("used")
    free = used is not None and used - before < 2 * GIB
    checks.true(
        "GiB in use then", "less than 2 more", "nothing" if used is None else f"{(used - before) / GIB:.2f}", good=free
    )
    checks.equal("the GPU, leased again", "passed", run.outcomes["test_holds_until_it_is_killed"])

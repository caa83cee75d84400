"""Workers that SLURM refuses for what the run's others hold: a real SLURM, behind an srun that refuses as SLURM does.

SLURM counts a user's jobs only with an accounting database; steps wait or are refused by its version.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from slurm_cluster import LIMIT, SlurmCluster, limited_srun

from pytest_gpupool.engines.slurm import endings
from pytest_gpupool.engines.slurm.endings import Heard
from pytest_gpupool.engines.slurm.engine import SlurmEngine
from pytest_gpupool.engines.slurm.link import SrunLink

VIOLATES = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
JOBS = f"Unable to allocate resources: {VIOLATES}"
SUBMITTED = ("QOSMaxSubmitJobPerUserLimit", JOBS)
STEPS = ("Unable to create step for job 1: Memory required by task is not available",)
BUSY = ("Unable to create step for job 7: Requested nodes are busy",)
CAT = ["cat"]


@pytest.fixture(params=["outside", "inside"])
def start(request: pytest.FixtureRequest, slurm: SlurmCluster, tmp_path: Path) -> Iterator[Callable[[], SrunLink]]:
    """Starts workers, of which the cluster takes one at a time, and ends them."""
    if request.param == "outside":
        environ = limited_srun(tmp_path, slurm.environ(), *SUBMITTED)
        engine = SlurmEngine({}, environ)
        yield lambda: engine.launch("gw", 1, CAT)
        engine.close()
        slurm.until_empty()
        return
    with slurm.allocation("--nodes=1", "--gpus=2", "--cpus-per-task=4") as within:
        engine = SlurmEngine({}, limited_srun(tmp_path, within, *STEPS))
        yield lambda: engine.launch("gw", 1, CAT)
        engine.close()


def waits(link: SrunLink) -> str:
    """Wait until a link says that it was refused for now."""
    deadline = time.monotonic() + LIMIT
    while "asked for again" not in link.waits_for():
        assert time.monotonic() < deadline, link.waits_for()
        time.sleep(0.05)
    return link.waits_for()


def in_thread(link: SrunLink) -> Callable[[], bytes]:
    """Have a link read, as its run does all the time; the answer waits for what comes."""
    reading = ThreadPoolExecutor(1).submit(link.read)
    return lambda: reading.result(LIMIT)


def test_is_asked_for_again_when_another_ends(start: Callable[[], SrunLink]) -> None:
    """With all that it was told before, in order."""
    first = start()
    first.write(b"a")
    assert first.read() == b"a"
    second = start()
    second.write(b"b")
    comes = in_thread(second)
    words = waits(second)
    assert "Memory required by task is not available" in words or "QOSMaxSubmitJobPerUserLimit" in words
    second.write(b"c")
    first.end()
    data = comes()
    while len(data) < 2:
        data += second.read()
    assert data == b"bc"
    assert second.waits_for() == ""


def test_one_that_waits_can_be_ended(start: Callable[[], SrunLink]) -> None:
    """It is not asked for again."""
    first = start()
    first.write(b"a")
    assert first.read() == b"a"
    second = start()
    comes = in_thread(second)
    waits(second)
    second.end()
    assert comes() == b""
    assert second.end_words() == ""
    assert first.poll() is None


def test_with_no_other_worker_that_could_end(slurm: SlurmCluster, tmp_path: Path) -> None:
    """It has ended, with SLURM's words."""
    environ = limited_srun(tmp_path, slurm.environ(), *SUBMITTED, workers=0)
    engine = SlurmEngine({}, environ)
    link = engine.launch("gw0", 1, CAT)
    assert link.read() == b""
    assert JOBS in link.end_words()
    engine.close()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (SUBMITTED, f"{JOBS}: QOSMaxSubmitJobPerUserLimit"),
        (("AssocMaxSubmitJobLimit", JOBS), f"{JOBS}: AssocMaxSubmitJobLimit"),
        ((JOBS,), JOBS),
        (STEPS, STEPS[0]),
        (BUSY, BUSY[0]),
        (("QOSMaxWallDurationPerJobLimit", JOBS), ""),
        (("Unable to allocate resources: Invalid account or account/partition combination specified",), ""),
        (("Unable to create step for job 7: Requested node configuration is not available",), ""),
    ],
)
def test_what_may_be_otherwise_later(lines: tuple[str, ...], words: str) -> None:
    """What others hold, not what no worker may have."""
    heard = Heard()
    for line in lines:
        heard.add(f"srun: error: {line}")
    assert endings.refusal(heard) == words


def test_one_that_was_placed_was_not_refused() -> None:
    """Whatever is said later."""
    heard = Heard()
    for line in ("srun: Step created for job 7", f"srun: error: {STEPS[0]}"):
        heard.add(line)
    assert endings.refusal(heard) == ""

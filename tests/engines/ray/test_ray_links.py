"""Programs on a real Ray cluster of three hosts: where they run, their bytes, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import NamedTuple, TypeVar

import psutil
import pytest
from ray_cluster import LIMIT, RayCluster, wait_until

from pytest_gpupool.engines.engine import Engine, Link, Room
from pytest_gpupool.engines.engines import engine as engine_of

T = TypeVar("T")

ECHO = ["sh", "-c", 'echo $$ $PPID "${CUDA_VISIBLE_DEVICES:-none}"; exec cat']
"""Says who it is, who has started it, and which GPUs it is given; then repeats what it reads."""

HOST = os.uname().nodename


class Placed(NamedTuple):
    """What such a program has said, and on which host."""

    pid: int
    actor: int
    gpus: str
    host: str


@pytest.fixture(scope="module")
def cluster(pytestconfig: pytest.Config) -> Iterator[RayCluster]:
    """A head and two hosts with two GPUs each."""
    if not pytestconfig.getoption("long"):
        pytest.skip("connects to Ray many times in one process, which Ray does not always survive: --long")
    cluster = RayCluster(2, 2)
    with pytest.MonkeyPatch.context() as environ:
        for name, value in cluster.environ.items():
            environ.setenv(name, value)
        environ.delenv("RAY_ADDRESS", raising=False)
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def engine(cluster: RayCluster) -> Iterator[Engine]:
    """The engine, connected; nothing of it is left afterwards."""
    engine = engine_of("ray", {})
    yield engine
    engine.close()
    wait_until(lambda: not cluster.actors(), "all actors have ended")


def within(do: Callable[[], T]) -> T:
    """Do it in a thread, as what waits for ever would hang the tests."""
    future: Future[T] = Future()

    def act() -> None:
        try:
            future.set_result(do())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    return future.result(LIMIT)


def placed(cluster: RayCluster, link: Link) -> Placed:
    """Wait until it runs."""
    line = b""
    while not line.endswith(b"\n"):
        data = within(link.read)
        assert data, link.end_words()
        line += data
    pid, actor, gpus = line.decode().split()
    return Placed(int(pid), int(actor), gpus, cluster.host_of(int(actor)))


def launched(engine: Engine, *gpus: int) -> list[Link]:
    return [engine.launch(f"gw{number}", count, ECHO) for number, count in enumerate(gpus)]


def output(link: Link) -> bytes:
    """All that it writes."""
    return b"".join(iter(lambda: within(link.read), b""))


def gone(pid: int) -> None:
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", f"{pid} has ended")


def test_it_knows_the_clusters_room(engine: Engine) -> None:
    """All GPUs, those of the largest host, the hosts."""
    assert engine.room() == Room(gpus=4, largest=2, hosts=3)
    assert engine.describe().endswith("(2 hosts, 4 GPUs)"), "a head without GPUs is none of those that the run uses"


def test_a_host_that_can_hold_no_worker_is_no_room(cluster: RayCluster, engine: Engine) -> None:
    """By the resources that the site's arguments ask for; where no host has them, that is said."""
    head = engine_of("ray", {"resource.node:__internal_head__": "0.1"})
    assert head.room() == Room(gpus=0, largest=0, hosts=1)
    nowhere = engine_of("ray", {"resource.nowhere": "1"})
    assert nowhere.room() == engine.room()
    link = nowhere.launch("gw0", 1, ECHO)
    words = "; 4 of the cluster's 4 GPUs are free, but no host with one has what resource.nowhere=1 asks for"
    wait_until(lambda: link.waits_for() == f"it waits for 1 GPU{words}", words)
    nowhere.close()
    head.close()


def test_bytes_come_there_and_back(cluster: RayCluster, engine: Engine) -> None:
    """All of them, in order, both ways at once."""
    (link,) = launched(engine, 1)
    placed(cluster, link)
    data = bytes(range(256)) * 12_000 + b"the end"
    writer = threading.Thread(target=link.write, args=(data,))
    writer.start()
    got = b""
    while len(got) < len(data):
        got += within(link.read)
    writer.join()
    assert got == data


def test_what_it_writes_to_stderr_is_no_bytes_of_its(engine: Engine) -> None:
    """It is for people."""
    link = engine.launch("gw0", 0, ["sh", "-c", "echo said; echo shouted >&2"])
    assert output(link) == b"said\n"
    assert link.end_words() == ""


def test_no_two_have_one_gpu(cluster: RayCluster, engine: Engine) -> None:
    """Each has one of its host, as Ray says to it."""
    where = [placed(cluster, link) for link in launched(engine, 1, 1, 1, 1)]
    assert len({(one.host, one.gpus) for one in where}) == 4
    assert {gpu for one in where for gpu in one.gpus.split(",")} == {one.gpus for one in where}


def test_several_gpus_are_of_one_host(cluster: RayCluster, engine: Engine) -> None:
    """And who asks for none runs while all are held."""
    links = launched(engine, 2, 2, 0)
    first, second, _ = [placed(cluster, link) for link in links]
    assert [len(one.gpus.split(",")) for one in (first, second)] == [2, 2]
    assert first.host != second.host


def test_more_than_there_is_room_for_wait(cluster: RayCluster, engine: Engine) -> None:
    """With words; when one ends the next has its GPUs."""
    first, second = launched(engine, 2, 2)
    held = placed(cluster, first), placed(cluster, second)
    third = engine.launch("gw2", 2, ECHO)
    words = "it waits for 2 GPUs on one host; 0 of the cluster's 4 GPUs are free"
    wait_until(lambda: third.waits_for() == words, words)
    first.end()
    assert placed(cluster, third).host == held[0].host
    assert third.waits_for() == ""


def test_one_that_no_host_can_hold_waits_for_a_larger_host(cluster: RayCluster, engine: Engine) -> None:
    """As the cluster may grow."""
    link = engine.launch("gw0", 3, ECHO)
    wait_until(lambda: link.waits_for().endswith("and no host has more than 2"), "it says so")
    large = cluster.add_node(3)
    assert placed(cluster, link).host == large
    cluster.kill_node(large)
    assert output(link) == b""
    wait_until(lambda: engine.room() == Room(4, 2, 3), "its host is no more")


def test_one_that_is_never_placed_can_be_ended(cluster: RayCluster, engine: Engine) -> None:
    """Its reader comes to an end, its writer too."""
    link = engine.launch("gw0", 9, ECHO)
    read: Future[bytes] = Future()
    threading.Thread(target=lambda: read.set_result(link.read()), daemon=True).start()
    wait_until(link.waits_for, "it waits")
    link.end()
    link.end()
    assert read.result(LIMIT) == b""
    assert link.end_words() == ""
    with pytest.raises(OSError):  # noqa: PT011 - any
        within(lambda: link.write(b"x"))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", ""),
        ("echo broken >&2; exit 3", "its program on {host} ended with exit status 3: broken"),
        ("kill -9 $$", "its program on {host} was killed by SIGKILL"),
    ],
)
def test_a_program_that_ends(engine: Engine, script: str, words: str) -> None:
    """Says how, where it is not well; its GPUs are free for the next."""
    link = engine.launch("gw0", 2, ["sh", "-c", f"echo $0; {script}"])
    assert output(link) == b"sh\n"
    assert link.end_words() == words.format(host=HOST)
    for again in launched(engine, 2, 2):
        assert within(again.read)


def test_a_program_that_is_not_there(engine: Engine) -> None:
    """Is named."""
    link = engine.launch("gw0", 1, ["no-such-program"])
    assert output(link) == b""
    assert link.end_words().endswith("ended with exit status 1: no-such-program: No such file or directory")


def test_an_actor_that_is_killed_takes_its_program_with_it(cluster: RayCluster, engine: Engine) -> None:
    """The link ends and says so."""
    (link,) = launched(engine, 1)
    where = placed(cluster, link)
    os.kill(where.actor, signal.SIGKILL)
    assert output(link) == b""
    assert link.end_words() == f"its actor's process was killed ({HOST})"
    gone(where.pid)
    with pytest.raises(OSError):  # noqa: PT011 - any
        within(lambda: link.write(b"x"))


def test_one_that_is_ended_leaves_no_process(cluster: RayCluster, engine: Engine) -> None:
    """Nor has it any words."""
    (link,) = launched(engine, 1)
    where = placed(cluster, link)
    link.end()
    assert output(link) == b""
    assert link.end_words() == ""
    gone(where.pid)
    gone(where.actor)


@pytest.mark.parametrize("injury", ["lost", "frozen", "raylet"])
def test_a_host_that_fails_ends_its_programs(cluster: RayCluster, engine: Engine, injury: str) -> None:
    """Also where it does not answer; others go on, and a new host takes its place."""
    links = launched(engine, 2, 2)
    failed, other = (placed(cluster, link) for link in links)
    processes = [cluster.raylet(failed.host)]
    processes += processes[0].children(recursive=True)
    if injury == "frozen":
        for process in processes:
            process.suspend()
    elif injury == "lost":
        cluster.kill_node(failed.host)
    else:
        cluster.kill_raylet(failed.host)
    assert output(links[0]) == b""
    assert links[0].end_words() in [f"its host {words} ({HOST})" for words in ("died", "does not answer any more")]
    links[1].write(b"still there")
    assert within(links[1].read) == b"still there"
    if injury == "raylet":
        gone(failed.pid)
    if injury == "frozen":
        cluster.kill_node(failed.host)
    # Meanwhile Ray may place others there, which then end as well.
    wait_until(lambda: engine.room() == Room(2, 2, 2), "the host is given up")
    new = cluster.add_node(2)
    (link,) = launched(engine, 2)
    assert placed(cluster, link).host == new
    assert other.host != failed.host


PROGRAM = f"""
import sys, time
from pytest_gpupool.engines.engines import engine
ray = engine("ray", {{}})
links = [ray.launch("gw0", gpus, {ECHO!r}) for gpus in (1, 2, 9)]
for link in links[:2]:
    print(link.read().decode().strip(), flush=True)
time.sleep(1000)
"""


def test_where_the_controller_is_killed_nothing_is_left(cluster: RayCluster) -> None:
    """What runs and what waits."""
    controller = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert controller.stdout is not None
    with controller, controller.stdout as lines:
        pids = [int(pid) for line in (lines.readline(), lines.readline()) for pid in line.split()[:2]]
        controller.kill()
    for pid in pids:
        gone(pid)
    engine = engine_of("ray", {})
    try:
        for link in launched(engine, 2, 2):
            placed(cluster, link)
    finally:
        engine.close()


def test_nothing_of_this_process_is_changed(
    cluster: RayCluster, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handler of SIGTERM is its own, and nothing is printed, whatever happens on the cluster."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        mine = signal.getsignal(signal.SIGTERM)
        engine = engine_of("ray", {})
        assert signal.getsignal(signal.SIGTERM) is mine
        (link,) = launched(engine, 1)
        os.kill(placed(cluster, link).actor, signal.SIGKILL)
        assert output(link) == b""
        engine.close()
        assert signal.getsignal(signal.SIGTERM) is mine
        assert capfd.readouterr() == ("", "")
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_is_asked_of_a_worker_is_asked_of_ray(cluster: RayCluster) -> None:
    """A resource that no host has is waited for."""
    engine = engine_of("ray", {"resource.licence": "1", "num_cpus": "0.5"})
    try:
        (link,) = launched(engine, 0)
        wait_until(lambda: "waits for" in link.waits_for(), "it waits")
        assert not cluster.actors()
    finally:
        engine.close()


def test_a_working_directory_is_copied(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs start in the copy."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "test_it.py").write_text("here")
    engine = engine_of("ray", {"working_dir": str(folder)})
    try:
        link = engine.launch("gw0", 0, ["sh", "-c", "cat test_it.py; pwd"])
        text = output(link).decode()
        assert text.startswith("here/")
        assert str(folder) not in text
    finally:
        engine.close()

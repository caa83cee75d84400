"""What a user says of a Ray cluster, and what is said of one: texts in, values and texts out."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from pytest_gpupool.engines.engines import engine
from pytest_gpupool.engines.ray import words
from pytest_gpupool.engines.ray.nodes import Node
from pytest_gpupool.engines.ray.site import Site, site_of
from pytest_gpupool.values.errors import UsageProblem

DIED = """The actor died unexpectedly before finishing this task.
\tclass_name: GpupoolWorker
\tactor_id: df33b1e2fe2c566d075358fa01000000
\tip: 10.0.0.2
The actor is dead because """


def test_what_is_said_of_a_site(tmp_path: Path) -> None:
    """All that can be."""
    said = {"address": "head:6379", "namespace": "evals", "num_cpus": "4", "resource.site": "1", "resource.ram": "0.5"}
    resources = {"site": 1.0, "ram": 0.5}
    assert site_of({**said, "working_dir": str(tmp_path)}) == Site(
        address="head:6379", namespace="evals", cpus=4, resources=resources, working_dir=str(tmp_path)
    )
    assert site_of({}) == Site(address="auto", cpus=1, resources={})


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "partition",
            "gpu",
            "partition is unknown; Ray takes address, namespace, num_cpus, resource.NAME, working_dir",
        ),
        ("resource.", "1", "resource. is unknown"),
        ("num_cpus", "many", "num_cpus is a number, 0 or more, not 'many'"),
        ("num_cpus", "nan", "num_cpus is a number"),
        ("resource.site", "-1", "resource.site is a number"),
        ("namespace", None, "namespace has no value"),
        ("address", "ray://head:10001", "address is HOST:PORT or auto, not 'ray://head:10001'"),
        ("working_dir", "/no/such/folder", "working_dir is a folder of this host"),
    ],
)
def test_what_cannot_be_said_of_a_site(name: str, text: str | None, problem: str) -> None:
    """Is named, and what could be."""
    with pytest.raises(UsageProblem, match=problem.replace(".", r"\.")):
        site_of({name: text})


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        (DIED + "it was killed by `ray.kill`.", "its actor was killed"),
        (DIED + "its node has died. Node Id: 1a", "its host died"),
        (DIED + "its worker process has died. Worker exit type: SYSTEM_ERROR", "its actor's process was killed"),
        ("Task was killed due to the node running out of memory.", "Ray ended it, as its host was short of memory"),
        ("The actor 1a is unavailable: The actor is temporarily unavailable", "its host does not answer any more"),
        ("Something\n  new", "Ray lost it: Something new"),
    ],
)
def test_why_an_actor_is_no_more(text: str, clause: str) -> None:
    """As a clause, from Ray's many words."""
    assert words.of_death(text) == clause


@pytest.mark.parametrize(
    ("asked", "free", "hosts", "clause"),
    [
        (1, 0, {2: ""}, "it waits for 1 GPU; 0 of the cluster's 2 GPUs are free"),
        (2, 1, {2: "", 0: ""}, "it waits for 2 GPUs on one host; 1 of the cluster's 2 GPUs is free"),
        (0, 0, {4: ""}, "it waits for a CPU; 0 of the cluster's 4 GPUs are free"),
        (1, 0, {}, "it waits for 1 GPU; 0 of the cluster's 0 GPUs are free, and no host has more than 0"),
        (1, 3, {2: "", 1: "num_cpus=9"}, "it waits for 1 GPU; 3 of the cluster's 3 GPUs are free"),
        (
            2,
            3,
            {2: "resource.h200=1", 1: ""},
            "it waits for 2 GPUs on one host; 3 of the cluster's 3 GPUs are free, "
            "but no host with them has what resource.h200=1 asks for",
        ),
        (
            0,
            1,
            {1: "num_cpus=9", 0: "num_cpus=9"},
            "it waits for a CPU; 1 of the cluster's 1 GPU is free, but no host has what num_cpus=9 asks for",
        ),
    ],
)
def test_why_a_worker_waits(asked: int, free: int, hosts: dict[int, str], clause: str) -> None:
    """What it wants, and what there is."""
    assert words.of_wait(asked, free, [Node(gpus, lacks) for gpus, lacks in hosts.items()]) == clause


@pytest.mark.parametrize(
    ("resources", "argument"),
    [
        ({"CPU": 2, "GPU": 4, "h200": 1}, ""),
        ({"CPU": 1.5, "h200": 1}, "num_cpus=2"),
        ({"CPU": 16, "h200": 0.5}, "resource.h200=1"),
        ({"h200": 8}, "num_cpus=2"),
    ],
)
def test_which_hosts_can_hold_a_worker(resources: dict[str, float], argument: str) -> None:
    """Those that have what the arguments ask for; else the argument is named."""
    assert site_of({"num_cpus": "2", "resource.h200": "1"}).lacks(resources) == argument


def test_no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Is found at once, as is an address that cannot be one; what to do is said."""
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    nobody = rf"no cluster answers at 127\.0\.0\.1:{port} \(Connection refused\); start one with 'ray start --head'"
    with pytest.raises(UsageProblem, match=nobody):
        engine("ray", {"address": f"127.0.0.1:{port}"})
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text(f"127.0.0.1:{port}")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UsageProblem, match=nobody):
        engine("ray", {})
    for address, problem in (("ray://head:10001", "only HOST:PORT can be used"), ("head", "the address is HOST:PORT")):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UsageProblem, match=problem):
            engine("ray", {})


def test_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """How to install it is said."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageProblem, match=r"Ray is not installed; pip install 'pytest-gpupool\[ray\]'"):
        engine("ray", {})

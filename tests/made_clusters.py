"""Clusters of stand-ins for hosts, on which runs place their workers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from made_hosts import make_host
from slurm_cluster import NODES, SlurmCluster
from standin import STATE_VARIABLE
from support import Host, Run, Watched

TESTS = Path(__file__).parent


class Cluster:
    """A host that stands for the hosts of a cluster."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.file = host.directory / "cluster.json"

    def has(self, **hosts: int) -> None:
        """It has so many GPUs by now, by host."""
        whole = self.file.with_suffix(".new")
        whole.write_text(json.dumps(hosts))
        whole.replace(self.file)

    def environ(self) -> dict[str, str]:
        """The environment of a run."""
        self.temporary.mkdir(exist_ok=True)
        return self.host.environ(STANDIN_CLUSTER=str(self.file), PYTHONPATH=str(TESTS), TMPDIR=str(self.temporary))

    @property
    def temporary(self) -> Path:
        """Where temporary files lie on its hosts."""
        return self.host.directory / "temporary"

    def args(self, *args: str) -> list[str]:
        """The arguments of a run."""
        return ["-p", "standin.engine", "--gpupool-engine=slurm", *args]

    def pytest(self, *args: str) -> Run:
        """Run pytest there."""
        return self.host.pytest(*self.args(*args), environ=self.environ())

    def watched(self, *args: str) -> Watched:
        """Start it."""
        return Watched(self.host, *self.args(*args), environ=self.environ())

    def running(self) -> Mapping[str, int]:
        """The pids of the hosts' programs, by worker."""
        running: Mapping[str, int] = json.loads(self.file.with_suffix(".running").read_text())
        return running


@contextlib.contextmanager
def gpus_of_nodes(slurm: SlurmCluster, libraries: Path, directory: Path) -> Iterator[dict[str, tuple[str, ...]]]:
    """Have stand-in GPUs on the nodes of a SLURM cluster; gives their ids."""
    ids = {}
    for node, count in NODES.items():
        (directory / node).mkdir()
        driver = make_host(libraries, directory / node, count).driver
        assert driver is not None
        ids[node] = driver.uuids
        slurm.give(node, **{STATE_VARIABLE: driver.environ({})[STATE_VARIABLE]})
    yield ids
    for node in NODES:
        slurm.give(node)

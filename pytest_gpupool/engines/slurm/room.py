"""The room: how many GPUs there are, read from what SLURM says of an allocation or of a partition."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ...values.errors import UsageProblem
from ..engine import Room
from . import times
from .arguments import Arguments
from .client import Client

_ALLOCATED = re.compile(r"\bNodes=(\S+) CPU_IDs=(\S+) Mem=\S+ GRES=(\S*)")
_USABLE = {"idle", "mixed", "allocated", "completing", "planned", "reserved", "powering_up", "powered_down"}
"""States of nodes that run jobs, or will once they are there."""
_MARKS = "~#%$@+^!-"  # of nodes that are switched on when they are needed, and the like
_SILENT = "*"  # of a node that does not answer


class Host(NamedTuple):
    """One host: how many GPUs it has for us, and how many CPUs where that counts."""

    name: str
    gpus: int
    cpus: int = 1 << 30


class Found(NamedTuple):
    """What there is, host by host, and where."""

    hosts: tuple[Host, ...]
    partition: str = ""
    longest: int | None = None
    """The longest time limit of a job there, in seconds."""

    @property
    def room(self) -> Room:
        """As the run is told. A worker needs a CPU as well, so that more GPUs than CPUs are of no use."""
        return Room(sum(self.gpus), max((host.gpus for host in self.hosts), default=0), len(self.hosts))

    @property
    def gpus(self) -> list[int]:
        """How many GPUs workers can use, of each host."""
        return [min(host.gpus, host.cpus) for host in self.hosts]


def find(client: Client, arguments: Arguments) -> Found:
    """Ask what there is: of the allocation within which this runs, else of the partition that jobs go to.

    Raises:
        UsageProblem: SLURM does not answer, or knows no such allocation or partition.
    """
    return _allocation(client, arguments) if client.allocation else _partition(client, arguments)


def _allocation(client: Client, arguments: Arguments) -> Found:
    text = client.ask("scontrol", "--details", "--oneliner", "show", "job", client.allocation)
    if "JobState=RUNNING" not in text:
        raise UsageProblem(f"--gpupool-engine=slurm: the allocation {client.allocation} of this shell has ended")
    hosts: list[Host] = []
    for expression, cpus, gres in _ALLOCATED.findall(text):
        names = client.ask("scontrol", "show", "hostnames", expression).split()
        hosts += [Host(name, gpus_of(gres, arguments.gpu_type), _count(cpus)) for name in names]
    states = _node_states(client.try_to("sinfo", "--noheader", "--Node", "--format=%N|%T|%G|%P|%l"))
    lost = {name for name, state in states.items() if _SILENT in state or state.startswith("down")}
    return Found(tuple(host for host in hosts if host.name not in lost))


def _partition(client: Client, arguments: Arguments) -> Found:
    partition = arguments.value("--partition") or client.site.get("SLURM_PARTITION", "")
    options = [f"--partition={partition}"] if partition else []
    if nodes := arguments.value("--nodelist"):
        options.append(f"--nodes={nodes}")
    text = client.ask("sinfo", "--noheader", "--Node", *options, "--format=%N|%T|%G|%P|%l")
    rows = list(_rows(text))
    if not partition:
        # That of srun, which the star marks. Where there is none srun will say so.
        rows = [row for row in rows if row.partition.endswith("*")] or rows
    if not rows:
        raise UsageProblem(f"--gpupool-engine=slurm: there is no partition {partition}" if partition else "no nodes")
    hosts = {row.name: Host(row.name, gpus_of(row.gres, arguments.gpu_type)) for row in rows if usable(row.state)}
    limits = [times.seconds(row.limit) for row in rows]
    known = [limit for limit in limits if limit is not None]
    name = ",".join(dict.fromkeys(row.partition.rstrip("*") for row in rows))
    return Found(tuple(hosts.values()), name, min(known) if known else None)


class _Row(NamedTuple):
    name: str
    state: str
    gres: str
    partition: str
    limit: str


def _rows(text: str) -> Iterable[_Row]:
    return [_Row(*parts) for line in text.splitlines() if len(parts := line.strip().split("|")) == len(_Row._fields)]


def _node_states(text: str) -> dict[str, str]:
    return {row.name: row.state for row in _rows(text)}


def usable(state: str) -> bool:
    """Return whether a node in that state, in sinfo's words, runs a job now or later. It may be busy."""
    return state.rstrip(_MARKS) in _USABLE


def gpus_of(gres: str, kind: str = "") -> int:
    """Return how many GPUs, of one type or of any, SLURM's ``gpu:a100:4(S:0-1),gpu:v100:2,shard:8`` has."""
    count = 0
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *parts = entry.strip().split(":")
        number = parts.pop() if parts and parts[-1].isdigit() else "1"
        if name == "gpu" and kind in ("", *parts):
            count += int(number)
    return count


def _count(ranges: str) -> int:
    """Return how many numbers ``0-3,8`` has."""
    pairs = (part.partition("-") for part in ranges.split(",") if part)
    return sum(int(last or first) - int(first) + 1 for first, _, last in pairs)

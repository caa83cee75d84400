"""The SLURM engine: every worker is a job of its own, or within an allocation a step of that."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Mapping, Sequence

from ...values.errors import UsageProblem
from ..engine import Room, size_text
from . import arguments, command_line, room, times
from .client import Client
from .launcher import Launcher
from .link import SrunLink
from .queue import Queue
from .turns import Turns


class SlurmEngine:
    """A SLURM cluster for one run; see :class:`~pytest_gpupool.engines.engine.Engine`.

    Raises:
        UsageProblem: there is no SLURM, or an argument that no worker can have.
    """

    name = "slurm"
    sends_code = False

    def __init__(self, given: Mapping[str, str | None], environ: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments.parse(given)
        self._client = Client(os.environ if environ is None else environ)
        self._queue = Queue(self._client)
        self._turns = Turns()
        self._launcher = Launcher(self._client.environ)
        self._token = secrets.token_hex(4)
        self._numbers = itertools.count()
        self._links: list[SrunLink] = []
        self._found = room.find(self._client, self._arguments)

    def room(self) -> Room:
        """Return what there is now; see :meth:`~pytest_gpupool.engines.engine.Engine.room`."""
        self._found = room.find(self._client, self._arguments)
        return self._found.room

    def describe(self) -> str:
        """Return for pytest's header what it is."""
        size = f"({size_text(self._found.gpus)})"
        if self._client.allocation:
            return f"SLURM allocation {self._client.allocation} {size}"
        return f"SLURM partition {self._found.partition} {size}, a job of at most {self._limit()} for each worker"

    def launch(self, worker: str, gpus: int, command: Sequence[str]) -> SrunLink:
        """Have srun run a program; see :meth:`~pytest_gpupool.engines.engine.Engine.launch`."""
        if gpus > self._found.room.largest and gpus > self.room().largest:
            raise UsageProblem(self._too_many(gpus))
        # Nobody else's job is called so, nor another one's of this run.
        name = f"gpupool-{worker}-{self._token}{next(self._numbers):x}"
        line = command_line.srun(
            name,
            gpus,
            command,
            arguments=self._arguments,
            found=self._found,
            within=bool(self._client.allocation),
            limited="SLURM_TIMELIMIT" in self._client.site,
        )
        link = SrunLink(lambda: self._launcher.start(line), name, self._queue, self._turns)
        self._links.append(link)
        return link

    def close(self) -> None:
        """End all that is left; see :meth:`~pytest_gpupool.engines.engine.Engine.close`."""
        for link in self._links:
            link.end()
        for link in self._links:
            link.wait()
        if self._links:
            self._queue.cancel(*(link.name for link in self._links))
        self._launcher.close()

    def _limit(self) -> str:
        given = self._arguments.value("--time") or self._client.site.get("SLURM_TIMELIMIT", "")
        return given or times.text(command_line.own_limit(self._found))

    def _too_many(self, gpus: int) -> str:
        kind = f" of type {self._arguments.gpu_type}" if self._arguments.gpu_type else ""
        allocation = self._client.allocation
        where = f"allocation {allocation}" if allocation else f"partition {self._found.partition}"
        largest = self._found.room.largest
        has = f"no host of SLURM {where} that is up has"
        if largest == 0:
            return f"--gpupool-engine=slurm: {has} a GPU{kind}"
        return f"a worker of {gpus} GPUs{kind}: {has} more than {largest}"

"""The engine for Ray: each worker is an actor of a cluster that runs already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..engine import Link, Room, size_text
from .client import Client
from .link import RayLink
from .site import site_of


class RayEngine:
    """A Ray cluster for one run.

    Raises:
        UsageProblem: Ray is not installed, no cluster is there or lets this process in, or an argument is unknown.
    """

    name = "ray"

    def __init__(self, arguments: Mapping[str, str | None]) -> None:
        self._site = site_of(arguments)
        self._client = Client(self._site)
        self.sends_code = self._site.working_dir is not None
        self._links: list[RayLink] = []

    def room(self) -> Room:
        """Return what the hosts have that are alive, and that a worker can be on."""
        gpus = self._gpus()
        return Room(sum(gpus), max(gpus, default=0), len(gpus))

    def describe(self) -> str:
        """Return for pytest's header what it is."""
        return f"Ray cluster at {self._client.address} ({size_text(self._gpus())})"

    def launch(self, worker: str, gpus: int, command: Sequence[str]) -> Link:
        """Have a program run by an actor that holds so many GPUs of one host; Ray places it when it can.

        What can never be placed waits as well: the cluster may grow.
        """
        link = RayLink(self._client, self._client.start(worker, gpus, command), gpus)
        self._links.append(link)
        return link

    def close(self) -> None:
        """End all actors, and let go of the cluster."""
        for link in self._links:
            link.end()
        self._links.clear()
        self._client.close()

    def _gpus(self) -> list[int]:
        nodes = self._client.nodes()
        # Where none can hold a worker all count: the workers wait, and say for what.
        return [node.gpus for node in nodes if not node.lacks] or [node.gpus for node in nodes]

"""The site: what a user says of a Ray cluster with ``--gpupool-engine-args``, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...values.errors import UsageProblem

RESOURCE = "resource."
KNOWN = "address, namespace, num_cpus, resource.NAME, working_dir"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a cluster is, and what each of its workers is to have."""

    address: str = "auto"
    """``auto``: ``RAY_ADDRESS``, or the cluster that runs on this host."""
    namespace: str | None = None
    cpus: float = 1.0
    """For each worker. One: with none Ray would start any number of workers without a GPU on one host."""
    resources: Mapping[str, float] = field(default_factory=dict)
    working_dir: str | None = None
    """What Ray is to copy to each host, and to start workers in."""

    def lacks(self, resources: Mapping[str, float]) -> str:
        """Return which argument asks for more than a host has that has these resources; empty where none does."""
        if resources.get("CPU", 0.0) < self.cpus:
            return f"num_cpus={self.cpus:g}"
        lacking = ((name, much) for name, much in self.resources.items() if resources.get(name, 0.0) < much)
        return next((f"{RESOURCE}{name}={much:g}" for name, much in lacking), "")


def site_of(arguments: Mapping[str, str | None]) -> Site:
    """Return what the arguments say.

    Raises:
        UsageProblem: one is unknown, or is not what it must be.
    """
    resources: dict[str, float] = {}
    values: dict[str, str] = {}
    for name, text in arguments.items():
        if not text:
            raise _problem(name, "has no value")
        if name.startswith(RESOURCE) and len(name) > len(RESOURCE):
            resources[name.removeprefix(RESOURCE)] = _amount(name, text)
        elif name in ("address", "namespace", "num_cpus", "working_dir"):
            values[name] = text
        else:
            raise _problem(name, f"is unknown; Ray takes {KNOWN}")
    return Site(
        address=_address(values.get("address", "auto")),
        namespace=values.get("namespace"),
        cpus=_amount("num_cpus", values.get("num_cpus", "1")),
        resources=resources,
        working_dir=_folder(values["working_dir"]) if "working_dir" in values else None,
    )


def _problem(name: str, what: str) -> UsageProblem:
    return UsageProblem(f"--gpupool-engine-args: {name} {what}")


def _amount(name: str, text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise _problem(name, f"is a number, 0 or more, not {text!r}")
    return amount


def _address(text: str) -> str:
    if "://" in text or text == "local":
        raise _problem("address", f"is HOST:PORT or auto, not {text!r}: run pytest on a host of the cluster")
    return text


def _folder(text: str) -> str:
    if "://" not in text and not Path(text).is_dir():
        raise _problem("working_dir", f"is a folder of this host, or a URI that Ray knows, not {text!r}")
    return text

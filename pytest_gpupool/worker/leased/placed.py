"""Placed: what a worker finds out itself that an engine has placed on a host of which the controller knows nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from ...devices import pool, vendors
from ...leases.locking.lock_directory import lock_directory
from ...values.errors import GpupoolError, UsageProblem
from ...values.orders import HOST, Orders


class Unusable(GpupoolError):
    """The engine has given a GPU that nobody can use: it is kept from others, and waited for."""


def orders_here(orders: Orders, texts: Mapping[str, str]) -> Orders:
    """Return a worker's orders with what only this host knows. ``texts`` are those of files that they name, by name.

    Raises:
        UsageProblem: the engine was asked for GPUs, and has not said which.
        Unusable: some of these cannot be used.
    """
    orders = replace(orders, **_files(texts))  # type: ignore[arg-type]
    cores = pool.cpu_count()
    if not orders.gpus or not orders.devices[0].is_gpu:
        return replace(orders, threads=cores)
    survey = vendors.survey()
    vendor, host = vendors.named(survey.vendor), os.environ.get(HOST) or os.uname().nodename
    if vendor.variable not in os.environ:
        raise UsageProblem(
            f"{orders.engine} was asked for {orders.gpus} GPU{'s' if orders.gpus > 1 else ''}, and does not say on "
            f"{host} which are this worker's: {vendor.variable} is not set (for SLURM: gres.conf names no device files)"
        )
    found = pool.discover("auto")
    if len(found.devices) < orders.gpus:
        told = found.no_gpu if found.is_cpu else found.describe()
        raise Unusable(
            f"{orders.engine} has given {vendor.variable}={os.environ[vendor.variable]} on {host}, and of that "
            f"{len(found.devices)} can be used of {orders.gpus}: {told}"
        )
    return replace(
        orders,
        devices=found.devices,
        lock_dir=str(lock_directory(orders.lock_dir).path),
        export="uuid" if found.by_uuid else orders.export,
        number=0,
        threads=max(1, cores * orders.gpus // max(1, len(survey.devices))),
    )


def _files(texts: Mapping[str, str]) -> dict[str, str | None]:
    """Return paths of the files that the orders name, which this host may not have.

    They are in this process's memory alone: however it ends, nothing is left on a host where nobody looks after it.
    """
    paths: dict[str, str | None] = {"earlier": None, "shard": None}
    for name, text in texts.items():
        descriptor = os.memfd_create(f"gpupool-{name}")
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
            file.write(text)
        paths[name] = f"/dev/fd/{descriptor}"
    return paths

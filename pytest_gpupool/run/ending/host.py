"""The host: what a report says of the machine and the software."""

from __future__ import annotations

import os
import platform
import socket
from importlib import metadata
from typing import Any

from ... import __version__
from ...processes.kernel.memory import host_memory

_PACKAGES = ("pytest", "pytest-xdist", "torch", "numpy", "execnet", "filelock", "nvidia-ml-py", "psutil")


def describe() -> dict[str, Any]:
    """Return ``name, platform, cpu_count, memory_bytes`` of this host."""
    memory = host_memory()
    return {
        "name": socket.gethostname(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": None if memory is None else memory.total,
    }


def software(driver: str | None) -> dict[str, str | None]:
    """Return versions by name, None for what is not installed. Imports none of it."""
    versions = {package.replace("-", "_"): _version(package) for package in _PACKAGES}
    return {
        "python": platform.python_version(),
        **versions,
        "pytest_gpupool": __version__,
        "driver": driver,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

"""Stand-in GPU hosts for the tests that run pytest for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from standin import Driver, build
from support import Host, gpus


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the compiled stand-in driver libraries."""
    return build(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def make_host(libraries: Path, tmp_path: Path) -> Callable[..., Host]:
    """Makes a host with so many stand-in GPUs."""

    def make(count: int, **fields: object) -> Host:
        return Host(tmp_path, Driver(libraries, tmp_path / "nvml-state", gpus(count, **fields)))

    return make


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """A host with four stand-in GPUs."""
    return make_host(4)


@pytest.fixture
def cpu_host(tmp_path: Path) -> Host:
    """A host without an NVIDIA driver."""
    return Host(tmp_path, None)

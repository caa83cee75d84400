"""Stand-in GPU hosts for the tests that run pytest for real."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import bytecode
import pytest
from hypothesis import HealthCheck, settings
from standin import Driver, build
from support import Host, gpus, locked_files, processes_of

FEW, MANY = 25, 250
"""Examples for each of hypothesis's tests."""


def pytest_configure(config: pytest.Config) -> None:
    """How many examples hypothesis tries: few at every save, many with ``--long``."""
    # How long an example takes says nothing on a machine that has other work.
    settings.register_profile("few", max_examples=FEW, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("many", settings.get_profile("few"), max_examples=MANY)
    settings.load_profile("many" if config.getoption("long") else "few")


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The processes that tests start compile nothing."""
    bytecode.compile_package()


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


@pytest.fixture
def leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails where the test's runs leave a process, a held lock, or a file where users have theirs."""
    places = {"HOME": tmp_path / "home", "TMPDIR": tmp_path / "temporary"}
    for name, place in places.items():
        place.mkdir()
        monkeypatch.setenv(name, str(place))
    yield
    left = processes_of(tmp_path / "locks")
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left
    assert not locked_files(tmp_path / "locks")
    for place in places.values():
        assert not [path for path in place.iterdir() if not path.name.startswith("pytest-of-")]

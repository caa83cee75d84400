"""Stand-in GPU hosts for the tests that run pytest for real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import bytecode
import gpu_checks
import pytest
import ways
from hypothesis import HealthCheck, settings
from made_clusters import Cluster
from made_hosts import Program, Shell
from made_hosts import make_host as make_gpu_host
from made_projects import Projects
from slurm_cluster import SlurmCluster, started
from standin import Driver, build
from support import (
    LIMIT,
    Host,
    anchors_of_these_tests,
    gpus,
    kill_all_of,
    lock_dirs_of,
    locked_files,
    processes_of,
    processes_with,
)

FEW, MANY = 25, 250
"""Examples for each of hypothesis's tests."""


def pytest_configure(config: pytest.Config) -> None:
    """How many examples hypothesis tries: few at every save, many with ``--long``. What checks of real GPUs need."""
    # How long an example takes says nothing on a machine that has other work.
    settings.register_profile("few", max_examples=FEW, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("many", settings.get_profile("few"), max_examples=MANY)
    settings.load_profile("many" if config.getoption("long") else "few")
    config.pluginmanager.register(gpu_checks, "gpu-checks")
    # What a shell starts in the background ignores Ctrl-C, and so would all programs that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "every_way: run in every way without --long, too; see ways.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each test in one way of several, all with ``--long``; and no test without an end."""
    if not config.getoption("long"):
        for item in ways.left_out(items):
            item.add_marker(pytest.mark.skip(reason="runs in another way: --long"))
    if config.pluginmanager.has_plugin("timeout"):
        for item in items:
            item.add_marker(pytest.mark.timeout(3 * LIMIT))  # what a run may take is known; this is for all else


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The processes that tests start compile nothing."""
    bytecode.compile_package()


@pytest.fixture(autouse=True)
def frees_devices() -> Iterator[None]:
    """Fails where a test leaves a device held: the next one would wait for it, and be blamed."""
    before = anchors_of_these_tests()  # a fixture of its module may hold some
    yield
    deadline = time.monotonic() + LIMIT / 5
    while held := {name: inode for name, inode in anchors_of_these_tests().items() if name not in before}:
        if time.monotonic() > deadline:
            holders = processes_with(held.values())
            # Their runs with them, which would start others in their places: the tests to come are not to blame.
            for place in lock_dirs_of(holders.keys() - {os.getpid()}):
                kill_all_of(place)
            pytest.fail(f"left {sorted(held)} held by {holders}")
        time.sleep(0.02)


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
def cluster(make_host: Callable[..., Host]) -> Cluster:
    """Two stand-ins for hosts, of two GPUs each."""
    made = Cluster(make_host(4))
    made.has(n1=2, n2=2)
    return made


@pytest.fixture
def cpu_host(tmp_path: Path) -> Host:
    """A host without an NVIDIA driver."""
    return Host(tmp_path, None)


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    """Projects that take several runs to make."""
    return Projects(tmp_path_factory.mktemp)


@pytest.fixture
def leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails where the test's runs leave a process, a held lock, or a file where users have theirs."""
    places = {"HOME": tmp_path / "home", "TMPDIR": tmp_path / "temporary"}
    for name, place in places.items():
        place.mkdir()
        monkeypatch.setenv(name, str(place))
    yield
    left = processes_of(tmp_path / "locks")
    kill_all_of(tmp_path / "locks")
    assert not left
    assert not locked_files(tmp_path / "locks")
    for place in places.values():
        assert not [path for path in place.iterdir() if not path.name.startswith("pytest-of-")]


@pytest.fixture
def gpu_host(libraries: Path, tmp_path: Path) -> Host:
    """A host with four GPUs that no other test has."""
    return make_gpu_host(libraries, tmp_path, 4)


@pytest.fixture(scope="session")
def slurm_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A SLURM cluster, for all tests of this process; skips where there can be none."""
    with started(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_session: SlurmCluster) -> Iterator[SlurmCluster]:
    """A SLURM cluster of two idle nodes with two stand-in GPUs each, which no test leaves a job or a process on."""
    slurm_session.heal()  # a daemon may have died since the last test
    yield slurm_session
    try:
        slurm_session.until_empty()
    finally:
        slurm_session.heal()


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts the program gpupool, and ends it after the test."""
    with ExitStack() as stack:

        def begin(host: Host, *args: object, **keys: object) -> Program:
            program = Program(host, *args, **keys)  # type: ignore[arg-type]
            stack.callback(program.kill)
            return program

        yield begin


@pytest.fixture
def open_shell() -> Iterator[Callable[..., Shell]]:
    """Opens a shell on a terminal, and ends it after the test."""
    with ExitStack() as stack:

        def begin(host: Host, *command: str, **keys: object) -> Shell:
            shell = Shell(host, *command, **keys)  # type: ignore[arg-type]
            stack.callback(shell.kill)
            return shell

        yield begin

"""Every command of README and of the site, run in the order of its page, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import bytecode
import pytest
from doc_pages import Page, pages
from doc_shell import Reader, complaint
from made_clusters import gpus_of_nodes
from made_hosts import make_host as make_gpu_host
from ray_cluster import RayCluster
from support import Host

Clusters = Callable[[str], Mapping[str, str]]


@pytest.fixture
def clusters(request: pytest.FixtureRequest, libraries: Path, tmp_path: Path) -> Iterator[Clusters]:
    """Clusters of two hosts with two GPUs each, started when a page's first command for them comes."""
    started: dict[str, Mapping[str, str]] = {}
    with ExitStack() as stack:

        def start(name: str) -> Mapping[str, str]:
            if name not in started:
                started[name] = {"SLURM": slurm, "Ray": ray}[name]()
            return started[name]

        def slurm() -> Mapping[str, str]:
            cluster = request.getfixturevalue("slurm")
            stack.enter_context(gpus_of_nodes(cluster, libraries, tmp_path))
            (tmp_path / "login").mkdir()
            driver = make_gpu_host(libraries, tmp_path / "login", 0).driver
            assert driver is not None
            return {**cluster.environ({}), **driver.environ({})}

        def ray() -> Mapping[str, str]:
            (tmp_path / "hosts").mkdir()
            host = make_gpu_host(libraries, tmp_path / "hosts", 4)
            cluster = RayCluster(2, 2, environ=host.environ(GPUPOOL_LOCK_DIR=None))
            stack.callback(cluster.stop)
            return cluster.environ

        yield start


@pytest.mark.parametrize("page", [page for page in pages() if page.commands], ids=lambda page: page.name)
def test_what_a_page_says_is_so(
    page: Page, make_host: Callable[..., Host], clusters: Clusters, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """A reader who saves its files and types its commands sees what it shows."""
    bytecode.compile_for_pytest()
    host = make_host(page.gpus, name="NVIDIA H200", memory=141 * 2**30) if page.gpus else Host(tmp_path, None)
    wrong, printed = [], []
    for command, status, text in Reader(host, clusters).follow(page):
        if told := complaint(page, command, status, text):
            wrong.append(told)
            printed.append((command, text))
    if wrong and pytestconfig.getoption("write_docs"):
        page.write([(command, text) for command, text in printed if command.expected])
    assert not wrong, "\n\n".join(wrong)

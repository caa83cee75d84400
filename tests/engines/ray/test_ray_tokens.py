"""A Ray cluster that asks for a token lets in who has it; each asks in a process of its own, as Ray reads it once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_cluster import LIMIT, RayCluster

TOKEN = "c0ffee" * 8

ASKS = """
import sys
from pytest_gpupool.engines.engines import engine
from pytest_gpupool.values.errors import UsageProblem
try:
    ray = engine("ray", {"address": sys.argv[1]})
except UsageProblem as problem:
    sys.exit(str(problem))
print(ray.launch("gw0", 0, ["echo", "works"]).read().decode(), end="")
ray.close()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """One host, which asks for a token."""
    cluster = RayCluster(token=TOKEN)
    try:
        yield cluster
    finally:
        cluster.stop()


def asked(cluster: RayCluster, home: Path, **token: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environ |= {**cluster.environ, "HOME": str(home), **token}
    command = [sys.executable, "-c", ASKS, cluster.address]
    return subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=LIMIT)


def test_the_clusters_token(cluster: RayCluster, tmp_path: Path) -> None:
    """By a variable, or by the file where Ray keeps it."""
    assert asked(cluster, tmp_path, RAY_AUTH_TOKEN=TOKEN).stdout == "works\n"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text(TOKEN)
    assert asked(cluster, tmp_path).stdout == "works\n"


@pytest.mark.parametrize(
    "token",
    [pytest.param({}, id="none", marks=pytest.mark.long), pytest.param({"RAY_AUTH_TOKEN": "0" * 48}, id="wrong")],
)
def test_another_token(cluster: RayCluster, tmp_path: Path, token: dict[str, str]) -> None:
    """Is refused, with what to do."""
    refused = asked(cluster, tmp_path, **token)
    assert refused.returncode == 1
    words = f"--gpupool-engine=ray: the cluster at {cluster.address} refuses this process's token; give the cluster's"
    assert words in refused.stderr
    assert refused.stdout == ""

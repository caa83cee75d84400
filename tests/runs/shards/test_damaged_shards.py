"""What 'gpupool merge' is given that is damaged, unreadable or to be overwritten: said by name, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.records.journal import Journal

SUITE = "import pytest\n@pytest.mark.parametrize('i', range(4))\ndef test_a(i): pass\n"


@pytest.fixture
def shards(cpu_host: Host) -> list[Path]:
    """The directories of two runs, the shards of one."""
    cpu_host.write("test_it.py", SUITE)
    for index in (1, 2):
        assert cpu_host.pytest(f"--gpupool-shard={index}/2").status == 0
    return sorted((cpu_host.project / ".gpupool" / "runs").iterdir())


def merge(host: Host, *args: str | Path) -> tuple[int, str, str]:
    """The exit status, and what it says."""
    status, out, err = gpupool(host, "merge", *args)
    assert "Traceback" not in err
    return status, out, err


def test_a_run_that_cannot_be_read_is_named(cpu_host: Host, shards: list[Path]) -> None:
    """Where it was given; of a .gpupool directory it is left out, as one that is missing."""
    (shards[1] / "gw0.jsonl").mkdir()
    said = f"{shards[1]} cannot be read: Is a directory"
    assert merge(cpu_host, *shards) == (4, "", f"gpupool: {said}\n")
    assert merge(cpu_host, ".gpupool/runs")[::2] == (
        4,
        f"gpupool: .gpupool/runs/{shards[1].name} {said.split(' ', 1)[1]}\n",
    )
    status, out, err = merge(cpu_host, ".gpupool")
    assert status == 1
    assert err == f"gpupool: a run is left out: .gpupool/runs/{shards[1].name} cannot be read: Is a directory\n"
    assert "1 of 2 shards merged" in out
    assert "no run is given of shard 2/2: 2 tests not run" in out


def test_a_run_that_goes_on_is_not_merged(cpu_host: Host, shards: list[Path]) -> None:
    """Packed or not: what is still to come would be missing."""
    journal = Journal(shards[1] / "gw0.jsonl")
    journal.append('{"record":"setting","name":"cores","value":2}')
    said = f"gpupool: run {shards[1].name} still goes on: {{}} it when it has ended\n"
    assert merge(cpu_host, ".gpupool") == (4, "", said.format("merge"))
    assert gpupool(cpu_host, "pack", shards[1]) == (4, "", said.format("pack"))
    journal.close()
    assert merge(cpu_host, ".gpupool")[0] == 0


@pytest.mark.parametrize("name", ["/dev/null", "pipe", "x" * 300])
def test_what_is_no_file_is_no_run(cpu_host: Host, name: str) -> None:
    """And nobody waits for who writes to a pipe."""
    os.mkfifo(cpu_host.project / "pipe")
    status, out, err = merge(cpu_host, name)
    assert (status, out) == (4, "")
    assert err.startswith(f"gpupool: {name} ")


def test_what_is_given_is_not_overwritten(cpu_host: Host, shards: list[Path]) -> None:
    """By a report, also where it was found in a folder; what is no file of durations is kept beside the new one."""
    project = cpu_host.project
    for number, run in enumerate(shards):
        assert gpupool(cpu_host, "pack", run, "-o", f"packed/{number}.tar.gz")[0] == 0
    before = (project / "packed" / "0.tar.gz").read_bytes()
    status, out, err = merge(cpu_host, "packed", "--json", "packed/0.tar.gz")
    assert (status, out) == (4, "")
    assert "--json and packed/0.tar.gz are the same file" in err
    assert (project / "packed" / "0.tar.gz").read_bytes() == before
    status, _, err = merge(cpu_host, "packed", "--durations", "test_it.py")
    assert status == 0
    assert "test_it.py is damaged: " in err
    assert "what it was is kept as test_it.py.damaged" in err
    assert (project / "test_it.py.damaged").read_text() == SUITE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_where_nothing_more_can_be_printed_that_is_said(cpu_host: Host, shards: list[Path]) -> None:
    """As on a full disk."""
    command = [sys.executable, "-m", "pytest_gpupool", "merge", *map(str, shards)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command,
            cwd=cpu_host.project,
            env=cpu_host.environ(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 4
    assert done.stderr == "gpupool: what it prints cannot be written: No space left on device\n"

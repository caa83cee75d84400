"""The files that commands are told to write."""

from __future__ import annotations

import pytest
from program import gpupool
from support import Host


def test_two_options_cannot_mean_one_file(cpu_host: Host) -> None:
    """Nothing is written then."""
    cpu_host.write("test_suite.py", "def test_one(): pass")
    cpu_host.pytest()
    status, out, error = gpupool(cpu_host, "report", "latest", "--html", "page", "--junit", "./page")
    assert (status, out) == (4, "")
    assert "--html and --junit are the same file, page: give each one of its own" in error
    assert not cpu_host.project.joinpath("page").exists()


@pytest.mark.parametrize(
    ("args", "begins", "says"),
    [
        (("report", "latest", "--html", "/dev/stdout"), "<!doctype html>", "exit status 0, complete"),
        (("report", "latest", "--json", "/dev/stdout"), "{", "exit status 0, complete"),
        (("export", "latest", "--to", "csv", "-o", "/dev/stdout"), "run,started,", "/dev/stdout"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_standard_output_has_nothing_but_what_goes_there(
    cpu_host: Host, args: tuple[str, ...], begins: str, says: str
) -> None:
    """What the command says of it goes to standard error."""
    cpu_host.write("test_suite.py", "def test_one(record_metric): record_metric('score', 1)")
    cpu_host.pytest()
    status, out, error = gpupool(cpu_host, *args)
    assert status == 0, error
    assert out.startswith(begins)
    assert says in error
    assert says not in out

"""The program gpupool, as users call it: its commands, and what is none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from program import gpupool
from support import SCHEMA, Host


def test_help_names_the_commands(cpu_host: Host) -> None:
    """Each with what it does."""
    status, out, _ = gpupool(cpu_host, "--help")
    assert status == 0
    assert re.findall(r"^    (\w+)  +\S", out, re.MULTILINE) == [
        "run",
        "plan",
        "status",
        "quarantine",
        "report",
        "runs",
        "logs",
        "sweep",
        "pack",
        "merge",
        "baseline",
        "compare",
        "comment",
        "items",
        "view",
        "matrix",
        "history",
        "ingest",
        "export",
        "scaling",
        "schema",
    ]
    assert gpupool(cpu_host, "--version")[1].startswith("gpupool ")


def test_the_schema_is_printed(cpu_host: Host) -> None:
    """The one that reports are checked against, also by the program itself."""
    status, out, err = gpupool(cpu_host, "schema")
    assert (status, err) == (0, "")
    assert json.loads(out) == SCHEMA.schema
    jsonschema.Draft202012Validator.check_schema(json.loads(out))
    program = Path(sys.executable).parent / "gpupool"
    done = subprocess.run([program, "schema"], capture_output=True, text=True, check=True)
    assert done.stdout == out


@pytest.mark.parametrize(
    "args", [[], ["report"], ["none"], ["report", "latest", "--yaml=x"], ["runs", "more"], ["quarantine", "0"]]
)
def test_what_is_no_command(cpu_host: Host, args: list[str]) -> None:
    """The usage is said."""
    status, out, err = gpupool(cpu_host, *args)
    assert (status, out) == (2, "")
    assert err.startswith("usage: gpupool")

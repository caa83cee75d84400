"""The program gpupool, as a user of a stand-in host calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support import LIMIT, Host

USED = {"PYTHONUNBUFFERED": None}  # as users have it


def gpupool(host: Host, *args: str | Path, folder: str | Path = ".", **changes: str | None) -> tuple[int, str, str]:
    """Run the program in a folder of the project; its exit status, and what it says on both streams."""
    command = [sys.executable, "-m", "pytest_gpupool", *map(str, args)]
    environ = host.environ(**{**USED, **changes})
    done = subprocess.run(
        command, cwd=host.project / folder, env=environ, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr

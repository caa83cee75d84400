"""The neighbours' sdists, which have their tests: of the versions that are installed here. Run it to fetch them.

Beside them lie other reporters, installed into a folder: in the environment itself each run of pytest would load them.
Tests fetch nothing: where something is not there, they are skipped.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("pytest-xdist", "pytest-rerunfailures", "pytest-timeout", "pytest-cov")

REPORTERS = (
    "allure-pytest",
    "allure-python-commons",
    "pytest-html",
    "pytest-json-report",
    "pytest-md",
    "pytest-metadata",
)

FETCH = ".venv/bin/python tests/sdists.py"
"""The command that fetches them."""


def directory() -> Path:
    """Return where they lie: ``.sdists`` in the checkout, or where the environment says."""
    return Path(os.environ.get("NEIGHBOURS_SDISTS", Path(__file__).parents[1] / ".sdists"))


def find(name: str) -> Path | None:
    """Return the sdist of the installed version of a distribution, None where it was not fetched."""
    wanted = _normal(f"{name}-{importlib.metadata.version(name)}")
    found = (path for path in directory().glob("*.tar.gz") if _normal(path.name.removesuffix(".tar.gz")) == wanted)
    return next(found, None)


def fetch() -> None:
    """Fetch those that are not there yet."""
    if missing := [name for name in NAMES if find(name) is None]:
        exact = [f"{name}=={importlib.metadata.version(name)}" for name in missing]
        # No wheel of these; what builds their metadata may come as one.
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ",".join(missing)]
        subprocess.run([*pip, "--dest", str(directory()), *exact], check=True)


def reporters() -> Path | None:
    """Return the folder to import the other reporters from, None where they were not fetched, or in other versions."""
    folder = directory() / "reporters"
    found = {_normal(one.name): one.version for one in importlib.metadata.distributions(path=[str(folder)])}
    return folder if found and found == _pinned() else None


def fetch_reporters() -> None:
    """Fetch them, where they are not there yet."""
    if reporters() is None:
        folder = directory() / "reporters"
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder), "-c", str(_CONSTRAINTS)]
        subprocess.run([*pip, *REPORTERS], check=True)


_CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def _pinned() -> dict[str, str]:
    lines = _CONSTRAINTS.read_text(encoding="utf-8").splitlines() if _CONSTRAINTS.exists() else []
    pins = dict(line.split("==") for line in lines if "==" in line)
    return {name: version for name, version in pins.items() if name in REPORTERS}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    fetch()
    fetch_reporters()

"""The neighbours' sdists, which have their tests: of the versions that are installed here. Run it to fetch them.

Tests fetch nothing: where an sdist is not there, they are skipped.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

NAMES = ("pytest-xdist", "pytest-rerunfailures", "pytest-timeout", "pytest-cov")

FETCH = ".venv/bin/python tests/neighbours/sdists.py"
"""The command that fetches them."""


def directory() -> Path:
    """Return where they lie: ``.sdists`` in the checkout, or where the environment says."""
    return Path(os.environ.get("NEIGHBOURS_SDISTS", Path(__file__).parents[2] / ".sdists"))


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


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    fetch()

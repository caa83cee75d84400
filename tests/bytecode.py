"""Bytecode files of the package, for the hundreds of processes that the tests start.

Those write none (a suite that is rewritten within a second would be taken for the old one) but read what is there.
Without, compiling is a third of what a run of pytest takes.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest_gpupool

_IMPORT_ALL = """
import importlib, pkgutil

def pytest_configure():
    import pytest_gpupool
    for module in pkgutil.walk_packages(pytest_gpupool.__path__, "pytest_gpupool."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:
                pass  # what an extra brings may be missing
"""


def compile_package() -> None:
    """Write what Python itself reads, where it is missing or old."""
    compileall.compile_dir(Path(next(iter(pytest_gpupool.__path__))), quiet=2)


@cache
def compile_for_pytest() -> None:
    """Write, once in a process, what pytest reads: it changes the assertions of plugins, and keeps files of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GPUPOOL_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "import_all", "--collect-only"]
    with TemporaryDirectory() as directory:
        Path(directory, "import_all.py").write_text(_IMPORT_ALL)
        environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": directory}
        subprocess.run([*command, directory], cwd=directory, env=environ, capture_output=True, check=False)

"""Compiles the stand-in libraries."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
LIBRARIES = {"nvml.c": "libnvidia-ml.so.1", "cuda.c": "libcuda.so.1"}
FLAGS = ("-std=c11", "-shared", "-fPIC", "-O1", "-pthread", "-Wall", "-Wextra")


class BuildError(RuntimeError):
    """The compiler refused a stand-in library; the message holds what it said."""


class NoCompiler(BuildError):
    """There is no C compiler."""


def build(directory: Path, *flags: str) -> Path:
    """Compile both libraries into `directory`, and return it for the library search path."""
    compiler = _compiler()
    directory.mkdir(parents=True, exist_ok=True)
    for source, library in LIBRARIES.items():
        _compile([*compiler, *FLAGS, *flags], SOURCES / source, directory / library)
    return directory


def _compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise NoCompiler(f"the stand-in libraries need a C compiler, and there is no {command[0]!r} on PATH")
    return command


def _compile(command: list[str], source: Path, library: Path) -> None:
    # Compiled aside and moved into place: another process may build, or have loaded, the same library.
    aside = library.with_name(f"{library.name}.{os.getpid()}")
    command = [*command, "-o", str(aside), str(source)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(command)} could not compile {source.name}:\n{done.stderr}")
    aside.replace(library)

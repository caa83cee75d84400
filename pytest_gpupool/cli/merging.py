"""Merging: git's driver for baseline files, and its installation in a clone."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from ..records.store import write_whole
from ..values.errors import UsageProblem
from ..values.texts import visible
from ..verdicts.baselines.baseline import Baseline, parse, text_of, three_way
from ..verdicts.baselines.entries import BaselineProblem
from .sources import warn

_DRIVER = "gpupool-baseline"


def run(args: argparse.Namespace) -> int:
    """Merge, or install what merges."""
    if args.install:
        for path in args.files:
            _install(path)
        return 0
    if len(args.files) != 3:
        raise UsageProblem("give BASE OURS THEIRS, or --install BASELINE")
    base, ours, theirs = args.files
    lines, conflicts = three_way(*map(_read, (base, ours, theirs)))
    write_whole(ours, text_of(lines))
    if conflicts:
        warn(
            f"{conflicts} {'entry was' if conflicts == 1 else 'entries were'} changed in both: choose between the marks"
        )
    return min(1, conflicts)


def _read(path: Path) -> Baseline:
    try:
        text = path.read_bytes().decode()
        return parse(text) if text.strip() else Baseline()  # git gives an empty file where there was none
    except (OSError, UnicodeDecodeError, BaselineProblem) as error:
        raise UsageProblem(f"the baseline file {path} cannot be merged: {visible(str(error))}") from None


def _install(path: Path) -> None:
    """Have git call this for a file. Raises UsageProblem."""
    folder = path.resolve().parent
    command = f"{shlex.quote(sys.executable)} -m pytest_gpupool baseline merge %O %A %B"
    try:
        for key, value in (("name", "baselines of pytest-gpupool, by entry"), ("driver", command)):
            told = ["git", "-C", str(folder), "config", "--local", f"merge.{_DRIVER}.{key}", value]
            done = subprocess.run(told, capture_output=True, text=True, check=False)
            if done.returncode:
                raise UsageProblem(f"git cannot be told to merge {path}: {visible(done.stderr.strip())}")
        attributes = folder / ".gitattributes"
        line = f"{path.name} merge={_DRIVER}"
        known = attributes.read_text(encoding="utf-8") if attributes.exists() else ""
        if line not in known.splitlines():
            ended = known if not known or known.endswith("\n") else f"{known}\n"
            write_whole(attributes, f"{ended}{line}\n")
    except OSError as error:
        raise UsageProblem(f"git cannot be told to merge {path}: {error.strerror}") from None
    print(f"gpupool: git merges {path} entry by entry in this clone; commit {attributes}")

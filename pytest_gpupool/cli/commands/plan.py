"""``gpupool plan``: what a run would do, how long it would take, and how many GPU-hours."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...values.errors import UsageProblem
from ...values.texts import seconds

_ABOUT = """\
Collects the tests that pytest would run with ARGS…, leases nothing, runs nothing, and prints: how many tests there are
and of how many it is known how long they take, the expected makespan at this -n, the GPU-hours, what is set up how
often, the longest test, what a resume would keep, and which tests this host's devices cannot hold.

What is known comes from earlier runs (durations.json in --gpupool-dir). The exit status is pytest's, and 1 where the
run cannot end within --target with any number of devices, or nobody can say.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "plan",
        help="say what a run would do, how long, how many GPU-hours",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="gpupool plan [--target S] [--json] -- ARGS…",
    )
    text = "say how many devices, or shards of this size, end the run in that time (1200, 20min, 2h)"
    command.add_argument("--target", metavar="S", help=text)
    text = "print the plan as JSON, and what pytest prints to the standard error"
    command.add_argument("--json", action="store_true", help=text)
    command.add_argument("args", metavar="ARGS", nargs="*", help="what pytest would be given: -n, files, -k, -m, …")

    def refuse(text: str) -> None:
        command.error(f"{text}: give pytest's arguments behind '--', as in: gpupool plan -- -n 2 evals/")

    command.set_defaults(run=_run, refuse=refuse)


def _run(args: argparse.Namespace) -> int:
    from ...run.planned.wish import Wish, ask_pytest  # the other commands need no pytest

    wish = Wish(None if args.target is None else _target(args.target))
    # As "python -m pytest" has it.
    sys.path.insert(0, str(Path.cwd()))
    with _output_to_stderr() if args.json else contextlib.nullcontext():
        status = ask_pytest(args.args, wish)
    if args.json and wish.plan is not None:
        print(json.dumps(wish.plan, indent=1, allow_nan=False))
    if wish.plan is None and status == 0:
        raise UsageProblem(
            "pytest made no plan: pytest-gpupool is off there (gpupool = off, gpupool_paths, -p no:gpupool)"
        )
    return status


def _target(text: str) -> float:
    try:
        target = seconds(text)
    except ValueError:
        target = 0.0
    if target <= 0:
        raise UsageProblem(f"--target {text}: give seconds above 0, or a time such as 90s, 20min or 2h")
    return target


@contextlib.contextmanager
def _output_to_stderr() -> Iterator[None]:
    """Have what is printed meanwhile go there, by this process and by those that it starts."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)

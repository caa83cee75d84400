"""``gpupool status``: every device of this host, who has it, and who waits."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

from ...devices.probe import Survey
from ...leases import host_view
from ...leases.locking.lock_directory import LockDirectory, directory_to_look_at
from ...values.errors import UsageProblem
from .. import host
from ..status import document, screen, table
from ..status.document import Status

_ABOUT = """\
Shows every device of this host, also those that the environment hides: free, leased (by whom, for how long, for
which test or command), busy with a process that is not of the pool, or in quarantine; and who waits, in their order.
It locks and makes nothing, and any user may call it. The exit status is 0 also where there is no GPU.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "status",
        help="show this host's devices: who has them, who waits",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print a JSON object; with --watch one a line")
    command.add_argument("--watch", action="store_true", help="look again each second, until Ctrl-C")
    text = "auto (the default): on a terminal, unless NO_COLOR is set"
    command.add_argument("--color", choices=("auto", "always", "never"), default="auto", help=text)
    command.add_argument("--lock-dir", metavar="PATH", help="where the locks are, as pytest's --gpupool-lock-dir")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    look = _Look(args.lock_dir)
    colour = screen.wants_colour(args.color)

    def show() -> list[str]:
        status = look.now()
        if args.json:
            return [json.dumps(document.build(status), indent=None if args.watch else 1, allow_nan=False)]
        if not status.view.devices:
            return [table.no_device(status), *(f"  {line}" for line in status.survey.broken)]
        lines = table.lines(status, width=screen.width(), colour=colour)
        return [*lines, ""] if args.watch else lines

    with look.watcher.opened():
        if args.watch:
            return screen.watch(show)
        print("\n".join(show()))
    return 0


class _Look:
    """Looks at the host, again and again."""

    def __init__(self, lock_dir: str | None) -> None:
        self._lock_dir = lock_dir
        self._survey: Survey = host.survey()
        self.watcher = host.Watcher(self._survey.devices)

    def now(self) -> Status:
        """Return how it is."""
        directory, notes = self._directory()
        try:
            view = host_view.look(self._survey.devices, self.watcher.usages(), directory)
        finally:
            directory.close()
        return Status(survey=self._survey, view=view, levels=self.watcher.levels(), notes=tuple(notes), now=time.time())

    def _directory(self) -> tuple[LockDirectory, list[str]]:
        """Return the lock directory, and what there is to say of it: it may come, go and be replaced meanwhile."""
        try:
            directory = directory_to_look_at(self._lock_dir)
        except UsageProblem as problem:
            return directory_to_look_at(os.devnull), [str(problem)]  # in which nothing is
        return directory, directory.notes() if directory.is_current() else []

"""``gpupool view [RUN]``: the runs on record as pages at localhost, drawn anew while a run goes on."""

from __future__ import annotations

import argparse
import signal
from typing import Any

from ....records import archive
from ....values.errors import UsageProblem
from ...sources import add_dir, base_of
from . import server
from .pages import Pages

_ABOUT = """\
Serves the runs on record, each with its report page, at this host's own address (127.0.0.1): to whoever has the
address that is printed, which has a secret in it. Nothing can be changed by it. Pages of a run that goes on are drawn
anew every few seconds. Ctrl-C ends it.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "view",
        help="look at the runs on record in a browser, also while one goes on",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="RUN", nargs="?", help="begin with this run, not with the list of all")
    command.add_argument("--port", metavar="N", type=int, default=0, help="listen at this port (default: a free one)")
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if not 0 <= args.port < 1 << 16:
        raise UsageProblem(f"--port={args.port}: give a number from 1 to 65535, or leave it out for a free one")
    base = base_of(args.dir)
    place = "/" if args.name is None else f"/runs/{archive.find(base, args.name).name}"
    try:
        serving = server.Server(Pages(base), args.port)
    except OSError as error:
        raise UsageProblem(f"port {args.port} cannot be had ({error.strerror}): give another one to --port") from None
    print(f"gpupool: the runs in {base} are at\n  {serving.address(place)}\nCtrl-C ends this.", flush=True)
    # A shell starts what it puts into the background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with serving:
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print("\ngpupool: ended", flush=True)
    return 0

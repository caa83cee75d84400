"""``gpupool run -- CMD…``: any command under a lease."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any, NoReturn

from ...devices.pool import Pool
from ...leases import inherited
from ...leases.inherited import Inherited
from ...leases.lease import Lease
from ...records import store
from ...values.errors import UsageProblem
from .. import host
from ..foreground import signals
from ..foreground.job import Job
from ..foreground.lease_wait import LeaseWait
from ..foreground.leasing import LeaseKeeper, Wanted
from ..foreground.wishes import Wishes, cannot_run
from ..sources import warn

_TOLD = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
"""By which a command is ended that nobody expected; its shell would say so."""

_ABOUT = """\
Leases GPUs as pytest's workers do, and runs CMD… in the foreground, in an environment where it sees
these GPUs alone.

The command has the terminal, stdin and all signals. The lease lasts until the command and all that it started have
ended; it outlives a kill -9 of 'gpupool run'. Where no GPU is free it waits in the host's queue, and says for whom.
A signal is passed on as it comes, as often as it comes; nothing is killed for ignoring it.

Exit status: the command's, 128 + N where signal N ended it; 126 and 127 as a shell's; 75 where no lease came within
--wait; 69 where this host can never give one; 4 for a bad option.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "run",
        help="run any command under a lease",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="gpupool run [--gpus N] [--memory SIZE] [--wait S] -- CMD…",
        allow_abbrev=False,  # the command's options are not ours
    )
    command.error = _refuse
    text = "how many GPUs, all together (default 1); 0 hides them all"
    command.add_argument("--gpus", metavar="N", default="1", help=text)
    command.add_argument("--memory", metavar="SIZE", help="the least memory of each, such as 40GiB")
    text = "the longest wait, in seconds or such as 5m or 2h (default 3600); 0 tries once"
    command.add_argument("--wait", metavar="S", default="3600", help=text)
    text = "which GPUs: 0,2, UUIDs or beginnings of them (default: all that the environment leaves visible)"
    command.add_argument("--devices", metavar="SPEC", default="auto", help=text)
    command.add_argument("--lock-dir", metavar="PATH", help="where the locks are, as pytest's --gpupool-lock-dir")
    command.add_argument("command", metavar="CMD…", nargs=argparse.REMAINDER, help="the command and its arguments")
    command.set_defaults(run=_run, refuse=_refuse)


def _run(args: argparse.Namespace) -> int:
    wishes = Wishes.parse(gpus=args.gpus, memory=args.memory, wait=args.wait, command=args.command)
    if wishes.gpus == 0:
        _become(wishes)
    found, outer = host.pool_here(args.devices, args.lock_dir)
    devices, run_id = wishes.suited(found), store.new_run_id()
    for note in [*host.notes(found), *_doubts(outer)]:
        warn(note)
    wait = LeaseWait(wishes.gpus, wishes.wait)
    lease = Wanted(wishes=wishes, devices=devices, run=run_id, outer=outer, lock_dir=args.lock_dir).take(wait)
    if lease is None:
        assert wait.received is not None
        return _ended(128 + wait.received, interrupted=wait.received == signal.SIGINT and sys.stderr.isatty())
    for descriptor in lease.descriptors():
        os.set_inheritable(descriptor, True)
    keeper = LeaseKeeper(lease)
    job = Job(wishes.command, _environment(lease, found, run_id), {inherited.RUN: run_id}, keeper.look)
    status = job.run(keeper.hand_over)
    lease.release()
    if job.killed_by in _TOLD:
        warn(f"{wishes.command[0]} was ended by {signal.Signals(job.killed_by).name}")
    return _ended(status, interrupted=job.was_interrupted())


def _doubts(outer: Inherited | None) -> list[str]:
    """Return what is wrong where the environment speaks of a lease that nobody above holds."""
    return [inherited.warning(os.environ)] if outer is None and inherited.is_claimed(os.environ) else []


def _environment(lease: Lease, found: Pool, run_id: str) -> dict[str, str]:
    ids = ",".join(device.id for device in lease.devices)
    return host.environment(lease.devices, by_uuid=found.by_uuid is not None) | {
        inherited.DEVICES: ids,
        inherited.RUN: run_id,
    }


def _become(wishes: Wishes) -> NoReturn:
    """Run the command without a lease, instead of this program."""
    environ = host.environment(())
    for name in (inherited.DEVICES, inherited.RUN):  # it is not of a lease that we may be in
        environ.pop(name, None)
    try:
        os.execvpe(wishes.command[0], wishes.command, environ)
    except OSError as error:
        raise cannot_run(wishes.command[0], error) from None


def _ended(status: int, *, interrupted: bool) -> int:
    """Return the exit status; after a terminal's Ctrl-C end by that signal, which ends a shell's loop as well."""
    if interrupted:
        signals.die_like(signal.SIGINT)
    return status


def _refuse(message: str) -> NoReturn:
    raise UsageProblem(f"{message}; see 'gpupool run --help'")

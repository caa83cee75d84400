"""Sessions: whether this process may write where Ray's processes on this host have their files, as a driver does."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...processes import table
from ...values.errors import UsageProblem

_NEEDED = ("logs", "logs/events", "sockets")  # a process that may not write there is ended by Ray, by SIGABRT


class Session(NamedTuple):
    """What one of Ray's hosts on this machine says of itself."""

    directory: str
    address: str
    owner: int

    @property
    def is_open(self) -> bool:
        """Whether a driver of this user can be one of its processes."""
        place = Path(self.directory)
        try:
            return all(os.access(place / name, os.W_OK | os.X_OK) for name in _NEEDED if (place / name).exists())
        except OSError:  # its directory cannot even be looked into
            return False


def check(address: str) -> None:
    """See that one of the cluster's hosts on this machine is open to this user; ``auto`` is any cluster.

    Raises:
        UsageProblem: they are another user's alone.
    """
    port = address.rpartition(":")[2]  # this machine has many names
    every = [one for one in sessions() if not port.isdigit() or one.address.rpartition(":")[2] == port]
    if not every or any(one.is_open for one in every):
        return
    closed = every[0]
    raise UsageProblem(
        f"--gpupool-engine=ray: the cluster at {closed.address} was started here by {_name(closed.owner)}, and its"
        f" files in {closed.directory} are closed to you; start one of your own (RAY_TMPDIR=DIRECTORY ray start --head"
        " --port=0) and run pytest with that RAY_TMPDIR, or set RAY_ADDRESS=HOST:PORT to one that is open to you"
    )


def sessions() -> Iterator[Session]:
    """Yield those whose processes can be seen."""
    for pid in table.all_processes():
        words, owner = table.arguments(pid), table.owner(pid)
        if owner is None or not words or not words[0].endswith("/raylet"):
            continue
        options = dict(word.removeprefix("--").split("=", 1) for word in words[1:] if "=" in word)
        if "session_dir" in options and "gcs-address" in options:
            yield Session(options["session_dir"], options["gcs-address"], owner)


def _name(user: int) -> str:
    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"user {user}"

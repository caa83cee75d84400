"""Execnet's gateways: the process behind one, and how another is specified. Seen in execnet 2.1.0 to 2.1.2."""

from __future__ import annotations

import copy
import subprocess
from typing import Any


def process_of(gateway: Any) -> subprocess.Popen[bytes]:
    """Return the process that a gateway of the kind ``popen`` has started."""
    process: subprocess.Popen[bytes] = gateway._io.popen
    return process


def another_like(spec: Any, group: Any) -> Any:
    """Return a copy of a gateway's specification that has an id of its own in the group, which names its gateway."""
    other = copy.copy(spec)
    other.id = None
    group.allocate_id(other)
    return other


def forget_ended(group: Any) -> None:
    """Have a group let go of gateways that have ended, with all that they lead to.

    It does so only where it has ended the last one itself, and Python's list of what to call at exit holds every group.
    """
    group._gateways_to_join.clear()
    vars(group).pop("makegateway", None)  # what stands in its place for this run

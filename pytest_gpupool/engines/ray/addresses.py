"""Addresses: where the cluster is, whether somebody answers there, and the token that it may ask for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from ...values.errors import UsageProblem

AUTO = "auto"
_ANSWER_SECONDS = 10.0
_START = "start one with 'ray start --head', run pytest on one of its hosts, or set RAY_ADDRESS=HOST:PORT"


def answers(address: str) -> str:
    """Return the address of the cluster that is meant, where somebody listens; ``auto`` where Ray is to find it.

    Ray itself tries for minutes to reach one that is not there.

    Raises:
        UsageProblem: nobody listens.
    """
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or _latest() or AUTO
    if "://" in address or address == "local":
        text = f"RAY_ADDRESS={address}: only HOST:PORT can be used, on a host of the cluster"
        raise UsageProblem(f"--gpupool-engine=ray: {text}")
    if address == AUTO:
        return AUTO
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except ValueError:
        raise UsageProblem(f"--gpupool-engine=ray: the address is HOST:PORT, not {address!r}") from None
    except OSError as error:
        why = error.strerror or "it takes too long"
        raise UsageProblem(f"--gpupool-engine=ray: no cluster answers at {address} ({why}); {_START}") from error
    return address


def _latest() -> str:
    """Return the address of the cluster that was started on this host last, as Ray writes it down."""
    place = Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray", "ray_current_cluster")
    try:
        return place.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def use_token() -> None:
    """Have Ray show its token where there is one: given an address, it does so only if it is told to.

    Comes before Ray is imported, which reads the variable.
    """
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or Path("~/.ray/auth_token").expanduser().is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")

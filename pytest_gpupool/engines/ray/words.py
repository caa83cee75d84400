"""Words: what Ray says of an actor's death, or as it lets nobody in, as a clause for people."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from .nodes import Node

_CAUSES = {
    "is temporarily unavailable": "its host does not answer any more",
    "killed by `ray.kill`": "its actor was killed",
    "its node has died": "its host died",
    "node was terminated": "its host died",
    "its owner has died": "Ray has given up the host that this run was started on",
    "out of memory": "Ray ended it, as its host was short of memory",
    "worker process has died": "its actor's process was killed",
    "Failed to set up runtime environment": "its runtime environment could not be set up",
}
"""By what Ray's text has, the first that it has counts."""
_LONGEST = 200
_WITH = ("", " with one", " with them")


def of_death(text: str) -> str:
    """Return why an actor is no more."""
    words = next((words for phrase, words in _CAUSES.items() if phrase.lower() in text.lower()), "")
    return words or f"Ray lost it: {_shortened(text)}"


def of_exit(host: str, status: int, last_words: str) -> str:
    """Return how a program has ended; nothing where it has ended well."""
    if status == 0:
        return ""
    if status < 0:
        return f"its program on {host} was killed by {_signal(-status)}"
    lines = last_words.strip().splitlines()
    said = f": {lines[-1].strip()[:_LONGEST]}" if lines else ""
    return f"its program on {host} ended with exit status {status}{said}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def of_wait(asked: int, free: int, nodes: Sequence[Node]) -> str:
    """Return why an actor that wants so many GPUs is not placed yet, where so many are free on these hosts."""
    total, largest = sum(node.gpus for node in nodes), max((node.gpus for node in nodes), default=0)
    wish = (
        f"it waits for {asked} GPU{'s' * (asked != 1)}{' on one host' * (asked > 1)}" if asked else "it waits for a CPU"
    )
    have = f"{free} of the cluster's {total} GPU{'s' * (total != 1)} {'is' if free == 1 else 'are'} free"
    lacking = [node.lacks for node in nodes if node.gpus >= asked]
    if asked > largest:
        have += f", and no host has more than {largest}"
    elif lacking and all(lacking):
        have += f", but no host{_WITH[min(asked, 2)]} has what {lacking[0]} asks for"
    return f"{wish}; {have}"


def of_refusal(address: str, error: BaseException) -> str:
    """Return why a cluster cannot be used, and what to do."""
    text = " ".join(_texts(error))
    if "token" in text.lower() or "unauthenticated" in text.lower():
        return (
            f"the cluster at {address} refuses this process's token; give the cluster's, in RAY_AUTH_TOKEN,"
            " RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, with RAY_AUTH_MODE=token"
        )
    if "version mismatch" in text.lower():
        return f"the cluster at {address} has other versions: {_shortened(text)}"
    return f"cannot connect to the cluster at {address}: {_shortened(text)}; is pytest run on one of its hosts?"


def _texts(error: BaseException | None) -> list[str]:
    """The texts of an error and of what has caused it."""
    return [str(error), *_texts(error.__cause__ or error.__context__)] if error is not None else []


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

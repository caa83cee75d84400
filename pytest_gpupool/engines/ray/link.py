"""The link: the bytes to and from one worker's program, as calls of its actor."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from . import words
from .client import Client, Gone
from .pump import MOST


class RayLink:
    """What an engine's link is, by an actor.

    One thread writes at a time, and one reads; each waits for its call, so that all comes in order and no more is under
    way than one call carries.
    """

    def __init__(self, client: Client, actor: Any, gpus: int) -> None:
        self._client = client
        self._actor = actor
        self._gpus = gpus
        self._unwanted = threading.Event()
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._over = False
        self._host = ""
        self._words = ""

    def write(self, data: bytes) -> None:
        """Send all of it, in order."""
        with self._writing:
            for start in range(0, len(data), MOST):
                if not self._call("write", data[start : start + MOST]):
                    raise BrokenPipeError("the program reads no more")

    def read(self) -> bytes:
        """Wait for something that the program has written and return it; nothing at its end."""
        with self._reading:
            if self._over:
                return b""
            try:
                self._host = self._host or self._call("host")
                if data := bytes(self._call("read")):
                    return data
                exit = self._call("exit")
                self._words = words.of_exit(self._host, exit.status, exit.last_words.decode(errors="replace"))
            except Gone as gone:
                self._words = f"{gone} ({self._host})" if self._host else str(gone)
            self._over = True
        self._kill()
        return b""

    def waits_for(self) -> str:
        """Return why it is not placed yet."""
        if self._host or self._over:
            return ""
        try:
            return words.of_wait(self._gpus, self._client.free_gpus(), self._client.nodes())
        except OSError:
            return ""

    def end(self) -> None:
        """End the program wherever it is, or see to it that it is never placed."""
        self._unwanted.set()
        self._kill()

    def end_words(self) -> str:
        """Return what is known of how it ended that is not the program's doing."""
        return "" if self._unwanted.is_set() else self._words

    def _call(self, method: str, *values: Any) -> Any:
        return self._client.call(self._actor, method, *values, unwanted=self._unwanted)

    def _kill(self) -> None:
        # Its GPUs are free again when the actor has ended, not when the program has.
        with suppress(OSError):
            self._client.kill(self._actor)

"""The terminal that a person types at: which group of processes it listens to. See termios(3) and credentials(7)."""

from __future__ import annotations

import os
from contextlib import suppress


class Terminal:
    """This process's controlling terminal, where it has one. SIGTTOU is to be blocked while this is used."""

    def __init__(self) -> None:
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)

    def group(self) -> int | None:
        """Return the group in its foreground, None where there is no terminal, or it has hung up."""
        try:
            return os.tcgetpgrp(self._descriptor)
        except OSError:
            return None

    def is_ours(self) -> bool:
        """Return whether this process's group is in its foreground."""
        return self.group() == os.getpgrp()

    def give(self, group: int) -> None:
        """Put a group into its foreground; it may have ended meanwhile."""
        with suppress(OSError):
            os.tcsetpgrp(self._descriptor, group)

    def take_back(self, group: int) -> None:
        """Put our own group into its foreground, if that one is there."""
        if self.group() == group:
            self.give(os.getpgrp())

"""Safety: whether this process can be forked, so that its child can do all that a test may do.

A child has none but the thread that has forked. A lock that another thread held is never released there, an OpenMP
pool has no threads any more, and waits for them; and what CUDA or HIP have begun in a process works in no child of it.
"""

from __future__ import annotations

import _imp
import threading
from collections.abc import Sequence

from ..devices import vendors
from ..devices.torch import presence
from ..foreign import companion_names
from ..processes import table
from ..processes.own import clock
from ..values.device import Device

OURS = "gpupool-"
"""How the names of our threads begin. They rest while this process forks."""

_LOOKS = 10
_PAUSE_SECONDS = 0.005  # a thread that was joined may be in the kernel's list for a moment


class Safety:
    """Of one process. Made before any test module is loaded."""

    def __init__(self) -> None:
        # execnet's, which read what the controller says: its locks are of no use to a child, which says nothing there.
        self._known = {thread.ident or 0 for thread in threading.enumerate()}
        self._native = table.threads()
        self.fixture: str | None = None
        """The fixture since which this process uses devices, None where it was none that we have set up."""

    def are_loaded(self) -> None:
        """All test modules are. The threads that libraries have by then, such as OpenBLAS's, know of forks."""
        self._native = table.threads()

    def why_not(self, devices: Sequence[Device]) -> str | None:
        """Return why this process cannot be forked, as a clause; None where it can."""
        if self.uses(devices):
            since = "" if self.fixture is None else f" since its fixture {self.fixture!r} was set up"
            hint = "" if self.fixture is None else ", which does not request 'gpu'"
            return f"{vendors.of(devices).runtime} is initialised in this process{since}{hint}"
        for _ in range(_LOOKS):
            if (why := self._threads()) is None:
                return None
            clock.sleep(_PAUSE_SECONDS)
        return why

    @staticmethod
    def uses(devices: Sequence[Device]) -> bool:
        """Return whether this process has begun to use devices, of whichever kind it holds."""
        return presence.is_initialised() or vendors.of(devices).is_initialised()

    def _threads(self) -> str | None:
        threads, harmless = threading.enumerate(), self._known | companion_names.threads_of_reruns()
        other = [thread for thread in threads if not (_is_ours(thread) or thread.ident in harmless)]
        if other:
            return f"the thread {other[0].name!r} runs in this process"
        native = table.threads() - self._native - {thread.native_id or 0 for thread in threads}
        if native:
            started = "a thread" if len(native) == 1 else f"{len(native)} threads"
            return f"a library has started {started} in this process since its test modules were loaded"
        return "a module is being imported in this process" if _imp.lock_held() else None


def _is_ours(thread: threading.Thread) -> bool:
    return thread is threading.main_thread() or thread.name.startswith(OURS)

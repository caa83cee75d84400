"""The client: the one room that imports Ray, and what the engine asks of it; this process becomes the one driver."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...values.errors import UsageProblem
from . import pump, sessions
from .addresses import answers, use_token
from .nodes import Node
from .site import Site
from .words import of_death, of_refusal

_LOOK_SECONDS = 1.0
"""How often a call looks whether it is still wanted."""
_LEAVE_SECONDS = 10.0
_CONNECT_SECONDS = 120.0
"""What a cluster may take to let this process in. Ray itself waits for minutes, or without end, and hears no signal."""
_UPLOAD_SECONDS = 600.0
"""What it may take longer to bring a working directory there."""
_AT_ONCE = 4
"""Calls of one actor side by side: a write, a read, and what is asked of it meanwhile."""


class Gone(OSError):
    """An actor is no more, or nobody wants it any more; says what Ray knows of why, if anything."""


class Client:
    """This process as a driver of a cluster. Its methods are for any thread.

    Ray starts a cluster of its own where it is asked without being connected: nothing is asked once this is closed.

    Raises:
        UsageProblem: there is no Ray, no cluster, or none that lets this process in.
    """

    def __init__(self, site: Site, *, patience: float = _CONNECT_SECONDS) -> None:
        use_token()
        self._ray = _library()
        self.address = answers(site.address)
        self._ours = not self._ray.is_initialized()
        if self._ours:
            sessions.check(self.address)
            self._connect(site, patience + (_UPLOAD_SECONDS if site.working_dir else 0.0))
        self._site = site
        self._ray.cloudpickle.register_pickle_by_value(pump)
        self._actors = self._ray.remote(pump.GpupoolWorker)
        self._calls = threading.Condition()
        self._under_way = 0
        self._closed = False

    def _connect(self, site: Site, patience: float) -> None:
        """Connect in a thread: whoever waits can be interrupted, which Ray in the main thread cannot."""
        refused: list[Exception] = []

        def connect() -> None:
            # Faults are ConnectionError, RuntimeError, ValueError, RpcError, AuthenticationError and others.
            try:
                self._ray.init(
                    address=self.address,
                    namespace=site.namespace,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    runtime_env={"working_dir": site.working_dir} if site.working_dir else None,
                )
            except Exception as error:
                refused.append(error)

        with _quiet(self._ray):
            thread = threading.Thread(target=connect, name="gpupool-ray", daemon=True)
            thread.start()
            thread.join(patience)
        if thread.is_alive():
            raise UsageProblem(
                f"--gpupool-engine=ray: the cluster at {self.address} has not let this process in within "
                f"{patience:.0f} s. Look at 'ray status' there, and at RAY_ADDRESS here"
            )
        if refused:
            raise UsageProblem(f"--gpupool-engine=ray: {of_refusal(self.address, refused[0])}") from refused[0]

    def nodes(self) -> list[Node]:
        """Return the hosts that are alive."""
        with self._asking():
            found = [node for node in self._ray.nodes() if node["Alive"]]
        had = [node["Resources"] for node in found]
        return [Node(int(resources.get("GPU", 0)), self._site.lacks(resources)) for resources in had]

    def free_gpus(self) -> int:
        """Return how many GPUs no actor or task holds."""
        with self._asking():
            return int(self._ray.available_resources().get("GPU", 0))

    def start(self, worker: str, gpus: int, command: Sequence[str]) -> Any:
        """Return the actor that is to run a program; Ray places it when it can."""
        with self._asking():
            return self._actors.options(
                num_gpus=gpus,
                num_cpus=self._site.cpus,
                resources=dict(self._site.resources) or None,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=_AT_ONCE,
            ).remote(worker, list(command))

    def call(self, actor: Any, method: str, *values: Any, unwanted: threading.Event) -> Any:
        """Return what a method of an actor does; waits until the actor is placed, too.

        Raises:
            Gone: the actor has ended, or the event was set meanwhile.
        """
        with self._asking():
            reference = getattr(actor, method).remote(*values)
            while not self._ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
                if unwanted.is_set():
                    raise Gone
            try:
                return self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                raise Gone(of_death(str(error))) from error

    def kill(self, actor: Any) -> None:
        """End an actor with all that it runs, or see to it that it is never placed."""
        with self._asking():
            self._ray.kill(actor, no_restart=True)

    def close(self) -> None:
        """Let go of the cluster, which ends what is left of this driver's actors."""
        deadline = time.monotonic() + _LEAVE_SECONDS
        with self._calls:
            closed_before, self._closed = self._closed, True
            # Ray breaks a process off whose threads it still answers.
            while self._under_way and (left := deadline - time.monotonic()) > 0:
                self._calls.wait(left)
        if self._ours and not closed_before:
            with _sigterm_kept():
                self._ray.shutdown()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._calls:
            if self._closed:
                raise Gone
            self._under_way += 1
        try:
            yield
        finally:
            with self._calls:
                self._under_way -= 1
                self._calls.notify_all()


def _library() -> Any:
    """Return Ray, which takes a second or more to import.

    Raises:
        UsageProblem: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        text = "--gpupool-engine=ray: Ray is not installed; pip install 'pytest-gpupool[ray]', in the cluster's version"
        raise UsageProblem(text) from error
    return ray


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Put the handler of SIGTERM back: Ray sets one that raises SystemExit wherever this process is."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Have Ray print nothing of its hosts: what raylets say goes to this process's stdout, whatever its options.

    What matters of it is in the words of a link's end.
    """
    worker = ray._private.worker  # noqa: SLF001 - there is no option for it
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *data, **options: None
    yield

"""Where commands of pages run that are not for the page's own host: clusters, a forge, a collector of OpenTelemetry."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import forge_server
import pytest
from made_clusters import gpus_of_nodes
from made_hosts import make_host
from ray_cluster import RayCluster
from slurm_cluster import SlurmCluster

Environ = Mapping[str, str]


class Places:
    """Each is there from a page's first command for it until the page ends: two hosts of two GPUs in each cluster."""

    def __init__(self, request: pytest.FixtureRequest, libraries: Path, directory: Path, stack: ExitStack) -> None:
        self._request = request
        self._libraries = libraries
        self._directory = directory
        self._stack = stack
        self._environs: dict[str, Environ] = {}

    def __call__(self, name: str) -> Environ:
        """Return what the environment of who works there has."""
        if name not in self._environs:
            places: Mapping[str, Callable[[Path], AbstractContextManager[Environ]]] = {
                "SLURM": self._slurm,
                "Ray": self._ray,
                "GitHub": _github,
                "a collector": _collector,
            }
            directory = self._directory / f"place{len(self._environs)}"
            directory.mkdir()
            self._environs[name] = self._stack.enter_context(places[name](directory))
        return self._environs[name]

    @contextmanager
    def _slurm(self, directory: Path) -> Iterator[Environ]:
        cluster: SlurmCluster = self._request.getfixturevalue("slurm")
        with gpus_of_nodes(cluster, self._libraries, directory):
            login = make_host(self._libraries, directory, 0).driver
            assert login is not None
            yield {**cluster.environ({}), **login.environ({})}

    @contextmanager
    def _ray(self, directory: Path) -> Iterator[Environ]:
        host = make_host(self._libraries, directory, 4)
        cluster = RayCluster(2, 2, environ=host.environ(GPUPOOL_LOCK_DIR=None))
        try:
            yield cluster.environ
        finally:
            cluster.stop()


@contextmanager
def _github(directory: Path) -> Iterator[Environ]:
    """In a job of a workflow, of pull request 7."""
    event = directory / "event.json"
    repository = {"repo": {"full_name": "octo/evals"}}
    event.write_text(json.dumps({"pull_request": {"number": 7, "head": repository, "base": repository}}))
    with forge_server.served() as forge:
        yield {
            "GITHUB_API_URL": forge.url,
            "GITHUB_GRAPHQL_URL": f"{forge.url}/graphql",
            "GITHUB_REPOSITORY": "octo/evals",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_TOKEN": "secret-actions",
            "no_proxy": "*",
        }


@contextmanager
def _collector(_: Path) -> Iterator[Environ]:
    """It takes spans and metrics as JSON, each at its place."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wanted = {"/v1/traces": "resourceSpans", "/v1/metrics": "resourceMetrics"}
            is_right = self.headers["Content-Type"] == "application/json" and bool(data.get(wanted[self.path]))
            body = b'{"partialSuccess":{}}' if is_right else b'{"code":3}'
            self.send_response(200 if is_right else 400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "no_proxy": "*"}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

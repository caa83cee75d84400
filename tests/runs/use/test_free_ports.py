"""``gpu.free_port()``: servers of tests that run at the same time never meet."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from suites import prepare
from support import Host

SUITE = """
    import http.server, threading, urllib.request
    import pytest
    from patience import lines, say, until

    @pytest.mark.parametrize("case", range(2))
    def test_many(gpu, case):
        ports = [gpu.free_port() for _ in range(125)]
        for port in ports:
            say("ports", f"{port:d}")
        until(lambda: len(lines("ports")) >= ALL, "the others have not asked")

    def test_server(gpu):
        port = gpu.free_port()
        server = http.server.HTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/patience.py").status == 200
        server.shutdown()
        gpu.release_port(port)
        server.server_close()
"""


def test_two_runs_with_two_workers_each(cpu_host: Host) -> None:
    """500 ports at the same time, and none twice."""
    prepare(cpu_host)
    cpu_host.write("test_suite.py", SUITE.replace("ALL", "500"))
    runs: list[Any] = [cpu_host.start("-n2", "-k", "many", "--gpupool-order=file") for _ in range(2)]
    ended = [run.finish() for run in runs]
    assert [run.status for run in ended] == [0, 0], ended[0].output
    numbers = Counter((cpu_host.project / "ports").read_text().split())
    assert len(numbers) == 500
    assert set(numbers.values()) == {1}


@pytest.mark.parametrize("args", [(), ("-n1",), ("-pno:gpupool",)], ids=["plain", "n1", "off"])
def test_a_server_in_a_test(cpu_host: Host, args: tuple[str, ...]) -> None:
    """It takes the port over as a number."""
    prepare(cpu_host)
    cpu_host.write("test_suite.py", SUITE.replace("ALL", "0"))
    run = cpu_host.pytest("-k", "server", *args)
    assert run.status == 0, run.output

"""Ports: no process is given another one's, each is held until somebody takes it over."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_gpupool.leases import ports
from pytest_gpupool.leases.ports import FIRST, LAST, NoPort, Ports

ASKS = """
import sys
from pytest_gpupool.leases import ports
print(*[ports.free_port() for _ in range(int(sys.argv[1]))], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def given() -> Iterator[Ports]:
    """Ports of this process, whose claims end with the test."""
    mine = Ports()
    yield mine
    mine.release_all()
    for claim in mine._claims.values():
        claim.close()


def listen(port: int, *, reuse: bool = True, host: str = "127.0.0.1") -> socket.socket:
    """A server, as most are."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    try:
        server.bind((host, port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def test_two_processes_have_500_each() -> None:
    """At the same time, and none of them in common."""
    asking = [
        subprocess.Popen([sys.executable, "-c", ASKS, "500"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    with ThreadPoolExecutor() as threads:
        lines = list(threads.map(lambda process: process.stdout.readline() if process.stdout else "", asking))
    numbers = [int(word) for line in lines for word in line.split()]
    for process in asking:
        process.communicate("")
    assert len(numbers) == len(set(numbers)) == 1000
    assert all(FIRST <= number <= LAST for number in numbers)
    assert [process.returncode for process in asking] == [0, 0]


def test_a_server_takes_it_over(given: Ports) -> None:
    """While it is held, as nearly all servers do; then another one cannot."""
    port = given.next()
    with listen(port) as server, socket.create_connection(("127.0.0.1", port)):
        server.accept()[0].close()
        with pytest.raises(OSError, match="in use") as told:
            listen(port)
    assert told.value.errno == errno.EADDRINUSE


def test_it_is_held_from_those_that_take_any_port(given: Ports) -> None:
    """Until it is released."""
    port = given.next()
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(OSError, match="in use"):
            listen(port, reuse=False, host=host)
    given.release(port)
    listen(port, reuse=False).close()
    given.release(port)  # again


def test_one_in_use_is_left_out(given: Ports) -> None:
    """By whomever, whether it listens or not."""
    used = [given.next() for _ in range(2)]
    given.release_all()
    with listen(used[0], reuse=False), socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", used[1]))
        given._free[:] = [*used, *given._free]  # they are next
        assert given.next() not in used


def test_a_number_comes_again_last(given: Ports) -> None:
    """When a test is over its ports are free, but others are given before them."""
    first, others = [given.next() for _ in range(3)], []
    given.release_all()
    while (number := given.next()) not in first:
        others.append(number)
    assert number == first[0]
    assert len(others) > ports.SIZE / 2  # somebody else may use some


def test_a_forked_child_has_others() -> None:
    """Its parent's ranges stay its parent's."""
    mine = ports.free_port()
    readable, writable = os.pipe()
    if not os.fork():
        os.write(writable, str(ports.free_port()).encode())
        os._exit(0)
    os.wait()
    theirs = int(os.read(readable, 100))
    os.close(readable)
    os.close(writable)
    assert theirs // ports.SIZE != mine // ports.SIZE
    ports.release_all()


def test_no_descriptor_is_left(given: Ports) -> None:
    """It is said what to do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = given.next()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(NoPort, match=r"Too many open files; let go of ports with gpu\.release_port"):
            given.next()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    given.release(port)

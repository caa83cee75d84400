"""A cluster that another user has started on this host: its files are closed, and Ray would abort this process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_gpupool.engines.ray import sessions
from pytest_gpupool.engines.ray.sessions import Session
from pytest_gpupool.values.errors import UsageProblem


def test_are_found(tmp_path: Path) -> None:
    """By Ray's process of each host; here one that is only called so."""
    mine = Session(str(tmp_path / "session"), "127.0.0.1:6379", os.getuid())
    options = [f"--session_dir={mine.directory}", f"--gcs-address={mine.address}", "--x=a=b", "--quiet"]
    code = "print('runs', flush=True); input()"
    command = ["/lib/raylet", "-c", code, *options]
    ends = subprocess.PIPE
    with subprocess.Popen(command, executable=sys.executable, stdin=ends, stdout=ends) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = list(sessions.sessions())
        process.communicate(b"\n")
    assert mine in found
    assert mine not in sessions.sessions()


def as_nobody(session: Path, name: str) -> bool:
    """Whether a session is open to a user who is nobody, where one of its directories has been closed to them."""
    for directory in ("logs/events", "sockets"):
        (session / directory).mkdir(parents=True)
    for place in (session, *session.rglob("*")):
        place.chmod(0o777)
    (session / name).chmod(0o700 if name == "." else 0o755)
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os._exit(0 if Session(str(session), "h:1", 0).is_open else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("closed", "is_open"), [("nothing", True), (".", False), ("logs/events", False)])
def test_are_open_to_those_who_may_write_there(closed: str, is_open: bool) -> None:
    """Which a driver does."""
    with tempfile.TemporaryDirectory() as directory:  # not within pytest's, which is closed to others
        Path(directory).chmod(0o755)
        session = Path(directory, "session")
        (session / "nothing").mkdir(parents=True)
        assert as_nobody(session, closed) is is_open


@pytest.mark.parametrize(
    ("address", "open_too", "is_refused"),
    [("auto", False, True), ("name:6379", False, True), ("name:1", False, False), ("auto", True, False)],
)
def test_where_none_is_open_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, open_too: bool, is_refused: bool
) -> None:
    """Where one is, or the cluster is not of this host, Ray sees to it."""
    found = [Session("/tmp/ray/session", "10.0.0.1:6379", 65534)]
    found += [Session(str(tmp_path), "10.0.0.1:7", 0)] * open_too
    monkeypatch.setattr(Session, "is_open", property(lambda one: one.directory == str(tmp_path)))
    monkeypatch.setattr(sessions, "sessions", lambda: iter(found))
    if not is_refused:
        sessions.check(address)
        return
    with pytest.raises(UsageProblem, match=r"started here by user nobody, .* closed to you; .*RAY_TMPDIR.*RAY_ADDRESS"):
        sessions.check(address)

"""Suites of plugins, whose tests do with pytest in their own process what no user does: it goes as without the pool."""

from __future__ import annotations

import pytest
from support import Host, Run


def run_of(host: Host, suite: str, *args: str) -> Run:
    """Run a suite that has pytest's fixture ``pytester``."""
    host.write("conftest.py", "pytest_plugins = ['pytester']\n")
    host.write("test_suite.py", suite)
    return host.pytest(*args)


def test_a_session_without_pytest_around_it(cpu_host: Host) -> None:
    """Its hooks are called by hand, and nobody has given it an exit status."""
    run = run_of(
        cpu_host,
        """
        def test_one(pytester):
            (test,) = pytester.getitems("def test_inner(): pass")
            assert test.session.exitstatus == 0
        """,
    )
    assert run.status == 0, run.output


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_a_run_while_a_test_hides_psutil(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """It is imported nowhere on the way to a run's end."""
    run = run_of(
        cpu_host,
        f"""
        import sys

        def test_one(pytester, monkeypatch):
            monkeypatch.setitem(sys.modules, "psutil", None)
            pytester.makepyfile("def test_inner(): pass")
            inner = pytester.runpytest_inprocess(*{workers})
            inner.assert_outcomes(passed=1)
            assert inner.ret == 0
        """,
    )
    assert run.status == 0, run.output


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])
def test_a_run_while_a_test_counts_sleeps(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """None is this plugin's, also where it waits for a program."""
    git = cpu_host.write("bin/git", "#!/bin/sh\nexec >&- 2>&-\nsleep 0.3\nexit 1\n")
    git.chmod(0o755)
    run = run_of(
        cpu_host,
        f"""
        import os, time
        from unittest import mock

        def test_one(pytester, monkeypatch):
            monkeypatch.setenv("PATH", {str(git.parent)!r} + os.pathsep + os.environ["PATH"])
            pytester.makepyfile("def test_inner(): pass")
            with mock.patch("time.sleep") as sleep:
                inner = pytester.runpytest_inprocess(*{workers})
            inner.assert_outcomes(passed=1)
            assert sleep.call_args_list == []
        """,
    )
    assert run.status == 0, run.output


def test_what_is_started_beside_options_that_were_only_read_lives_on(cpu_host: Host) -> None:
    """There was no run whose tests could have left it behind."""
    run = run_of(
        cpu_host,
        """
        import subprocess
        import pytest

        @pytest.fixture
        def started():
            processes = []
            yield processes
            alive = processes[0].poll() is None  # by now pytester has let its configuration go
            processes[0].kill()
            processes[0].wait()
            assert alive

        def test_one(started, pytester):
            pytester.parseconfig()
            started.append(subprocess.Popen(["sleep", "1000"]))
        """,
    )
    assert run.status == 0, run.output

"""--gpupool-live: what is seen on a terminal, and in a log, while a run goes on."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from suites import prepare
from support import Host, Watched
from terminals import Terminal

pytestmark = pytest.mark.usefixtures("leaves_nothing")

OFTEN = """
    def pytest_configure(config):
        if live := config.pluginmanager.getplugin("gpupool-live"):
            live.refresh = live.interval = 0.05
"""

HEADINGS = "DEVICE  TEST"


def lay_out(host: Host, suite: str) -> None:
    """Write a suite, and have the run looked at often."""
    prepare(host)
    host.write("conftest.py", OFTEN)
    host.write("test_suite.py", suite)


def line_of(seen: str, begin: str) -> list[str]:
    """The cells of the line that begins so, fails where there is none."""
    found = [line for line in seen.splitlines() if line.startswith(begin)]
    assert len(found) == 1, seen
    return re.split(r"\s{2,}", found[0])


def test_a_table_shows_devices_tests_and_how_far_the_run_is(make_host: Callable[..., Host]) -> None:
    """It stands below the dots, and is gone at the end; what workers write meanwhile is whole, as is the summary."""
    host = make_host(2, used=3 << 30, utilization=87)
    lay_out(
        host,
        """
        import os, sys
        import pytest
        from patience import lines, say, until

        @pytest.mark.parametrize("model", ["[bold]8b", "70b"])
        def test_first(model, record_metric):
            record_metric("accuracy", 0.913)
            say("first")
            until(lambda: lines("release 1"), "nobody releases this")
            assert model == "70b", f"{model} is too small"

        @pytest.mark.parametrize("case", range(2))
        def test_second(case):
            os.write(2, b"".join(b"written by a worker, line %d\\n" % number for number in range(20)))
            until(lambda: lines("release 2"), "nobody releases this")
        """,
    )
    terminal = Terminal(host, "-n2", "-s", "--gpupool-order=file", "--gpupool-allow-busy", "--gpupool-live")
    try:
        seen = terminal.until(HEADINGS, "GPU 0", "GPU 1", "2 running", "0.913")
        seen = terminal.until_it(lambda seen: "0.913" in line_of(seen, "GPU 0")[-1], "that of GPU 0")
        row = line_of(seen, "GPU 0")
        assert row[1].startswith("test_first["), seen
        assert re.fullmatch(r"\d+ s", row[2])
        assert row[3:] == ["3.0 GiB", "87%", "accuracy 0.913"]
        assert "test_first[[bold]8b]" in seen
        assert "0 of 4 done, 0 failed, 2 running, 2 left, end –" in seen
        (host.project / "release 1").write_text("now\n")
        seen = terminal.until("2 of 4 done, 1 failed, 2 running, 0 left, end about", "line 19")
        assert "failed last: test_first[[bold]8b]: AssertionError: [bold]8b is too small" in seen
        assert "accuracy" not in seen.split(HEADINGS)[1], "the metric is of a test that has ended"
        (host.project / "release 2").write_text("now\n")
        assert terminal.finish() == 1
    finally:
        terminal.kill()
    text = terminal.picture.everything
    assert HEADINGS not in text
    assert "GPU 0" not in text
    for number in range(20):
        assert len(re.findall(rf"written by a worker, line {number}$", text, re.MULTILINE)) == 2
    assert "E       AssertionError: [bold]8b is too small" in text
    assert re.search(r"=+ 1 failed, 3 passed in .* =+$", text)
    assert terminal.picture.cursor[0] == 0


def test_what_a_test_prints_without_workers_is_whole(cpu_host: Host) -> None:
    """With -s it goes to the terminal itself, above the table; without colours there are none in the table, too."""
    lay_out(
        cpu_host,
        """
        import sys
        from patience import lines, until

        def test_talks(record_metric):
            for number in range(30):
                print(f"printed line {number}")
            print("and a part of ", end="", flush=True)
            record_metric("loss", 2)
            until(lambda: lines("release"), "nobody releases this")
            print("a line")
            print("to standard error", file=sys.stderr)
        """,
    )
    terminal = Terminal(cpu_host, "-s", "--gpupool-live", columns=40, lines=12, NO_COLOR="1")
    try:
        seen = terminal.until(HEADINGS, "test_talks", "and a part of")
        assert "0 of 1 done, 0 failed, 1 running" in seen
        before, _, table = seen.partition(HEADINGS)
        assert before.endswith("printed line 28\nprinted line 29\nand a part of\n")
        assert all(len(line) < 40 for line in table.splitlines())
        (cpu_host.project / "release").write_text("now\n")
        assert terminal.finish() == 0
    finally:
        terminal.kill()
    text = terminal.picture.everything
    whole = [*(f"printed line {number}" for number in range(30)), "and a part of a line", "to standard error"]
    assert "\n".join(whole) in text
    assert HEADINGS not in text
    assert b"\x1b[1m" not in terminal.picture.raw
    assert b"\x1b[3" not in terminal.picture.raw


def test_ctrl_c_leaves_the_terminal_as_it_was(cpu_host: Host) -> None:
    """The table is gone, the cursor can be seen, and pytest's summary is whole; so without a directory for records."""
    lay_out(
        cpu_host,
        """
        from patience import lines, until

        def test_done(): pass
        def test_waits(): until(lambda: lines("release"), "nobody releases this")
        """,
    )
    terminal = Terminal(cpu_host, "--gpupool-live", "--gpupool-dir=pytest.ini")
    try:
        seen = terminal.until("1 of 2 done", "test_waits")
        assert "this run keeps no records" in seen.replace("\n", "")
        assert "test_suite.py ." in seen
        terminal.type("\x03")
        assert terminal.finish() == 2
    finally:
        terminal.kill()
    text = terminal.picture.everything
    assert HEADINGS not in text
    assert "1 of 2 done" not in text
    assert "KeyboardInterrupt" in text
    assert re.search(r"=+ 1 passed in .* =+$", text)
    assert terminal.picture.cursor[0] == 0


def test_a_debugger_has_the_terminal_to_itself(cpu_host: Host) -> None:
    """The table goes when a test calls one, and comes back."""
    lay_out(
        cpu_host,
        """
        from patience import lines, say, until

        def test_looks():
            until(lambda: lines("release 1"), "nobody releases this")
            breakpoint()
            until(lambda: lines("release 2"), "nobody releases this")
        """,
    )
    terminal = Terminal(cpu_host, "--gpupool-live")
    try:
        terminal.until(HEADINGS)
        (cpu_host.project / "release 1").write_text("now\n")
        terminal.until("\n(Pdb)", gone=HEADINGS)
        terminal.type("p 6 * 7\n")
        assert HEADINGS not in terminal.until("\n42\n(Pdb)")
        terminal.type("c\n")
        terminal.until(HEADINGS)
        (cpu_host.project / "release 2").write_text("now\n")
        assert terminal.finish() == 0
    finally:
        terminal.kill()
    assert HEADINGS not in terminal.picture.everything


def test_without_a_terminal_there_is_a_line_now_and_then(cpu_host: Host) -> None:
    """Each begins in a line of its own, also while pytest captures what a test prints. rich is not needed."""
    lay_out(
        cpu_host,
        """
        from patience import lines, until

        def test_done(): pass
        def test_fails(): assert False
        def test_waits():
            until(lambda: lines("release 1"), "nobody releases this")
        """,
    )
    cpu_host.write("without/rich.py", "raise ImportError('not here')\n")
    running = Watched(cpu_host, "--gpupool-live", environ=cpu_host.environ(PYTHONPATH="without"))
    try:
        said = running.until("2 of 3 done")
        (cpu_host.project / "release 1").write_text("now\n")
        run = running.finish()
    finally:
        running.kill()
    line = (
        r"^gpupool: 2 of 3 done, 1 failed, 1 running, 0 left, about 0 s to go; "
        r"longest now: test_waits on cpu:0 for \d+ s$"
    )
    assert re.search(line, said, re.MULTILINE), said
    assert run.status == 1
    assert "1 failed, 2 passed" in run.stdout
    assert "\x1b" not in run.stdout


def test_a_table_needs_rich(cpu_host: Host) -> None:
    """The run says so before it takes anything, and how to get it."""
    lay_out(cpu_host, "def test_one(): pass\n")
    cpu_host.write("without/rich.py", "raise ImportError('not here')\n")
    terminal = Terminal(cpu_host, "--gpupool-live", PYTHONPATH="without")
    try:
        assert terminal.finish() == 4
    finally:
        terminal.kill()
    assert "needs rich for its table: pip install 'pytest-gpupool[live]'" in terminal.picture.everything


def test_with_pdb_there_is_no_table(cpu_host: Host) -> None:
    """A debugger at each failure would share the terminal with it; the header says so."""
    lay_out(cpu_host, "def test_one(): pass\n")
    run = cpu_host.pytest("--gpupool-live", "--pdb")
    assert run.status == 0, run.output
    assert "gpupool: --gpupool-live has no effect with --pdb or --trace\n" in run.stdout
    assert "1 of 1 done" not in run.stdout

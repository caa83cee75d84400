"""'gpupool run' as a person types it, in a shell with job control on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from made_hosts import LISTENER, SAY, SLEEPER, Shell, ids, state, wait_until
from support import Host, locked_files

Open = Callable[..., Shell]

RESIZED = f"""
import os, signal, time
{SAY}
signal.signal(signal.SIGWINCH, lambda number, frame: say("now", *os.get_terminal_size()))
say("first", *os.get_terminal_size())
while True:
    time.sleep(1000)
"""

# As a pager does: it reads from the terminal, whatever its own input is.
PAGER = f"""
import os, sys
{SAY}
with open("/dev/tty") as keys:
    say("keys:", keys.readline().strip(), "text:", sys.stdin.readline().strip())
"""


@pytest.fixture
def gpu_host(gpu_host: Host) -> Host:
    """With what is run on it."""
    for name, source in (("sleeper", SLEEPER), ("listener", LISTENER), ("resized", RESIZED), ("pager", PAGER)):
        gpu_host.write(f"{name}.py", source)
    return gpu_host


@pytest.fixture
def shell(gpu_host: Host, open_shell: Open) -> Shell:
    """A shell with job control."""
    return open_shell(gpu_host)


def ready(shell: Shell) -> int:
    """The pid that the command says."""
    return int(re.findall(r"ready (\d+)\.", shell.until("ready ", "."))[-1])


def jobs(shell: Shell) -> str:
    """What it shows once it has listed its jobs."""
    shell.type("jobs; ")
    shell.status()
    return shell.picture.everything


def test_the_command_has_the_keys(shell: Shell) -> None:
    """It reads what is typed, and hears Ctrl-C once, though the program before it is in the way."""
    shell.type("gpupool run -- python3 listener.py SIGINT\n")
    ready(shell)
    shell.type("one\n")
    shell.until("read one after 0")
    shell.type("\x03")
    shell.until("heard SIGINT")
    shell.type("two\n")
    shell.until("read two after 1")
    shell.type("\x04")
    assert shell.status() == "0"


def test_ctrl_c_ends_the_command(gpu_host: Host, shell: Shell) -> None:
    """130, and the rest of a loop does not run."""
    shell.type("for i in 1 2 3; do echo round=$i; gpupool run -- python3 sleeper.py; done\n")
    ready(shell)
    shell.type("\x03")
    assert shell.status() == "130"
    assert "round=2" not in shell.picture.everything
    assert not locked_files(gpu_host.lock_dir)


def test_ctrl_c_ends_a_script(gpu_host: Host, shell: Shell) -> None:
    """The shell that runs it hears the key as well."""
    gpu_host.write("both.sh", "gpupool run -- python3 sleeper.py\necho second=one\n")
    shell.type("sh both.sh\n")
    ready(shell)
    shell.type("\x03")
    assert shell.status() == "130"
    assert "second=one" not in shell.picture.everything


def test_ctrl_z_and_fg(gpu_host: Host, shell: Shell) -> None:
    """Command and program stop, the lease stays; fg goes on with both, and the keys are the command's again."""
    shell.type("gpupool run -- python3 listener.py SIGCONT\n")
    pid = ready(shell)
    shell.type("\x1a")
    shell.until("Stopped")
    assert state(pid) == "T"
    assert locked_files(gpu_host.lock_dir) == {f"{ids(gpu_host)[0]}.lock"}
    shell.type("gpupool status\n")
    shell.until(f"pid {pid}  for ")
    shell.type("fg\n")
    shell.until("heard SIGCONT")
    shell.type("again\n")
    shell.until("read again after 1")
    shell.type("\x1a")
    wait_until(lambda: shell.until("Stopped").count("Stopped") == 2)
    shell.type("fg\n")
    shell.until("heard SIGCONT SIGCONT")
    shell.type("\x04")
    assert shell.status() == "0"


def test_ctrl_z_and_bg(gpu_host: Host, shell: Shell) -> None:
    """It goes on without the keys; 'kill %1' reaches it."""
    shell.type("gpupool run -- python3 sleeper.py SIGTERM SIGCONT\n")
    pid = ready(shell)
    shell.type("\x1a")
    shell.until("Stopped")
    shell.type("bg\n")
    shell.until("heard SIGCONT")
    assert state(pid) == "S"
    shell.type("kill %1\n")
    shell.until("heard SIGTERM")
    shell.type("kill -9 %1; wait %1; gpupool status\n")
    shell.until(f"pid {pid}  for ")  # it outlives the program, and has its lease
    shell.type(f"kill -9 {pid}\n")
    wait_until(lambda: not locked_files(gpu_host.lock_dir))


def test_in_the_background(shell: Shell) -> None:
    """It does not take the keys of whoever works in the foreground; where it reads it stops, as any job does."""
    shell.type("gpupool run -- cat &\n")
    wait_until(lambda: "Stopped" in jobs(shell))
    shell.type("echo fore-'ground'\n")
    shell.until("fore-ground")
    shell.type("fg\n")
    wait_until(lambda: shell.until("fg").rpartition("fg")[2].count("gpupool run -- cat") == 1)
    shell.type("typed\n")
    wait_until(lambda: shell.until("typed").count("typed") == 2)
    shell.type("\x04")
    assert shell.status() == "0"


def test_the_command_is_told_of_a_resize(shell: Shell) -> None:
    """As if it had been started by the shell."""
    shell.type("gpupool run -- python3 resized.py\n")
    shell.until("first 100 30")
    shell.picture.resize(columns=77, lines=20)
    shell.until("now 77 20")
    shell.type("\x03")
    assert shell.status() == "130"


def test_a_pager_after_it_has_the_keys(shell: Shell) -> None:
    """The command does not take them away from the rest of its pipeline."""
    shell.type("gpupool run -- sh -c 'echo from=it' | python3 pager.py\n")
    shell.type("typed\n")
    shell.until("keys: typed text: from=it")
    assert shell.status() == "0"


def test_ctrl_c_and_ctrl_z_in_a_pipeline(gpu_host: Host, shell: Shell) -> None:
    """All parts of it stop, go on and end together."""
    shell.type("gpupool run -- python3 sleeper.py SIGCONT | cat\n")
    pid = ready(shell)
    shell.type("\x1a")
    shell.until("Stopped")
    assert state(pid) == "T"
    shell.type("fg\n")
    shell.until("heard SIGCONT")
    shell.type("\x03")
    assert shell.status() == "130"
    wait_until(lambda: not locked_files(gpu_host.lock_dir))


def test_a_command_in_a_pipeline_gets_the_keys_when_it_asks(shell: Shell) -> None:
    """As a debugger does whose output goes through tee."""
    shell.type("gpupool run -- python3 listener.py | cat\n")
    ready(shell)
    shell.type("typed\n")
    shell.until("read typed after 0")
    shell.type("\x04")
    assert shell.status() == "0"


def test_what_is_left_behind_ends_with_ctrl_c(gpu_host: Host, shell: Shell) -> None:
    """The message says so."""
    shell.type("gpupool run -- sh -c 'python3 sleeper.py & exit 3'\n")
    pid = ready(shell)
    shell.until(f"waiting for 1 process that sh left behind: pid {pid} (python3 sleeper.py)")
    shell.type("\x03")
    assert shell.status() == "3"
    assert not locked_files(gpu_host.lock_dir)


def test_ctrl_c_while_it_waits(gpu_host: Host, shell: Shell) -> None:
    """130; nothing is left in the queue."""
    shell.type("gpupool run --gpus 4 -- python3 sleeper.py &\n")
    ready(shell)
    shell.type("gpupool run -- true\n")
    shell.until("gpupool: waiting for a device", "held by")
    shell.type("\x03")
    assert shell.status() == "130"
    assert not list(gpu_host.lock_dir.glob("*.ticket"))


def test_without_a_shell_ctrl_z_stops_nothing_for_good(gpu_host: Host, open_shell: Open) -> None:
    """As in a container: nobody could continue it."""
    alone = open_shell(gpu_host, "gpupool", "run", "--", "python3", "listener.py", "SIGCONT")
    ready(alone)
    alone.type("\x1a")
    alone.until("heard SIGCONT")
    alone.type("typed\n")
    alone.until("read typed after")
    alone.type("\x04")
    assert alone.finish() == 0

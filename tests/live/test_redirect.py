"""What is written to standard error comes out in order, whoever writes it."""

from __future__ import annotations

import subprocess
import sys

REDIRECT = """
import os, subprocess, sys, threading
from pytest_gpupool.live.redirect import StderrRedirect

heard = []
redirect = StderrRedirect(heard.append)
redirect.open(lambda descriptor: None)
print("of this process", file=sys.stderr)
subprocess.run([sys.executable, "-c", "import os; os.write(2, b'of another\\\\n' * 9000); print(os.isatty(2))"])
left = subprocess.Popen(["sleep", "600"])
redirect.close()
redirect.close()
print("afterwards", file=sys.stderr)
left.kill()
text = b"".join(heard).decode()
assert text == "of this process\\n" + "of another\\n" * 9000, text[-200:]
"""


def test_standard_error_is_redirected() -> None:
    """That of other processes, too, to which it is a terminal; at the end it is as before, whoever still has it."""
    done = subprocess.run([sys.executable, "-c", REDIRECT], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "afterwards\n", 0)

"""A live process on the stand-in machine that does what it is asked, in the order in which it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

# An expression, or else a statement, a line in, as JSON; its value a line out, that of a statement is null.
CHILD = """
import json, sys
names = {"__name__": "asked"}
exec(sys.argv[1], names)
for line in sys.stdin:
    source = json.loads(line)
    try:
        code = compile(source, "asked", "eval")
    except SyntaxError:
        code = compile(source, "asked", "exec")
    print(json.dumps(eval(code, names)), flush=True)
"""


class Asker:
    """A process that has run ``prelude`` first; what it is asked has the names that this made."""

    def __init__(self, environ: Mapping[str, str], prelude: str) -> None:
        command = [sys.executable, "-c", CHILD, prelude]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True)

    @classmethod
    def of(cls, process: subprocess.Popen[str]) -> Asker:
        """One that somebody has started with ``CHILD`` and a prelude; whoever has ends it."""
        asker = cls.__new__(cls)
        asker._process = process
        return asker

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ask(self, source: str) -> Any:
        """The value of an expression, None of a statement. What it raises ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(source), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, f"the process has ended: {source}"
        return json.loads(line)

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

"""Scripts of each kind whose runs are killed at random and resumed until all have their results."""

from __future__ import annotations

import json
import os
import random
import signal
import textwrap
import time
from importlib.util import find_spec
from typing import Any

import pytest
from support import LIMIT, Host, Running

pytestmark = pytest.mark.usefixtures("leaves_nothing")

PYTHON = """
    import json, os, pathlib, sys, time
    params = {PARAMS}
    pathlib.Path("begun").touch()
    time.sleep(0.2)
    out = pathlib.Path(sys.argv[-1])
    with open(out, "a") as file:
        file.write("done\\n")
    print(json.dumps({"value": params["x"] * 10}))
"""

PARAMS = {
    "json": "json.loads(sys.argv[2])",
    "flags": "{'x': float(sys.argv[2])}",
    "hydra": "{'x': float(sys.argv[1].partition('=')[2])}",
}

SHELL = """
    touch begun
    sleep 0.2
    eval "last=\\${$#}"
    echo done >> $last
    echo "{\\"value\\": ${1#x=}0}"
"""

CELLS = """
    import os, pathlib
    pathlib.Path("begun").touch()
    with open(f"{os.environ['OUT']}/notebook-{x}", "a") as file: file.write("done\\n")
    print('{"value": %d}' % (x * 10))
"""

VALUES = (1, 2)

SUMMARY = """
    import json, pathlib, sys
    print(json.dumps({"value": len(list(pathlib.Path(sys.argv[-1]).iterdir()))}))
"""


def prepare(host: Host, *, notebooks: bool) -> dict[str, float]:
    """Write scripts and a sweep of them; return the value of each test's metric."""
    evals = []
    for style, params in PARAMS.items():
        host.write(f"of_{style}.py", PYTHON.replace("{PARAMS}", params))
        evals.append((f"of_{style}.py", style))
    evals.append(("of_shell.sh", "hydra"))
    host.write("of_shell.sh", SHELL)
    text = "".join(
        f'[[eval]]\nscript = "{script}"\nstyle = "{style}"\nmatrix = {{x = [1, 2]}}\nargs = ["{{out}}/{{id}}"]\n'
        for script, style in evals
    )
    if notebooks:
        source = textwrap.dedent(CELLS)
        cell: dict[str, Any] = {
            "cell_type": "code",
            "id": "a",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        host.write("notebook.ipynb", json.dumps(notebook))
        text += '[[eval]]\nscript = "notebook.ipynb"\nmatrix = {x = [1, 2]}\nenv = {OUT = "{out}"}\n'
    host.write("summary.py", SUMMARY)
    host.write("sweep.toml", f'{text}[[eval]]\nscript = "summary.py"\nargs = ["{{out}}"]\nstage = 1\n')
    names = [script.partition(".")[0] for script, _ in evals] + ["notebook"] * notebooks
    expected = {f"{name}[x={x}]": float(x * 10) for name in names for x in VALUES}
    return expected | {"summary": float(len(expected))}


def disturb(running: Running, chance: random.Random) -> str:
    """Kill a process of the run at some moment, a script as likely as another one; say which."""
    begun = running.host.project / "begun"
    deadline = time.monotonic() + LIMIT
    while not begun.exists() and running.process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 1))
    found = running.host.processes()
    victim = chance.choice([running.process.pid, *found]) if found else running.process.pid
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return "nobody"
    return "the controller" if victim == running.process.pid else found[victim]


@pytest.mark.parametrize("workers", [(), ("-n4",)], ids=["plain", "n4"])
def test_killed_scripts_end_with_every_result(
    cpu_host: Host, workers: tuple[str, ...], pytestconfig: pytest.Config
) -> None:
    """However often something is killed; what was written for later stages is where these look for it."""
    long = pytestconfig.getoption("long")
    notebooks = long and find_spec("nbclient") is not None and find_spec("ipykernel") is not None
    for number in range(10 if long else 1):
        chance, told = random.Random(f"{workers}-{number}"), list[str]()
        expected = prepare(cpu_host, notebooks=notebooks)
        options = [*workers, f"--gpupool-dir=records/{number}", "sweep.toml"]
        for kills in range(20 if long else 2):
            (cpu_host.project / "begun").unlink(missing_ok=True)
            running = cpu_host.start(*options, *(["--gpupool-resume"] if kills else []))
            told.append(disturb(running, chance))
            run = running.finish()
            assert "INTERNALERROR" not in run.output, (told, run.output)
            deadline = time.monotonic() + LIMIT
            while cpu_host.processes():
                assert time.monotonic() < deadline, (told, cpu_host.processes())
                time.sleep(0.02)
        run = cpu_host.pytest(*options, "--gpupool-resume")
        assert run.status == 0, (told, run.output)
        assert set(run.outcomes.values()) == {"passed"}, (told, run.output)
        values = {name: value(test) for name, test in run.tests.items()}
        assert values == expected, told  # a later stage has counted all, also what was killed alone and has run again


def value(test: dict[str, Any]) -> float:
    """That of its one metric."""
    (metric,) = test["metrics"]
    return float(metric["value"])

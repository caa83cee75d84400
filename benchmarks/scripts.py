"""13 scripts on 8 slots: makespan ÷ lower bound of what people start scripts with, side by side.

    python benchmarks/scripts.py [--slots 8] [--rounds 5] [--bound 8]

Each script sleeps 22 % longer than the one before, as 13 models of growing size, and all start them in this order, but
"gpupool, with history", which has run them once before. "makespan" is from the first script's start to the last one's
end, "command" the whole command; both are medians. The bound is the larger of the longest script and all of them
divided over the slots. What is not installed is left out, with a word.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from makespan import growing, lower_bound, scaled
from sidebyside import FIRST, LATER, Contender, Timing, median, note, rounds, table, timing

JOB = """
import os, sys, time
from pathlib import Path

began = time.monotonic()
time.sleep(float(sys.argv[1].rpartition("=")[2]))
log = os.open(Path(__file__).with_name("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(log, f"{began} {time.monotonic()}\\n".encode())
"""

SWEEP = '[[eval]]\nscript = "job.py"\nstyle = "hydra"\nmatrix = {{seconds = {seconds}}}\n'

# As it is in many repositories, but for the script's name.
LOOP = """
import subprocess, sys, time

jobs, free, running = sys.argv[2:], list(range(int(sys.argv[1]))), []
while jobs or running:
    for slot, process in list(running):
        if process.poll() is not None:
            running.remove((slot, process))
            free.append(slot)
    while jobs and free:
        running.append((free.pop(), subprocess.Popen([sys.executable, "job.py", jobs.pop(0)])))
    time.sleep(5)
"""

POOL = """
import multiprocessing, subprocess, sys

def run(seconds):
    subprocess.run([sys.executable, "job.py", seconds], check=True)

if __name__ == "__main__":
    with multiprocessing.Pool(int(sys.argv[1])) as pool:
        pool.map(run, sys.argv[2:])
"""

# Its launcher calls the function in processes that it keeps, which start no program.
HYDRA = """
import runpy, sys
from pathlib import Path
import hydra

@hydra.main(version_base=None, config_path=None)
def main(config):
    sys.argv = ["job.py", str(config.seconds)]
    runpy.run_path(str(Path(__file__).with_name("job.py")))

main()
"""

FILES = {"job.py": JOB, "loop.py": LOOP, "pool.py": POOL, "app.py": HYDRA}


@dataclass(frozen=True, kw_only=True)
class Tool:
    """What starts scripts: its command for so many slots and these durations, and what it needs.

    ``program`` is on the path, ``modules`` can be imported; ``install`` says how one gets them.
    """

    command: Callable[[int, Sequence[str]], Sequence[str]]
    program: str = sys.executable
    modules: Sequence[str] = ()
    install: str = ""
    learns: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether it can be run here."""
        # Each package before what is in it, which could not be looked for else.
        names = [module[:end] for module in self.modules for end in (module.find("."), None) if end != -1]
        return shutil.which(self.program) is not None and all(find_spec(name) for name in names)


def _gpupool(slots: int, _: Sequence[str]) -> Sequence[str]:
    plugins = ("-p", "xdist", "-p", "pytest_gpupool.plugin")
    return (sys.executable, "-m", "pytest", "-q", "-n", str(slots), *plugins, "--gpupool-devices=cpu", "sweep.toml")


def _parallel(slots: int, seconds: Sequence[str]) -> Sequence[str]:
    return ("parallel", "-j", str(slots), sys.executable, "job.py", ":::", *seconds)


def _gpu_scheduler(slots: int, seconds: Sequence[str]) -> Sequence[str]:
    lines = "".join(f"{sys.executable} job.py {one}\\n" for one in seconds)
    gpus = " ".join(map(str, range(slots)))
    code = "from simple_gpu_scheduler.scheduler import main; main()"
    return ("/bin/sh", "-c", f"printf '{lines}' | {sys.executable} -c '{code}' --gpus {gpus}")


def _python(program: str, slots: int, seconds: Sequence[str]) -> Sequence[str]:
    return (sys.executable, program, str(slots), *seconds)


def _hydra(slots: int, seconds: Sequence[str]) -> Sequence[str]:
    launcher = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={slots}")
    return (sys.executable, "app.py", "--multirun", *launcher, f"+seconds={','.join(seconds)}")


TOOLS: Mapping[str, Tool] = {
    FIRST: Tool(command=_gpupool),
    LATER: Tool(command=_gpupool, learns=".gpupool/durations.json"),
    "GNU parallel": Tool(command=_parallel, program="parallel", install="Debian: parallel"),
    "simple_gpu_scheduler": Tool(
        command=_gpu_scheduler, modules=["simple_gpu_scheduler"], install="pip install simple-gpu-scheduler"
    ),
    "a Popen loop, 5 s": Tool(command=partial(_python, "loop.py")),
    "multiprocessing.Pool.map": Tool(command=partial(_python, "pool.py")),
    "Hydra, joblib launcher": Tool(
        command=_hydra,
        modules=["hydra", "hydra_plugins.hydra_joblib_launcher"],
        install="pip install hydra-core hydra-joblib-launcher",
    ),
}


def lay_out(folder: Path, seconds: Sequence[str]) -> None:
    """Write the script, and what starts it."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "sweep.toml").write_text(SWEEP.format(seconds=f"[{', '.join(seconds)}]"))
    for name, text in FILES.items():
        (folder / name).write_text(text)


def contenders(slots: int, seconds: Sequence[str]) -> dict[str, Contender]:
    """Return what is installed; of the others it is said how one gets them."""
    found = {}
    for name, tool in TOOLS.items():
        if tool.is_there:
            command = tool.command(slots, seconds)
            found[name] = Contender(lay_out=partial(lay_out, seconds=seconds), command=command, learns=tool.learns)
        else:
            note(f"{name}: left out, since it is not installed ({tool.install})")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bound", type=float, default=8.0, help="seconds that the scripts take at best")
    args = parser.parse_args()
    cases = scaled(growing(), args.bound, args.slots)
    bound = lower_bound(cases, args.slots)
    seconds = [repr(case.seconds) for case in cases]
    timings = rounds(contenders(args.slots, seconds), args.rounds, partial(timing, tests=len(cases)))
    rows = {name: _cells(runs, bound) for name, runs in timings.items()}
    columns = ("makespan, s", "÷ bound", "command, s", "÷ bound")
    table(f"{len(cases)} scripts on {args.slots} slots (bound {bound:.2f} s)", columns, rows)


def _cells(runs: Sequence[Timing], bound: float) -> tuple[str, ...]:
    makespan, command = median(runs, lambda run: run.makespan), median(runs, lambda run: run.wall)
    return (f"{makespan:.2f}", f"{makespan / bound:.2f}", f"{command:.2f}", f"{command / bound:.2f}")


if __name__ == "__main__":
    main()

"""Sleeping tests under CTest, which leases devices as well: from a resource file, to the tests that name groups of it.

CTest remembers what tests cost and starts the costly ones first, so it is timed in its second run. Its tests are
processes of a small C program: Python would need longer to start than many of them sleep.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sidebyside import Case, Contender, note

NAME = "CTest, second run"

# CLOCK_MONOTONIC is what Python's time.monotonic() reads on Linux.
SLEEPER = r"""
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    char line[128];
    double began = now(), seconds = argc == 3 ? atof(argv[2]) : -1.0;
    struct timespec rest = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    int log, length;

    if (seconds < 0.0 || nanosleep(&rest, NULL) != 0)
        return 1;
    if ((log = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0666)) < 0)
        return 1;
    length = snprintf(line, sizeof line, "%.9f %.9f\n", began, now());
    return write(log, line, (size_t)length) != length;
}
"""


def contenders(workers: int, cases: Sequence[Case]) -> dict[str, Contender]:
    """Return CTest with as many devices as workers; nothing where it cannot run."""
    missing = [program for program in ("ctest", "cc") if shutil.which(program) is None]
    if missing:
        note(f"{NAME}: left out, since there is no {' and no '.join(missing)} (Debian: cmake, gcc)")
        return {}
    return {
        NAME: Contender(
            lay_out=partial(lay_out, cases=cases, devices=workers),
            command=("ctest", "-j", str(workers), "--resource-spec-file", "resources.json"),
            learns="Testing/Temporary/CTestCostData.txt",
        )
    }


def lay_out(folder: Path, cases: Sequence[Case], devices: int) -> None:
    """Write the tests as CMake would generate them, the devices, and the program that sleeps."""
    (folder / "CTestTestfile.cmake").write_text("".join(_test(number, case) for number, case in enumerate(cases)))
    (folder / "resources.json").write_text(json.dumps(_resources(devices)))
    (folder / "sleeper.c").write_text(SLEEPER)
    subprocess.run(["cc", "-O2", "-o", "sleeper", "sleeper.c"], cwd=folder, check=True)


def _test(number: int, case: Case) -> str:
    name = f"case_{number}"
    # A test starts in the folder of this file, so the log needs no path; its program must have one.
    command = f'"${{CMAKE_CURRENT_LIST_DIR}}/sleeper" "log" "{case.seconds}"'
    # One group for each device, so that they may be different ones: "gpus:2" would be two slots of one device.
    return f'add_test({name} {command})\nset_tests_properties({name} PROPERTIES RESOURCE_GROUPS "{case.gpus},gpus:1")\n'


def _resources(devices: int) -> dict[str, object]:
    slots = [{"id": str(number), "slots": 1} for number in range(devices)]
    return {"version": {"major": 1, "minor": 0}, "local": [{"gpus": slots}]}

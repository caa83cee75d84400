"""Place: where the log of a test lies, ``<run>/logs/<worker>/<test>-<digest>.log``, and how attempts begin in it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..values.texts import one_line

FOLDER = "logs"

RANKS = ".ranks"
"""The suffix of the folder with the logs of a test's ranks, beside its log."""

HEADING = b"=== gpupool: "
"""How the line begins that stands before what an attempt has written."""

_END = b" ===\n"

_HEADING = re.compile(re.escape(HEADING) + rb"attempt \d+ on [^,\n]+, ([^ \n]+Z): (.+)" + re.escape(_END))

_LONGEST_NAME = 120
_PLACE = re.compile(rf"{FOLDER}/\w+/[\w.=+-]+({re.escape(RANKS)}/\d+)?\.log", re.ASCII)
_UNSAFE = re.compile(r"[^\w.=+-]+", re.ASCII)


def log_path(run_dir: Path, worker: str, nodeid: str) -> Path:
    """Return the log of a test on a worker. Its name can be typed in a shell, and no other test has it."""
    digest = hashlib.sha256(nodeid.encode(errors="backslashreplace")).hexdigest()[:10]
    name = _UNSAFE.sub("_", nodeid).strip("_.-")[-_LONGEST_NAME:]
    return run_dir / FOLDER / worker / f"{name}-{digest}.log"


def rank_path(log: Path, rank: int) -> Path:
    """Return the log of one rank, of several that compute for a test, whose log is the other one."""
    return log.with_suffix(RANKS) / f"{rank}.log"


def is_place(name: object) -> bool:
    """Say whether this is the path of a log from its run's directory, and no other place on the disk."""
    return isinstance(name, str) and _PLACE.fullmatch(name) is not None


def heading(nodeid: str, worker: str, attempt: int, started: str) -> bytes:
    """Return the line before what an attempt writes."""
    text = f"attempt {attempt} on {worker}, {started}: {one_line(nodeid)}"
    return HEADING + text.encode(errors="backslashreplace") + _END


def nodeid_in(line: bytes) -> str | None:
    """Return the test that a :func:`heading` names; None for another line. Of one with a line break, as it is shown."""
    return None if (match := _HEADING.fullmatch(line)) is None else match[2].decode(errors="replace")


def started_in(line: bytes) -> str:
    """Return when the attempt began that a :func:`heading` is of, ISO 8601; "" for another line."""
    return "" if (match := _HEADING.fullmatch(line)) is None else match[1].decode(errors="replace")

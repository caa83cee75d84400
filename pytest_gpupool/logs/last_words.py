"""Last words: what a test had written when its worker died, and nobody had copied to its log yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from .log_file import LogFile
from .place import heading, log_path

_LOOKED_AT = 2**16


def complete(run_dir: Path, worker: str, nodeid: str, *, attempt: int, started: str, output: Mapping[str, str]) -> None:
    """Append what is missing; ``output`` is the end of what pytest had captured in the last phase, by stream.

    Called once for each attempt that ended with its worker, when nobody else writes to its log any more.
    """
    path = log_path(run_dir, worker, nodeid)
    head = heading(nodeid, worker, attempt, started)
    there = _end_of(path)
    is_begun = head in there or len(there) == _LOOKED_AT
    log = LogFile(path, b"" if is_begun else head)
    written = there.rpartition(head)[2].decode(errors="replace") if is_begun else ""
    for name in ("stdout", "stderr"):
        log.write("".join(_missing(written, output.get(name, ""))).encode(errors="backslashreplace"))
    log.close()


def _missing(written: str, text: str) -> Iterator[str]:
    """Yield the lines from the first one on that was not written: what was copied is the beginning."""
    lines = text.splitlines(keepends=True)
    known = set(written.splitlines(keepends=True))
    first = next((place for place, line in enumerate(lines) if line not in known), len(lines))
    yield from lines[first:]


def _end_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOOKED_AT))
            return file.read()
    except OSError:
        return b""

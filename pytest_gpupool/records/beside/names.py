"""Names: what a test's files are called, so that any file system takes it, and no other test has it.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import hashlib
import re

_LONGEST = 100
_UNSAFE = re.compile(r"[^\w.=+-]+", re.ASCII)
_MARK = re.compile(r"\.[0-9a-f]{6}")


def safe(name: str) -> str:
    """Return a name with an underscore for what a shell, or a file system, has another use for."""
    return _UNSAFE.sub("_", name)


def name_of(nodeid: str) -> str:
    """Return a name for a test: the end of its id, where it can be read, and a digest of all of it."""
    digest = hashlib.sha256(nodeid.encode(errors="backslashreplace")).hexdigest()[:16]
    name = safe(nodeid).strip("_.-")[-_LONGEST:].lstrip("_.-")
    return f"{name}-{digest}" if name else digest


def marked(name: str, mark: str) -> str:
    """Return the name of what is kept of an earlier run, by a mark of that; one that has such a mark stays."""
    return name if _MARK.fullmatch(name[-7:]) else f"{name}.{mark}"

"""The model of the processor. Linux only."""

from __future__ import annotations

import re

from .pressure import content


def model(root: str = "/") -> str | None:
    """Return what the processor calls itself, ``AMD EPYC 7763 64-Core Processor``; None where it does not say.

    ``root`` is where /proc and /sys are looked for.
    """
    # Of ARM's the kernel tells no name.
    found = re.search(rb"^(?:model name|cpu model|cpu)\s*:\s*(\S.*)$", content(root + "proc/cpuinfo"), re.MULTILINE)
    if found is None:
        return None
    name = re.sub(r"\((?:R|TM|tm)\)", " ", found[1].decode(errors="replace"))
    return " ".join(name.split()) or None

"""Common: what the parameters of some tests have in common, and those of others have not.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .labels import key_of, labels_of

Params = Mapping[str, Any]


def in_common(some: Sequence[Params], others: Sequence[Params]) -> list[tuple[str, str]]:
    """Return the parameters, as name and text, that all of some have and that tell them from others.

    What tells them from more of the others comes first; what all of the others have as well tells nothing.
    """
    if not some:
        return []
    shared = {name: key_of(value) for name, value in some[0].items()}
    for params in some[1:]:
        shared = {name: key for name, key in shared.items() if name in params and key_of(params[name]) == key}
    alike = {
        name: sum(name in params and key_of(params[name]) == key for params in others) for name, key in shared.items()
    }
    telling = sorted((name for name in shared if alike[name] < len(others)), key=lambda name: alike[name])
    texts = {name: labels_of(one[name] for one in (*some, *others) if name in one) for name in telling}
    return [(name, texts[name][shared[name]].text) for name in telling]

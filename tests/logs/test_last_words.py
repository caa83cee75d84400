"""What a test had written when its worker died is in its log, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpupool.logs.last_words import complete
from pytest_gpupool.logs.place import heading, log_path

AT = "2026-11-30T10:00:00.000000Z"
TEST = "t.py::test"
HEAD = heading(TEST, "gw0", 1, AT).decode()


@pytest.mark.parametrize(
    ("there", "stdout", "whole"),
    [
        ("", "a\nb\n", f"{HEAD}a\nb\n"),
        (f"{HEAD}a\n", "a\nb", f"{HEAD}a\nb"),
        (f"{HEAD}a\nb\n", "a\nb\n", f"{HEAD}a\nb\n"),
        (f"b\n{HEAD}a\n", "a\nb\n", f"b\n{HEAD}a\nb\n"),
        ("old\n", "a\n", f"old\n{HEAD}a\n"),
    ],
)
def test_what_is_missing_is_added(tmp_path: Path, there: str, stdout: str, whole: str) -> None:
    """Whatever of it was copied before, and whatever an earlier attempt has written."""
    path = log_path(tmp_path, "gw0", TEST)
    if there:
        path.parent.mkdir(parents=True)
        path.write_text(there)
    complete(tmp_path, "gw0", TEST, attempt=1, started=AT, output={"stdout": stdout})
    assert path.read_text() == whole

"""What tells processes apart, as a note has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gpupool.values.process_id import ProcessId


def test_a_note_gives_it_back() -> None:
    """Whatever else it says."""
    known = ProcessId(4711, 815, 4026531836)
    note = json.loads(json.dumps({**known.to_json(), "user": "alice", "later": [1]}))
    assert ProcessId.from_json(note) == known


@pytest.mark.parametrize(
    "note",
    [{}, {"pid": 1}, {"pid": 1, "started": "2", "pid_namespace": 3}, {"pid": True, "started": 2, "pid_namespace": 3}],
)
def test_a_note_that_does_not_tell(note: dict[str, Any]) -> None:
    """Anybody may write one, and an earlier version wrote the pid alone."""
    assert ProcessId.from_json(note) is None

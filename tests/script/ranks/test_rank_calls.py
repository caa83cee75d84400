"""A function with its arguments, written for other processes."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.script.ranks import calls
from pytest_gpupool.script.result import ScriptError


class Point:
    """Something that a function is given."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __call__(self, y: int) -> int:
        return self.x + y


def add(point: Point, y: int = 0) -> int:
    return point.x + y


def test_a_call_is_read_where_its_module_is_no_name(tmp_path: Path) -> None:
    """From its file, as pytest may have imported it; partials and objects that are called do as well."""
    for function, args, params in (
        (add, [Point(1)], {"y": 2}),
        (functools.partial(add, Point(1)), [2], {}),
        (Point(1), [2], {}),
    ):
        calls.write(tmp_path / "call", function, args, params)
        told = pickle.loads((tmp_path / "call").read_bytes())
        assert told["files"][__name__] == __file__
        code = (
            "import pickle, sys\nfrom pytest_gpupool.script.ranks.function_rank import _import\n"
            "told = pickle.loads(open(sys.argv[1], 'rb').read())\n_import(told['files'])\n"
            "function, args, params = pickle.loads(told['call'])\nprint(function(*args, **params))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "call"], capture_output=True, text=True, check=False
        )
        assert done.stdout == "3\n", done.stderr


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        (lambda: 1, [], r"test_rank_calls\.<lambda> cannot be pickled"),
        (add, [open], None),
        (add, [lambda: 1], r"what .*test_rank_calls\.add is called with cannot be pickled"),
        (add, [(one for one in "ab")], "is called with cannot be pickled"),
    ],
)
def test_what_cannot_be_pickled_is_told(tmp_path: Path, function: Any, args: list[Any], told: str | None) -> None:
    """Before anything starts."""
    if told is None:
        calls.write(tmp_path / "call", function, args, {})
        return
    with pytest.raises(ScriptError, match=told) as raised:
        calls.write(tmp_path / "call", function, args, {})
    assert "give a function from the top of a module" in str(raised.value)


def test_what_was_returned_is_read(tmp_path: Path) -> None:
    """Or it is said that it cannot be."""
    (tmp_path / "1").write_bytes(pickle.dumps([3]))
    assert calls.returned(tmp_path / "1", 1) == [3]
    with pytest.raises(ScriptError, match="what rank 2 has returned cannot be had: FileNotFoundError"):
        calls.returned(tmp_path / "2", 2)

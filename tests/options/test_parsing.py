"""What the text of an option becomes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.options import parsing
from pytest_gpupool.values.errors import UsageProblem


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (parsing.spec, " 0,2 ", "0,2"),
        (parsing.whole, "0", 0),
        (parsing.whole, "12", 12),
        (parsing.positive, "1", 1),
        (parsing.order, "longest", True),
        (parsing.order, "file", False),
        (parsing.limit, "0.5", 0.5),
        (parsing.limit, "5m", 300.0),
        (parsing.number, "0", 0.0),
        (parsing.number, "1e3", 1000.0),
        (parsing.export, "index", "index"),
        (parsing.export, "uuid", "uuid"),
        (parsing.run, " latest ", "latest"),
    ],
)
def test_what_a_text_means(convert: Callable[[str], Any], text: str, value: object) -> None:
    assert convert(text) == value


def is_refused(convert: Callable[[str], Any], text: str) -> bool:
    try:
        convert(text)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (parsing.spec, ""),
        (parsing.spec, "  "),
        (parsing.whole, "-1"),
        (parsing.whole, "1.5"),
        (parsing.whole, ""),
        (parsing.positive, "0"),
        (parsing.order, "shortest"),
        (parsing.limit, "0"),
        (parsing.limit, "inf"),
        (parsing.limit, "0s"),
        (parsing.number, "-0.1"),
        (parsing.number, "nan"),
        (parsing.number, "1 s"),
        (parsing.export, "name"),
        (parsing.run, " "),
    ],
)
def test_what_is_refused(convert: Callable[[str], Any], text: str) -> None:
    """With ValueError, from which the message to the user is made."""
    assert is_refused(convert, text)


def test_a_path_that_can_be_written_is_given_back(tmp_path: Path) -> None:
    """Be its folders there or not; none is no path."""
    (tmp_path / "there").touch()
    for path in (tmp_path / "there", tmp_path / "new", tmp_path / "a" / "b" / "new"):
        assert parsing.writable(path, "gpupool-json") == path
    assert parsing.writable(None, "gpupool-json") is None


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """A directory, a link to itself, and what lies below a file; the message names the option."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, reason in {
        tmp_path: "is a directory",
        tmp_path / "loop": "is a link to itself",
        tmp_path / "file" / "below": "is not a directory",
    }.items():
        with pytest.raises(UsageProblem, match=f"--gpupool-json=.*{reason}"):
            parsing.writable(path, "gpupool-json")

"""What is started for a script: its parameters in each style, and what cannot be started."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_gpupool.script.command import command_of, script_at
from pytest_gpupool.script.parameters import STYLES, checked
from pytest_gpupool.script.result import ScriptError

PARAMS = {"lr": 0.001, "model": "resnet50", "flag": True, "off": False, "none": None, "sizes": [1, 2]}


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("json", ["--params", json.dumps(PARAMS)]),
        ("flags", ["--lr", "0.001", "--model", "resnet50", "--flag", "--sizes", "1", "2"]),
        ("hydra", ["lr=0.001", "model=resnet50", "flag=true", "off=false", "none=null", "sizes=[1,2]"]),
    ],
)
def test_each_style_writes_the_parameters(tmp_path: Path, style: str, words: list[str]) -> None:
    """After them come the args as they are."""
    script = tmp_path / "a.py"
    assert command_of(script, PARAMS, ["--x", 3, Path("/out")], style) == [
        *(sys.executable, "-u", str(script)),
        *words,
        *("--x", "3", "/out"),
    ]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("--x", r"args is a list, not '--x': write args=\['--x'\]"),
        (3, r"args is a list, not 3: write args=\[3\]"),
        ([None], "args has None: each is a text, a number or a path"),
    ],
)
def test_args_that_are_none(tmp_path: Path, args: Any, told: str) -> None:
    """A text's letters are nobody's arguments."""
    with pytest.raises(ScriptError, match=told):
        command_of(tmp_path / "a.py", {}, args, "json")


@pytest.mark.parametrize("style", ["yaml", ["json"], None])
def test_a_wrong_style(tmp_path: Path, style: Any) -> None:
    """It is said which there are."""
    with pytest.raises(ScriptError, match=r"give one of 'json', 'flags', 'hydra'"):
        command_of(tmp_path / "a.py", {}, [], style)


@pytest.mark.parametrize("value", ["-1x", "--lr", "a b", "", "=", "7", "\n"])
def test_any_text_comes_through_as_flags(value: str) -> None:
    """argparse gives it back, also where it looks like a flag."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name")
    assert parser.parse_args(STYLES["flags"]({"name": value})).name == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a/b-c.d", "a/b-c.d"),
        ("true", "'true'"),
        ("123", "'123'"),
        ("a b", "'a b'"),
        ("it's", r"'it\'s'"),
        ("end\\", r"'end\\'"),
        ({"a": ["x y", 1]}, "{a:['x y',1]}"),
    ],
)
def test_hydra_quotes_what_it_would_read_as_something_else(value: Any, text: str) -> None:
    """By the grammar of its overrides."""
    assert STYLES["hydra"]({"key": value}) == [f"key={text}"]


def test_no_parameters_are_no_words() -> None:
    """In no style."""
    assert [style({}) for style in STYLES.values()] == [[], [], []]


def test_numbers_of_numpy_are_numbers() -> None:
    """And tuples are lists."""
    assert checked({"lr": np.float32(0.5), "n": np.int64(3), "sizes": (1, 2)}) == {"lr": 0.5, "n": 3, "sizes": [1, 2]}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"lr": float("nan")}, "parameter lr is nan, which JSON has not"),
        ({"a": {"b": [0, {1, 2}]}}, r"parameter a\.b\[1\] is .*of type set"),
        ({"fn": print}, "parameter fn is .*builtin_function"),
        ({3: 1}, "a name is a non-empty text, not 3"),
        ([1], "the parameters of a script are a dict"),
        ({"m": np.zeros(3)}, "parameter m is .*ndarray"),
    ],
)
def test_what_json_has_not_is_refused(params: Any, told: str) -> None:
    """By the name of the parameter, before anything starts."""
    with pytest.raises(ScriptError, match=told):
        checked(params)


def test_kinds_of_scripts(tmp_path: Path) -> None:
    """A shell script need not be executable, any other program does."""
    shell, program = tmp_path / "a.sh", tmp_path / "program"
    for path in (shell, program):
        path.touch()
    assert command_of(shell, {}, [], "json")[1:] == [str(shell)]
    with pytest.raises(ScriptError, match=f"is not executable, .*chmod \\+x {program}"):
        command_of(program, {}, [], "json")
    for path in (shell, program):
        path.chmod(0o755)
        assert command_of(path, {"lr": 1}, [], "flags") == [str(path), "--lr", "1"]


@pytest.mark.parametrize(
    ("args", "style", "told"),
    [
        ([], "yaml", "style='yaml': give one of 'json', 'flags', 'hydra'"),
        ([None], "json", "args has None: each is a text, a number or a path"),
    ],
)
def test_wrong_words(tmp_path: Path, args: list[Any], style: str, told: str) -> None:
    """They are refused before the start."""
    with pytest.raises(ScriptError, match=told):
        command_of(tmp_path / "a.py", {}, args, style)


def test_a_script_is_looked_for(tmp_path: Path) -> None:
    """In the folders, in their order; one that is missing is told with what it may have meant."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (second / "evaluate.py").touch()
    assert script_at("evaluate.py", [first, second]) == second / "evaluate.py"
    with pytest.raises(ScriptError, match=r"there is no script evaluate\.py in .*first or .*tmp"):
        script_at("evaluate.py", [first, first / "tmp"])
    with pytest.raises(ScriptError, match=r"no script evalute\.py in .*second; did you mean evaluate\.py\?"):
        script_at("evalute.py", [first, second])
    with pytest.raises(ScriptError, match="second is a directory"):
        script_at("second", [tmp_path])

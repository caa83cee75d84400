"""The sweep file: its tests, and each kind of mistake by its line and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpupool.script.sweep_file import Configuration, configurations
from pytest_gpupool.values.errors import UsageProblem

WHOLE = """
[[eval]]
script = "evaluation_script.py"
base = {model = "resnet50", dataset = "imagenet"}
matrix = {learning_rate = [1e-3, 1e-4], batch_size = [32, 64], epochs = [5, 10]}
exclude = [{batch_size = 64, epochs = 10}]
gpus = 1
timeout = 3600
stage = 0
args = ["--save-dir", "{out}/{id}", "--tag={model}-{epochs}", 3]
metrics = {accuracy = {higher_is_better = true, kind = "proportion"}}

[[eval]]
name = "report"
script = "evaluation_script.py"
style = "flags"
timeout = "5m"
stage = 1
serial = true
lock = ["disk"]
memory = "1GiB"
priority = 3
env = {OUT = "{out}"}

[eval.base]
lr = 0.5
"""


def read(tmp_path: Path, text: str) -> list[Configuration]:
    """The tests of a file of this text."""
    (tmp_path / "evaluation_script.py").touch()
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return configurations(path)


def test_a_file_with_all_there_is(tmp_path: Path) -> None:
    """In the order of the product; ids as those of matrix."""
    found = read(tmp_path, WHOLE)
    assert len(found) == 7
    first, last = found[0], found[-1]
    assert first.name == "evaluation_script[learning_rate=0.001-batch_size=32-epochs=5]"
    assert first.params == {
        "model": "resnet50",
        "dataset": "imagenet",
        "learning_rate": 0.001,
        "batch_size": 32,
        "epochs": 5,
    }
    assert first.needs == {"gpus": 1, "stage": 0}
    assert (first.timeout, first.style, first.line) == (3600.0, "json", 2)
    assert [first.filled(text, "/out", "it") for text in first.args] == [
        *("--save-dir", "/out/it", "--tag=resnet50-5", "3")
    ]
    assert first.metrics == {"accuracy": {"higher_is_better": True, "kind": "proportion"}}
    assert (last.name, last.params, last.timeout, last.line) == ("report", {"lr": 0.5}, 300.0, 13)
    assert last.needs == {"stage": 1, "serial": True, "lock": ["disk"], "memory": "1GiB", "priority": 3}
    assert {(one.params["batch_size"], one.params["epochs"]) for one in found[:-1]} == {(32, 5), (32, 10), (64, 5)}


def test_a_sample_is_smaller(tmp_path: Path) -> None:
    """And the same for each seed."""
    head = '[[eval]]\nscript = "evaluation_script.py"\nmatrix = {a = [1, 2, 3], b = [1, 2, 3]}\nsample = 4\n'
    first = [one.name for one in read(tmp_path, head)]
    assert len(first) == 4
    assert [one.name for one in read(tmp_path, head)] == first
    assert [one.name for one in read(tmp_path, f"{head}seed = 1\n")] != first


@pytest.mark.parametrize(
    ("script", "name"), [("my script.py", "my_script"), ("run: all (2).sh", "run_all_2_"), ("+", "_")]
)
def test_a_scripts_name_becomes_one_that_a_test_can_have(tmp_path: Path, script: str, name: str) -> None:
    """Whatever it is."""
    (tmp_path / script).touch(mode=0o755)
    assert [one.name for one in read(tmp_path, f'[[eval]]\nscript = "{script}"\n')] == [name]


EVAL = '[[eval]]\nscript = "evaluation_script.py"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"sweep\.toml has no \[\[eval\]\]"),
        ("eval = 3", r"sweep\.toml has no \[\[eval\]\]"),
        ("[[eval]\n", r"sweep\.toml is no TOML: .*line 1"),
        (f"{EVAL}script = 3\n", r"sweep\.toml is no TOML: .*line 3"),
        (f"{EVAL}\n[other]\n", r"line 4: other: only \[\[eval\]\] may be here"),
        ("\n[[eval]]\ngpus = 1\n", "line 2: eval: script is the path of a script, which is needed"),
        ('[[eval]]\n\nscript = ""\n', "line 3: script: script is the path of a script"),
        (
            '[[eval]]\nscript = "evaluation_scrip.py"\n',
            r"line 2: script: there is no .*did you mean evaluation_script\.py",
        ),
        (f"{EVAL}gpu = 1\n", r"line 3: gpu: there is no such key; did you mean gpus\?"),
        (f"{EVAL}[eval.xyz]\n", "line 3: xyz: there is no such key; there are script, name, "),
        (f"{EVAL}gpus = -1\n", "line 3: gpus: gpus must be a whole number from 0"),
        (f"{EVAL}memory = 'much'\n", "line 3: memory: memory must be bytes, "),
        (f"{EVAL}serial = 1\n", "line 3: serial: serial must be True or False"),
        (f"{EVAL}stage = 1.5\n", "line 3: stage: stage must be a whole number"),
        (f"{EVAL}timeout = 0\n", "line 3: timeout: timeout=0: give seconds above 0"),
        (f"{EVAL}timeout = '5 weeks'\n", "line 3: timeout: timeout='5 weeks'"),
        (f"{EVAL}style = 'yaml'\n", "line 3: style: it is one of json, flags, hydra, not 'yaml'"),
        (f"{EVAL}name = 'a b'\n", "line 3: name: a name has letters, digits"),
        (f"{EVAL}base = 3\n", "line 3: base: it is a table"),
        (f"{EVAL}base = {{lr = nan}}\n", r"line 3: base\.lr: parameter lr is nan"),
        (f"{EVAL}[eval.base]\na = 1\nday = 2020-01-01\n", r"line 5: base\.day: parameter day is .*of type date"),
        (f"{EVAL}matrix = {{}}\n", "line 3: matrix: it has no axis"),
        (f"{EVAL}[eval.matrix]\na = [1]\nlr = 0.1\n", r"line 5: matrix\.lr: lr is a list of values, not 0\.1"),
        (f"{EVAL}matrix = {{lr = []}}\n", r"line 3: matrix\.lr: lr has no values"),
        (f"{EVAL}base = {{lr = 1}}\nmatrix = {{lr = [1]}}\n", r"line 4: matrix\.lr: it is in base as well"),
        (f"{EVAL}exclude = [{{lr = 1}}]\n", "line 3: exclude: there is no matrix"),
        (
            f"{EVAL}matrix = {{lr = [1]}}\nexclude = [{{l = 1}}]\n",
            "line 4: exclude: exclude names 'l', which is no axis",
        ),
        (
            f"{EVAL}matrix = {{lr = [1]}}\nexclude = [{{lr = 2}}]\n",
            "line 4: exclude: exclude has lr=2, which is no value",
        ),
        (f"{EVAL}matrix = {{lr = [1]}}\nexclude = [{{lr = 1}}]\n", "line 4: exclude: exclude leaves no combination"),
        (f"{EVAL}matrix = {{lr = [1]}}\nsample = 0\n", "line 4: sample: sample is a whole number from 1"),
        (f"{EVAL}args = '--x'\n", "line 3: args: it is a list of texts and numbers"),
        (
            f"{EVAL}args = ['{{lr}}']\n",
            r"line 3: args: '\{lr\}' has \{lr\}, which there is not; there are \{out\}, \{id\}",
        ),
        (f"{EVAL}env = {{A = 1}}\n", "line 3: env: it is a table of texts"),
        (f"{EVAL}metrics = {{a = {{better = true}}}}\n", "line 3: metrics: metrics: a has no key 'better'"),
        (f"{EVAL}\n{EVAL}gpus = 'x'\n", "line 6: gpus: gpus must be"),
    ],
)
def test_each_mistake_has_its_line_and_key(tmp_path: Path, text: str, told: str) -> None:
    """Whatever it is."""
    with pytest.raises(UsageProblem, match=told):
        read(tmp_path, text)


WRONG = (
    "-1",
    "1.5",
    "nan",
    "true",
    "'a b'",
    "''",
    "[]",
    "[1]",
    "['x']",
    "[[1]]",
    "[{b = 1}]",
    "{}",
    "{b = 1}",
    "07:32:00",
)
KEYS = (
    *("script", "name", "base", "matrix", "exclude", "sample", "seed", "style", "args", "env", "timeout", "metrics"),
    *("gpus", "memory", "priority", "serial", "lock", "stage"),
)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", WRONG)
def test_whatever_a_key_is_given_is_taken_or_told(tmp_path: Path, key: str, value: str) -> None:
    """With the file's line and the key, and never by another error."""
    head = "[[eval]]\n" if key == "script" else EVAL
    matrix = "" if key == "matrix" else "matrix = {a = [1, 2]}\n"
    try:
        told = read(tmp_path, f"{head}{matrix}{key} = {value}\n")[0].name
    except UsageProblem as problem:
        told = str(problem)
    assert re.match(rf"evaluation_script|\w+\[a=1|sweep\.toml, line [1-4]: {key}", told)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (EVAL.encode("utf-16"), "sweep.toml is no TOML: "),
        (f"{EVAL}gpus = 1\ngpus = 2\n".encode(), "sweep.toml is no TOML: "),
        (f"{EVAL}base = {{a = 1\n".encode(), "sweep.toml is no TOML: "),
        (b"[[eval]]\nscript = evaluation_script.py\n", "sweep.toml is no TOML: "),
        (b"[eval]\nscript = 'evaluation_script.py'\n", "sweep.toml has no [[eval]]"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, data: bytes, told: str) -> None:
    """It is said where."""
    (tmp_path / "evaluation_script.py").touch()
    (tmp_path / "sweep.toml").write_bytes(data)
    with pytest.raises(UsageProblem, match=re.escape(told)):
        configurations(tmp_path / "sweep.toml")


def test_line_ends_of_windows_are_taken(tmp_path: Path) -> None:
    """And so is a comment that is no ASCII."""
    (tmp_path / "evaluation_script.py").touch()
    (tmp_path / "sweep.toml").write_bytes("# Größe\r\n[[eval]]\r\nscript = 'evaluation_script.py'\r\n".encode())
    assert [one.line for one in configurations(tmp_path / "sweep.toml")] == [2]


def test_all_evals_are_looked_at(tmp_path: Path) -> None:
    """One message has a mistake of each."""
    with pytest.raises(UsageProblem, match=r"line 3: gpus: .*\n.*line 7: stage: "):
        read(tmp_path, f"{EVAL}gpus = -1\n\n{EVAL}stage = 'x'\n")
    with pytest.raises(UsageProblem, match="cannot be read: No such file"):
        configurations(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(UsageProblem, match=r"bad\.toml is no TOML: "):
        configurations(tmp_path / "bad.toml")

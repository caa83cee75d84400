"""The house's rule for commands in blocks of pages that no test runs: each could be typed as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from doc_pages import Other, pages

from pytest_gpupool.cli import main as program

_COMMAND = re.compile(r"(?:^|[\s'\"(;&|=])(?:python3? -m |[\w./-]*/bin/)?(?P<program>pytest|gpupool) (?P<rest>[^\n]*)")
_ENDS = re.compile(r"[;&|<>()]+")
_QUOTES = "'\""
_REMARK = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)
_NEXT_LINE = re.compile(r"\\\n\s*")
_FILLED_IN = re.compile(r"\$\(.*?\)|\$\{\{.*?\}\}")
"""What a shell or a forge puts something in the place of."""
_OTHERS = ("--html=", "--json-report", "--alluredir=")
"""Options of other reporters, which need not be installed."""


def commands_of(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each call of pytest and gpupool in a text, in whatever language that is: the program and its words."""
    for found in _COMMAND.finditer(_NEXT_LINE.sub(" ", _REMARK.sub("", text))):
        if words := _words(found["rest"]):
            yield found["program"], words


def _words(rest: str) -> list[str]:
    """Return a command's words, up to where it ends: in a string of another language by that one's quote."""
    for text in (rest, *(rest.rpartition(quote)[0] for quote in _QUOTES)):
        lexer = shlex.shlex(_FILLED_IN.sub("1", text), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = [*lexer]
        except ValueError:  # a quote that is nobody's
            continue
        return words[: next((at for at, word in enumerate(words) if _ENDS.fullmatch(word)), len(words))]
    return []


COMMANDS = [
    pytest.param(*command, id=f"{page.name}-{block.line}-{number}")
    for page in pages()
    for block in page.parts
    if isinstance(block, Other)
    for number, command in enumerate(commands_of(block.text.removesuffix(block.expected) if block.made else block.text))
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- run: gpupool plan --shards 4 && echo", [("gpupool", ["plan", "--shards", "4"])]),
        ("sh '''.venv/bin/pytest -n 2 \\\n  evals/'''", [("pytest", ["-n", "2", "evals/"])]),
        ("$ A=1 pytest \\\n    -x  # why", [("pytest", ["-x"])]),
        ('count=$(pytest --co -k "a or b") # pytest too', [("pytest", ["--co", "-k", "a or b"])]),
        ("pip install pytest-gpupool", []),
        ("gpupool: 2 GPUs\n  pytest: x", []),
    ],
)
def test_commands_are_found(text: str, expected: list[tuple[str, list[str]]]) -> None:
    """In a shell, a pipeline of YAML, a Jenkinsfile."""
    assert [*commands_of(text)] == expected


@pytest.mark.parametrize(("name", "words"), COMMANDS)
def test_a_command_that_nobody_runs_could_be_typed(name: str, words: list[str], pytestconfig: pytest.Config) -> None:
    """Its options are there, and their values are such as they take."""
    if name == "pytest":
        _, unknown = pytestconfig._parser.parse_known_and_unknown_args(words)
    else:
        args, unknown = program._parser().parse_known_args(words)
        unknown = args.take_rest(args, unknown) if unknown and hasattr(args, "take_rest") else unknown
    assert not [word for word in unknown if not word.startswith(_OTHERS)]
